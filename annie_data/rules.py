"""Finds problems of one conversation: schema of messages and calls, order of roles, text that cannot be spoken."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from annie_data.conversation import Line, Message
from annie_eval.detectors import detect
from annie_eval.detectors.english.sentences import count_sentences, count_words, is_finished
from annie_eval.detectors.tags import scan
from annie_eval.profile.types import Expect, Limits, Scenario, Turn
from annie_eval.wire.sample import Answer, Exchange, Sample

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MAX_SENTENCES = 3
MAX_WORDS = 80
_THINKING: Mapping[str, set[bool | None]] = {"on": {True}, "off": {False}, "unset": {None}}
_FIELDS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "reasoning_content", "weight"},
    "tool": {"role", "content", "tool_call_id"},
}
_THE_USER = re.compile(r"\bthe user\b", re.IGNORECASE)
#: Special tokens of chat templates, which no text may contain, because they would end the turn.
_TEMPLATE_TOKEN = re.compile(r"<\|[a-z_]{2,30}\|>|\[/?INST\]|<<SYS>>|<(?:start|end)_of_turn>", re.IGNORECASE)
#: Text that command-line assistants mix into their answers: output of hooks, and reminders of the program.
HOOK_TEXT = re.compile(
    r"system-reminder|\b(?:SessionStart|SessionEnd|UserPromptSubmit|PreToolUse|PostToolUse)\b|\bStop hook\b"
)


def problems(line: Line, *, max_sentences: int = MAX_SENTENCES, max_words: int = MAX_WORDS) -> list[str]:
    """All problems of a conversation, each as one phrase that starts with the field; empty if there is none."""
    messages = line.get("messages")
    if not isinstance(messages, list) or not messages:
        return ["messages: is no list with something in it"]
    found = [
        f"{field}: unknown field"
        for field in line
        if field not in {"messages", "tools", "chat_template_kwargs", "meta"}
    ]
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _FIELDS:
            role = message.get("role") if isinstance(message, dict) else message
            found.append(f"messages.{index}.role: is {json.dumps(role, ensure_ascii=False, default=str)[:40]}")
    if any(problem.startswith("messages.") for problem in found):
        return found
    tools, bad_tools = _tools(line.get("tools"))
    found += bad_tools
    for index, message in enumerate(messages):
        found += [f"messages.{index}.{problem}" for problem in _shape(message)]
    if found:
        return found
    found += _order(messages)
    for index, message in enumerate(messages):
        found += [f"messages.{index}.{problem}" for problem in _calls(message, tools)]
        if message["role"] == "assistant":
            found += [f"messages.{index}.{problem}" for problem in _reply(message, max_sentences, max_words)]
    found += _results(messages)
    found += _switch(line, messages)
    return found


def _tools(raw: Any) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
    if raw is None:
        return {}, []
    if not isinstance(raw, list):
        return {}, ["tools: is no list"]
    tools: dict[str, Mapping[str, Any]] = {}
    for index, tool in enumerate(raw):
        function = tool.get("function") if isinstance(tool, dict) else None
        if (
            not isinstance(function, dict)
            or not isinstance(function.get("name"), str)
            or tool.get("type") != "function"
        ):
            return tools, [f"tools.{index}: is no function with a name"]
        if function["name"] in tools:
            return tools, [f"tools.{index}: the name {function['name']!r} is there twice"]
        schema = function.get("parameters", {"type": "object"})
        if problem := _schema_problem(json.dumps(schema, sort_keys=True)):
            return tools, [f"tools.{index}.parameters: {problem}"]
        tools[function["name"]] = schema
    return tools, []


def _shape(message: Message) -> Iterator[str]:
    """Problems of a message's fields and their types."""
    role, content = message["role"], message.get("content")
    for field in message:
        if field not in _FIELDS[role]:
            yield f"{field}: does not belong to a message of role {role}"
    if not (isinstance(content, str) or (role == "assistant" and content is None and message.get("tool_calls"))):
        yield "content: is no text"
        return
    texts = {"content": content or ""}
    if "reasoning_content" in message:
        if not isinstance(message["reasoning_content"], str):
            yield "reasoning_content: is no text"
            return
        texts["reasoning_content"] = message["reasoning_content"]
    for field, text in texts.items():
        if mark := _TEMPLATE_TOKEN.search(text):
            yield f"{field}: holds {mark.group()!r}, a token of chat templates"
        if mark := HOOK_TEXT.search(text):
            yield f"{field}: holds {mark.group()!r}, text of a hook"
        if "\ufffd" in text or re.search(r"[\x00-\x08\x0b-\x1f\x7f]|[\ud800-\udfff]", text):
            yield f"{field}: holds a character that is none"
    if message.get("weight", 1) not in (0, 1):
        yield "weight: is neither 0 nor 1"
    if role in {"user", "tool"} and not texts["content"].strip():
        yield "content: is empty"
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        yield "tool_call_id: is missing"
    calls = message.get("tool_calls")
    if calls is not None and (not isinstance(calls, list) or not calls or not all(map(_is_call, calls))):
        yield "tool_calls: is no list of {id, type: function, function: {name, arguments}}"


def _is_call(call: Any) -> bool:
    return (
        isinstance(call, dict)
        and call.keys() == {"id", "type", "function"}
        and isinstance(call["id"], str)
        and bool(call["id"])
        and call["type"] == "function"
        and isinstance(call["function"], dict)
        and call["function"].keys() == {"name", "arguments"}
        and all(isinstance(value, str) for value in call["function"].values())
    )


