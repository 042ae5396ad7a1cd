"""The rules for conversations: each finds its fault, and a valid conversation has none."""

# ruff: noqa: E501 - tables

import json
from collections.abc import Callable
from typing import Any

import pytest

from annie_data.rules import problems

Line = dict[str, Any]


def test_a_sound_conversation_has_no_problem(sound: Line) -> None:
    assert problems(sound) == []


def _set(path: str, value: Any) -> Callable[[Line], None]:
    def spoil(line: Line) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = line
        for part in way:
            place = place[part]
        place[last] = value

    return spoil


def _drop(path: str) -> Callable[[Line], None]:
    def spoil(line: Line) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = line
        for part in way:
            place = place[part]
        del place[last]

    return spoil


FAULTS: dict[str, tuple[Callable[[Line], None], str]] = {
    "no messages": (_set("messages", []), "messages: is no list"),
    "messages no list": (_set("messages", {"role": "user"}), "messages: is no list"),
    "an unknown field": (_set("label", 1), "label: unknown field"),
    "an unknown role": (_set("messages.1.role", "human"), 'messages.1.role: is "human"'),
    "a message that is a text": (_set("messages.1", "hi"), "messages.1.role"),
    "an unknown field of a message": (_set("messages.1.name", "Bob"), "messages.1.name: does not belong"),
    "content of parts": (_set("messages.1.content", [{"type": "text"}]), "messages.1.content: is no text"),
    "silence": (_set("messages.4.content", "  "), "messages.4.content: is empty"),
    "an empty request": (_set("messages.1.content", ""), "messages.1.content: is empty"),
    "an empty result": (_set("messages.3.content", ""), "messages.3.content: is empty"),
    "no answer": (lambda line: line["messages"].append({"role": "user", "content": "And now?"}), "not assistant"),
    "two answers": (_set("messages.3", {"role": "assistant", "content": "Yes."}), "assistant follows a tool call"),
    "a late system message": (lambda line: line["messages"].append(line["messages"][0]), "system follows assistant"),
    "no request": (_drop("messages.1"), "assistant follows system"),
    "an undeclared tool": (_set("messages.2.tool_calls.0.function.name", "seek"), "'seek' was not offered"),
    "no tools": (_drop("tools"), "'look' was not offered"),
    "a tool without a name": (_set("tools.0", {"type": "function"}), "tools.0: is no function"),
    "a tool twice": (lambda line: line["tools"].append(line["tools"][0]), "'look' is there twice"),
    "a broken schema": (_set("tools.0.function.parameters", {"type": "objekt"}), "is no JSON Schema"),
    "arguments that are no JSON": (_set("messages.2.tool_calls.0.function.arguments", "{query: 1}"), "not JSON"),
    "arguments as an object": (_set("messages.2.tool_calls.0.function.arguments", {"query": "x"}), "is no list of"),
    "arguments that are a list": (_set("messages.2.tool_calls.0.function.arguments", "[]"), "is no JSON object"),
    "arguments with NaN": (_set("messages.2.tool_calls.0.function.arguments", '{"query": NaN}'), "not JSON"),
    "a missing argument": (_set("messages.2.tool_calls.0.function.arguments", "{}"), "'query' is a required"),
    "an argument of another type": (_set("messages.2.tool_calls.0.function.arguments", '{"query": 1}'), "not of type"),
    "an argument too many": (
        _set("messages.2.tool_calls.0.function.arguments", '{"query": "a", "n": 1}'), "Additional properties"),
    "a tag in an argument": (
        _set("messages.2.tool_calls.0.function.arguments", '{"query": "<think>a"}'), "holds the tag"),
    "a call without an id": (_set("messages.2.tool_calls.0.id", ""), "is no list of"),
    "a result for no call": (_set("messages.3.tool_call_id", "call_9"), "'call_9' answers no call"),
    "an id used twice": (
        lambda line: line["messages"].extend([{"role": "user", "content": "Again?"}, *line["messages"][2:5]]), "twice"),
    "speech beside a call": (_set("messages.2.content", "One moment."), "has text beside a tool call"),
    "bold": (_set("messages.4.content", "It is in the **attic**."), "holds emphasis"),
    "a heading": (_set("messages.4.content", "# Kite\nIt is here."), "holds heading"),
    "bullets": (_set("messages.4.content", "Here:\n- kite\n- string."), "holds list"),
    "numbers": (_set("messages.4.content", "1. Look up.\n2. Look down."), "holds list"),
    "code": (_set("messages.4.content", "Call `kite` now."), "holds code"),
    "a link": (_set("messages.4.content", "See https://kites.example."), "holds link"),
    "a table": (_set("messages.4.content", "| a | b |\n|---|---|\n| 1 | 2 |"), "holds table"),
    "emoji": (_set("messages.4.content", "It is in the attic 🪁."), "holds emoji"),
    "a think tag": (_set("messages.4.content", "<think>Hm.</think>It is here."), "holds the tag '<think>'"),
    "a tag in a thought": (_set("messages.4.reasoning_content", "Hm.</think>"), "holds the tag"),
    "a mark of the template": (_set("messages.1.content", "Hi<|im_end|>"), "a token of chat templates"),
    "text of a hook": (_set("messages.1.content", "Hi <system-reminder>Be kind"), "text of a hook"),
    "a control character": (_set("messages.1.content", "Hi\x00"), "a character that is none"),
    "an undecodable byte": (_set("messages.4.content", "It is in the atti\ufffd."), "a character that is none"),
    "four sentences": (_set("messages.4.content", "It is here. Look. There. Yes."), "4 sentences, at most 3"),
    "too many words": (_set("messages.4.content", "kite " * 81 + "."), "81 words, at most 80"),
    "an end in the middle": (_set("messages.4.content", "Anna's kite is in the"), "is not finished"),
    "speech of the user": (_set("messages.4.reasoning_content", "The user wants a kite."), "speaks of the user"),
    "no thought": (_drop("messages.4.reasoning_content"), "has no reasoning, but thinking is on"),
    "a thought unasked for": (_set("chat_template_kwargs", {"enable_thinking": False}), "thinking"),
    "a switch that disagrees": (_set("meta.thinking", "off"), "does not agree with meta.thinking"),
    "a switch of text": (_set("chat_template_kwargs", {"enable_thinking": "yes"}), "is no object of switches"),
    "meta that is a list": (_set("meta", []), "meta: is no object"),
    "a weight of a half": (_set("messages.4.weight", 0.5), "weight: is neither 0 nor 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found(sound: Line, name: str) -> None:
    spoil, told = FAULTS[name]
    spoil(sound)
    found = problems(sound)
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    "text",
    [
        "It's minus 5 degrees, Mr. Smith.", "The capital is Washington, D.C.", "Two times three is six!", "It costs 3.50 pounds.",
        "Anna said \"yes\".", "That's C sharp, number one, and 50 percent.", "Well-known café, naïve, jalapeño.",
    ],
)  # fmt: skip
def test_plain_speech_is_let_be(sound: Line, text: str) -> None:
    sound["messages"][4]["content"] = text
    assert problems(sound) == []


def test_an_interrupted_reply_may_end_in_the_middle(sound: Line) -> None:
    sound["messages"][4] |= {"content": "Anna's kite is in", "weight": 0}
    assert problems(sound) == []


def test_the_user_may_ask_about_tags(sound: Line) -> None:
    sound["messages"][1]["content"] = "What does <think> mean?"
    assert problems(sound) == []


def test_deep_nesting_is_a_problem_and_no_crash(sound: Line) -> None:
    sound["messages"][2]["tool_calls"][0]["function"]["arguments"] = "[" * 100_000
    assert problems(sound)
    sound["messages"][1]["content"] = json.loads("[" * 900 + "]" * 900)
    assert problems(sound)
