"""What the tests of training share: a tiny model with a longer context, and a few conversations."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "quant"))  # tiny.py is imported by name

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
    """Plain answers, answers after thinking, and a tool loop, in turn."""
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


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "data.jsonl", conversations())


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, hidden 128, a byte tokenizer, a context of 2048."""
    import tiny

    directory = tmp_path_factory.mktemp("models") / "llama"
    directory.mkdir()
    tiny.llama(directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    return directory