def _order(messages: Sequence[Message]) -> Iterator[str]:
    """Check the order of roles: system? (user assistant (tool+ assistant)*)+, where tools follow calls."""
    before = "start"
    for index, message in enumerate(messages):
        role = message["role"]
        called = before == "assistant" and bool(messages[index - 1].get("tool_calls"))
        allowed = {
            "start": {"system", "user"},
            "system": {"user"},
            "user": {"assistant"},
            "assistant": {"tool"} if called else {"user"},
            "tool": {"tool", "assistant"},
        }[before]
        if role not in allowed:
            yield f"messages.{index}.role: {role} follows {before if not called else 'a tool call'}"
        before = role
    if before != "assistant":
        yield f"messages.{len(messages) - 1}.role: the last message is of role {before}, not assistant"


@lru_cache(maxsize=256)
def _validator(schema: str) -> "Validator":
    from annie_eval.profile.tool_schema import validator

    return validator(json.loads(schema))


@lru_cache(maxsize=256)
def _schema_problem(schema: str) -> str | None:
    from annie_eval.profile.tool_schema import problem

    found = problem(json.loads(schema))
    return None if found is None else f"is no JSON Schema ({found.strip()[:80]})"


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _calls(message: Message, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for index, call in enumerate(message.get("tool_calls") or []):
        where = f"tool_calls.{index}"
        name, text = call["function"]["name"], call["function"]["arguments"]
        if name not in tools:
            yield f"{where}.function.name: {name!r} was not offered"
            continue
        try:
            arguments = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            yield f"{where}.function.arguments: not JSON ({error})"
            continue
        if not isinstance(arguments, dict):
            yield f"{where}.function.arguments: is no JSON object"
            continue
        if tagged := next((found for found in map(_tag, _strings(arguments)) if found), None):
            yield f"{where}.function.arguments: holds the tag {tagged!r}"
        from annie_eval.profile.tool_schema import Endless, errors

        try:
            for broken in errors(_validator(json.dumps(tools[name], sort_keys=True)), arguments):
                yield f"{where}.function.arguments: {broken.message[:100]}"
        except (Endless, RecursionError):
            yield f"{where}.function.arguments: are nested too deeply"


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _strings(inner)]
    return [text for inner in value for text in _strings(inner)] if isinstance(value, list) else []


def _reply(message: Message, max_sentences: int, max_words: int) -> Iterator[str]:
    text = message.get("content") or ""
    thought = message.get("reasoning_content", "")
    for field, value in (("content", text), ("reasoning_content", thought)):
        if found := _tag(value):
            yield f"{field}: holds the tag {found!r}"
        if _THE_USER.search(value):
            yield f"{field}: speaks of the user"
    if message.get("tool_calls"):
        if text.strip():
            yield f"content: has text beside a tool call ({text.strip()[:30]!r})"
        return
    if not text.strip():
        yield "content: is empty"
        return
    yield from (f"content: holds {reason}" for reason in _markdown(text))
    if (count := count_sentences(text)) > max_sentences:
        yield f"content: {count} sentences, at most {max_sentences} are spoken"
    if (count := count_words(text)) > max_words:
        yield f"content: {count} words, at most {max_words} are spoken"
    if message.get("weight", 1) and not is_finished(text):
        yield "content: the last sentence is not finished"


def _tag(text: str) -> str | None:
    """The first tag in a text; None if there is none."""
    return next((text[tag.start : tag.end] for tag in scan(text)), None)


def _markdown(reply: str) -> list[str]:
    """Findings of the gate's markdown detector in a reply: one reason for each kind of markup."""
    exchange = Exchange({}, 200, (), b"", (), Answer(reply), Expect())
    scenario = Scenario("reply", "speech", (Turn(""),))
    sample = Sample("reply", scenario, scenario.variants[0], (exchange,), {}, Limits())
    return [finding.reason for finding in detect("markdown", sample)]


def _results(messages: Sequence[Message]) -> Iterator[str]:
    """Check that every result answers a call, and that every call followed by results has one."""
    waiting: list[str] = []
    used: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] in waiting:
                waiting.remove(message["tool_call_id"])
            else:
                yield f"messages.{index}.tool_call_id: {message['tool_call_id']!r} answers no call"
            continue
        if waiting:
            yield f"messages.{index}: the call {waiting[0]!r} has no result"
        waiting = [call["id"] for call in message.get("tool_calls") or []]
        for one in waiting:
            if one in used:
                yield f"messages.{index}.tool_calls: the id {one!r} is used twice"
            used.add(one)


def _switch(line: Line, messages: Sequence[Message]) -> Iterator[str]:
    """Check that the thinking switch, `meta.thinking` and the reasoning agree."""
    kwargs, meta = line.get("chat_template_kwargs"), line.get("meta")
    if meta is not None and not isinstance(meta, dict):
        yield "meta: is no object"
        return
    if kwargs is not None and (not isinstance(kwargs, dict) or not all(isinstance(v, bool) for v in kwargs.values())):
        yield "chat_template_kwargs: is no object of switches"
        return
    switch = next(iter((kwargs or {}).values()), None)
    thinking = (meta or {}).get("thinking")
    if thinking is not None and not (isinstance(thinking, str) and switch in _THINKING.get(thinking, set())):
        yield f"chat_template_kwargs: does not agree with meta.thinking {thinking!r}"
    replies = [index for index, one in enumerate(messages) if one["role"] == "assistant"]
    thoughts = [index for index in replies if str(messages[index].get("reasoning_content", "")).strip()]
    if thoughts and switch is not True:
        yield f"messages.{thoughts[0]}.reasoning_content: has reasoning, but thinking is not on"
    if switch is True and (silent := [index for index in replies if index not in thoughts]):
        yield f"messages.{silent[0]}.reasoning_content: has no reasoning, but thinking is on"
