"""Synthetic training conversations for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "note": {"type": "string"}},
            "required": ["a"],
            "additionalProperties": False,
        },
    },
}


def call(**arguments: Any) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": "add", "arguments": json.dumps(arguments)}}


def conversations(count: int = 24) -> list[dict[str, Any]]:
    """Alternating plain answers, answers after thinking, and tool calls."""
    found: list[dict[str, Any]] = []
    for index in range(count):
        messages: list[dict[str, Any]] = [{"role": "user", "content": f"{index}+{index}?"}]
        sample: dict[str, Any] = {"messages": messages}
        if index % 3 == 0:
            sample["tools"] = [ADD]
            messages.append({"role": "assistant", "content": None, "tool_calls": [call(a=index)]})
            messages.append({"role": "tool", "tool_call_id": "1", "content": str(2 * index)})
        answer: dict[str, Any] = {"role": "assistant", "content": f"That is {2 * index}."}
        if index % 3 == 1:
            answer["reasoning_content"] = "Add them."
        messages.append(answer)
        found.append(sample)
    return found


def write(path: Path, samples: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return path
