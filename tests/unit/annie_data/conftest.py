"""Fixtures of the annie_data tests: the files beside them, and a valid conversation to modify."""

import copy
from typing import Any

import pytest

QUERY = {"type": "object", "properties": {"query": {"type": "string", "minLength": 1}}, "required": ["query"],
         "additionalProperties": False}  # fmt: skip


@pytest.fixture
def sound() -> dict[str, Any]:
    """A conversation with a call, its result and a thought; nothing is wrong with it."""
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"query": "Anna\'s kite"}'}}
    line = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Where's Anna's kite?"},
            {"role": "assistant", "content": "", "reasoning_content": "A thing to look up.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "The kite is in the attic."},
            {"role": "assistant", "content": "Anna's kite is in the attic.", "reasoning_content": "Found."},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "Look.", "parameters": QUERY}}],
        "chat_template_kwargs": {"enable_thinking": True},
        "meta": {"kind": "memory", "thinking": "on"},
    }
    return copy.deepcopy(line)
