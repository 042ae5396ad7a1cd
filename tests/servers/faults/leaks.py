"""Faults that leak thinking into spoken text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tests.servers.faults.fault import Fault, Where, gates
from tests.servers.faults.reply import Ask, Call, Reply

_THOUGHT = "Okay, the user wants a quick answer. I should keep it short and avoid any formatting."


def _always(ask: Ask) -> bool:
    return True


def _wrapped(before: str, after: str) -> Callable[[Reply, Ask], Reply]:
    """The content with text before and after it."""
    return lambda reply, ask: replace(reply, content=f"{before}{reply.content or ''}{after}")


def _leak(
    name: str,
    about: str,
    before: str = "",
    after: str = "",
    only: Where = _always,
    also: tuple[str, ...] = (),
) -> Fault:
    return Fault(
        name,
        about,
        gates("thinking_leak", "every_answer", *also),
        "thinking_leak",
        only,
        reply=_wrapped(before, after),
    )


def _spoken(ask: Ask) -> bool:
    """Whether the good reply to a request has spoken text."""
    return not ask.expect.truncated


def _tag_in_arguments(reply: Reply, ask: Ask) -> Reply:
    """Every string argument ends with a tag; a reply without calls gets one."""
    made = []
    for call in reply.calls:
        arguments = json.loads(call.arguments)
        marked = {key: f"{value}</think>" if isinstance(value, str) else value for key, value in arguments.items()}
        made.append(replace(call, arguments=json.dumps(marked or {"query": "</think>"})))
    if not made:
        name = next(iter(ask.schemas), "search_memory")
        made = [Call("chatcmpl-tool-leak", name, json.dumps({"query": "weather</think>"}))]
    return replace(reply, calls=tuple(made), finish="tool_calls")


def _repeated(reply: Reply, ask: Ask) -> Reply:
    thought = f"{_THOUGHT} They asked for something simple, so one sentence will do."
    return replace(reply, reasoning=thought, content=f"{thought} {reply.content or ''}")


def _trapped(reply: Reply, ask: Ask) -> Reply:
    return replace(reply, reasoning=reply.content or "That is done.", content=None, calls=(), finish="stop")


def _thinks_anyway(reply: Reply, ask: Ask) -> Reply:
    return replace(reply, reasoning="A short answer will do.")


_tagged = partial(_leak, before=f"<think>\n{_THOUGHT}\n</think>\n\n")


def _said(ask: Ask) -> str:
    """The user's last message."""
    users = [message for message in ask.body.get("messages") or [] if message.get("role") == "user"]
    return str(users[-1].get("content")) if users else ""


def _weak(name: str, about: str, on: Callable[[Ask], bool]) -> Fault:
    """A fault that no scenario triggers: a leaked thought for prompts with a certain feature."""
    reply = _wrapped(f"<think>\n{_THOUGHT}\n</think>\n\n", "")
    return Fault(name, about, "PROBE", only=on, reply=reply, strangers=True)


