"""hypothesis strategies for the answers of a hostile server: JSON that a normal server never writes, and its text."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

TEXT = st.sampled_from(
    [
        *("", "x", "a\0b", "\ud800", "\udfff\ud800", "\u2028\u2029", "\x1b]52;c;x\x07", "\x9b2J", "\u202egnp"),
        *(piece * 500 for piece in ("\u200b", "[", "{", "(", "`", "**", "1.", "&lt;", "\r\n", "<think>", "\ufdfa")),
        *("9" * 4400, '{"a": ' + "9" * 4200 + "}", '{"a": 1e999}', '{"\\u0000": "\\ud800"}', "one hundred " * 150),
        '{"name": "get_time", "arguments": ' + '{"a":' * 300 + "1" + "}" * 300 + "}",
        "<tool_call>" + "[" * 400,
    ]
)
"""Content, reasoning, names, ids and arguments."""


class Raw:
    """JSON as it stands, which no encoder would write."""

    def __init__(self, text: str) -> None:
        self.text = text


NUMBERS = st.sampled_from(
    [
        Raw("9" * 4299),
        Raw("9" * 5000),
        Raw("1e999"),
        Raw("-1e999"),
        Raw("NaN"),
        10**400,
        2**63,
        -1,
        0,
        True,
        0.5,
        1e308,
    ]
)
ODD = st.one_of(
    st.none(), NUMBERS, TEXT, st.just([]), st.just({}), st.just([None]), st.just([[1]]), st.just({"a": 1}),
    st.sampled_from([400, 950, 5000]).map(lambda deep: Raw("[" * deep + "]" * deep)),
    st.just(Raw('{"a":' * 450 + "1" + "}" * 450)),
)  # fmt: skip


def dumps(value: Any) -> str:
    """JSON with `Raw` in it; lone surrogates escaped."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{dumps(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    return json.dumps(value)


@st.composite
def odder(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one to three places of it replaced by something odd."""
    for _ in range(draw(st.integers(1, 3))):
        value = _replaced(draw, value)
    return value


def _replaced(draw: st.DrawFn, value: Any) -> Any:
    within: list[Any] = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    if not within or draw(st.integers(0, 5)) == 0:
        return draw(ODD)
    at = draw(st.sampled_from(within))
    if isinstance(value, dict):
        return {key: _replaced(draw, each) if key == at else each for key, each in value.items()}
    return [_replaced(draw, each) if place == at else each for place, each in enumerate(value)]


CALLS = [{"index": 0, "id": "a", "type": "function", "function": {"name": "get_time", "arguments": '{"a": 1}'}}]
CHUNKS: list[dict[str, Any]] = [
    *(
        {
            "id": "c",
            "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
            "usage": {"completion_tokens": n},
        }
        for n, delta in enumerate(
            [{"role": "assistant"}, {"content": "Hi"}, {"reasoning": "a"}, {"tool_calls": CALLS}]
        )
    ),
    {
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "metrics": {"time_to_first_token_ms": 1, "queue_time_ms": 2, "generation_time_ms": 4},
    },
    {
        "choices": [],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}},
        "error": None,
    },
]
"""A stream of one answer, chunk by chunk."""

STREAMS = (
    odder(CHUNKS[:])
    .filter(lambda chunks: isinstance(chunks, list))
    .map(lambda chunks: "".join(f"data: {dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n")
)
"""Bodies of streamed answers, odd in one to three places."""
