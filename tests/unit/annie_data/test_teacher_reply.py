"""Reading a teacher's answer: data are extracted, and known kinds of failures are recognised."""

# ruff: noqa: E501 - tables

import json
from typing import Any

import pytest

from annie_data.mix import Kind
from annie_data.teachers.prompt import PROMPT_LIMIT, prompt, read
from annie_data.teachers.protocol import Order
from annie_eval.profile.load import load

ORDER = Order(Kind("greetings", 10, "greetings"), False, 10, 0)


def _line(n: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"Hello {n}"}, {"role": "assistant", "content": "Hi."}]}


GOOD = "\n".join(json.dumps(_line(n)) for n in range(3))


def _causes(text: str) -> list[str]:
    return [drop.cause for drop in read(text, ORDER).drops]


@pytest.mark.parametrize(
    "text",
    [
        GOOD, GOOD + "\n", "\n\n" + GOOD.replace("\n", "\n\n"), GOOD.replace("\n", "\r\n"), f"```jsonl\n{GOOD}\n```",
        json.dumps([_line(0), _line(1), _line(2)], indent=2), json.dumps({"conversations": [_line(0), _line(1), _line(2)]}),
        "\n".join(json.dumps(_line(n)["messages"]) for n in range(3)), json.dumps([_line(0), _line(1), _line(2)]),
        "\n".join(json.dumps(_line(n), indent=1) for n in range(3)), GOOD.replace("\n", " "),
    ],
    ids=["lines", "end", "blank", "crlf", "fence", "pretty", "object", "bare", "list", "many lines", "one line"],
)  # fmt: skip
def test_data_is_read_in_every_common_shape(text: str) -> None:
    batch = read(text, ORDER)
    assert [draft.messages[0]["content"] for draft in batch.drafts] == ["Hello 0", "Hello 1", "Hello 2"]
    assert list(batch.drops) == []


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "empty answer"),
        (" \n\t\n", "empty answer"),
        ("The file holds ten conversations about greetings.", "a description instead of data"),
        ("Here's my plan: first, I'll choose names.", "a plan instead of data"),
        ("SessionStart hook completed", "hook text"),
        ("<system-reminder>Be kind</system-reminder>", "hook text"),
        (GOOD[:-20], "truncated JSON"),
        ('{"messages": [', "truncated JSON"),
        (GOOD.replace('"Hi."}]}', "Hi.}]}", 1), "malformed JSON"),
        (f"Sure, here they are:\n{GOOD}", "prose between the data"),
        (f"{GOOD}\nStop hook: please commit", "hook text"),
        ('{"status": "ok"}', "not a conversation"),
        ('{"messages": "none"}', "not a conversation"),
        ('{"messages": [{"role": "robot", "content": "x"}]}', "not a conversation"),
        ('{"messages": [{"role": "user", "content": [1]}]}', "not a conversation"),
        ('{"messages": [{"role": "system", "content": "x"}]}', "not a conversation"),
        ('{"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{"}}]}]}',
         "not a conversation"),
        ("\x00\x01\x02", "a description instead of data"),
        ("{" * 5000, "truncated JSON"),
    ],
)  # fmt: skip
def test_each_failure_is_named(text: str, cause: str) -> None:
    assert cause in _causes(text)


def test_what_is_whole_survives_what_is_broken() -> None:
    pretty = json.dumps([_line(n) for n in range(3)], indent=2)
    for text, kept in ((GOOD[:-20], 2), (pretty[:-40], 2), (GOOD.replace("Hello 1", 'Hello" 1'), 2), ("x" + GOOD, 3)):
        assert len(read(text, ORDER).drafts) == kept, text


def test_form_is_mended_and_words_never_are() -> None:
    raw = {
        "messages": [
            {"role": "system", "content": "Be Annie."},
            {"role": "user", "content": " Where? "},
            {"role": "assistant", "content": None, "tool_calls": [{"name": "look", "arguments": {"query": "x"}}]},
            {"role": "tool", "content": {"found": 1}, "name": "look"},
            {"role": "assistant", "content": "**There.**", "refusal": None},
        ]
    }
    (draft,) = read(json.dumps(raw), ORDER).drafts
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"query": "x"}'}}
    assert draft.messages == [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": '{"found": 1}', "tool_call_id": "call_1"},
        {"role": "assistant", "content": "**There.**"},
    ]


def test_the_prompt_is_short_names_the_kind_and_shows_the_form() -> None:
    profile = load("annie")
    kind = Kind("multi_turn", 10, "x" * 2000, turns=(2, 6))
    text = prompt(Order(kind, None, 10, 0, True, ["y" * 50] * 100), profile)
    assert len(text) < PROMPT_LIMIT
    assert "Kind: multi_turn" in text
    assert '"messages"' in text
    assert "reasoning_content" in text