class _Sometimes:
    """Alternately true and false for prompts with an exclamation mark."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, ask: Ask) -> bool:
        if "!" not in _said(ask):
            return False
        self.times += 1
        return self.times % 2 == 1


def _unheard(name: str, about: str, where: str, before: str = "", after: str = "") -> Fault:
    """A fault in answers whose own gate does not look for it."""
    return Fault(name, about, gates("every_answer"), where, _spoken, reply=_wrapped(before, after))


def _mojibake(reply: Reply, ask: Ask) -> Reply:
    return replace(reply, content=(reply.content or "").replace(" ", " â€” ", 1))


FAULTS = [
    _unheard("leak-in-facts", "a tagged thought before a right fact", "factual", f"<think>\n{_THOUGHT}\n</think>\n\n"),
    _unheard("leak-in-reasoning", "an untagged thought before a right result", "reasoning", f"{_THOUGHT}\n\n"),
    _unheard("marks-in-facts", "a right fact in bold", "factual", "**", "**"),
    _unheard(
        "call-text-in-facts",
        "a call as text behind a right fact",
        "factual",
        after='\n<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>',
    ),
    _tagged("leak-tagged", "a thought in <think> tags before every answer"),
    _tagged("leak-streamed-only", "the same, only in streams", only=lambda ask: ask.streamed),
    _tagged("leak-whole-only", "the same, only in answers that are not streamed", only=lambda ask: not ask.streamed),
    _tagged("leak-after-tools", "the same, only after tool results", only=lambda ask: ask.after_tools),
    _tagged("leak-thinking-on", "the same, only where thinking is on", only=lambda ask: ask.thinking),
    _leak("leak-lone-close", "a thought that only ends in </think>", f"{_THOUGHT}\n</think>\n\n"),
    _leak("leak-lone-open", "an opening <think> that nothing closes", f"<think>\n{_THOUGHT} "),
    _leak("leak-bare-close", "nothing but </think> before the answer", "</think>\n\n"),
    _leak("leak-upper-case", "tags in capitals", f"<THINKING>{_THOUGHT}</THINKING>\n"),
    _leak("leak-brackets", "Mistral's tags", f"[THINK]{_THOUGHT}[/THINK]"),
    _leak("leak-channel", "gpt-oss's channel markers", f"<|channel|>analysis<|message|>{_THOUGHT}<|channel|>final"),
    _leak("leak-prose", "reasoning about the user, without tags", f"{_THOUGHT}\n\n", only=_spoken),
    _leak(
        "leak-process",
        "a numbered thinking process, without tags",
        "Thinking Process:\n\n1. Analyze the request: the user asks a question.\n2. Draft the answer.\n\n",
        only=_spoken,
    ),
    _leak("leak-head", "a thought that says what it is", "Reflection: a short reply without lists.\n\n", only=_spoken),
    _leak("leak-brackets-colon", "a thought in brackets", "[Reasoning: an easy one.] ", only=_spoken),
    _leak("leak-form", "how the answer should be", "One short sentence, no formatting. ", only=_spoken),
    _leak("leak-telegram", "a plan without a subject", "User asks. Need to answer briefly. ", only=_spoken),
    _leak("leak-switch", "the template's switch of thinking", after=" /no_think", only=_spoken, also=("speakable",)),
    _leak("leak-eaten-tag", "a thought whose opening tag lost its head", "hink>\nA good one.\n\n", only=_spoken),
    _leak("leak-cut-tag", "a closing tag that was cut", after="\n</thi", only=_spoken),
    _leak("leak-replacement-character", "bytes that were never decoded", after=" \ufffd\ufffd"),
    _leak("leak-role", "the role of the template glued to every answer", after="assistant\n\nSo it is."),
    Fault(
        "leak-mojibake",
        "UTF-8 that was read as Latin-1",
        gates("thinking_leak", "every_answer"),
        "thinking_leak",
        _spoken,
        reply=_mojibake,
    ),
    _leak("leak-special-token", "the end token as text", after="<|im_end|>", also=("wire_integrity",)),
    Fault(
        "leak-repeated",
        "the reasoning said aloud as well",
        gates("thinking_leak", "every_answer"),
        "thinking_leak",
        only=lambda ask: ask.thinking and _spoken(ask),
        reply=_repeated,
    ),
    Fault(
        "leak-in-arguments",
        "a tag in the arguments of a call",
        gates("thinking_leak", "every_answer"),
        "thinking_leak",
        only=lambda ask: bool(ask.schemas) and not ask.after_tools and _spoken(ask),
        reply=_tag_in_arguments,
    ),
    Fault(
        "reasoning-though-off",
        "a reasoning channel though thinking is off",
        gates("thinking_leak", "every_answer"),
        "thinking_leak",
        only=lambda ask: not ask.thinking,
        reply=_thinks_anyway,
    ),
    Fault(
        "answer-trapped",
        "the answer in the reasoning channel, content null",
        gates("thinking_leak", "every_answer"),
        "thinking_leak",
        only=_spoken,
        reply=_trapped,
    ),
    _weak("leak-two-questions", "a thought where a prompt has two question marks", lambda a: _said(a).count("?") == 2),
    _weak("leak-sometimes", "a thought at every other prompt with an exclamation mark", _Sometimes()),
]
