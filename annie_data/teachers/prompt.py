"""Writes the prompt for a teacher, and reads the conversations in its answer.

Known failures of language models and their command-line programs are recognised and named: an empty answer, a
description or a plan instead of data, text of hooks between the lines, truncated JSON.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from annie_data.conversation import Message
from annie_data.rules import HOOK_TEXT
from annie_data.scenario_prompts import offered_tools
from annie_data.teachers.protocol import Draft, Drop, Order, TeacherAnswer, excerpt
from annie_eval.profile.types import Profile

PROMPT_LIMIT = 3000
_AVOID_LIMIT = 600

_FORMAT = """Write {count} conversations between a person at home and Annie, a voice assistant. They are training data.
Kind: {kind}: {describe}.

Answer with JSON Lines and nothing else: {count} lines, each one JSON object, no code fence, no words before or after.
Each line: {{"messages": [...]}} in OpenAI chat format, without a system message.
{example}

Rules:
{rules}"""

_SPEECH = [
    "Annie is read aloud: one to three short plain finished sentences, never markdown, lists, emoji, links or tags.",
    "Vary names, wording, length and tone; people say um, leave out marks, write in lower case, give half a reason.",
]


def prompt(order: Order, profile: Profile) -> str:
    """The prompt for one batch, shorter than PROMPT_LIMIT characters."""
    rules = list(_SPEECH)
    least, most = order.kind.turns
    rules.append(
        "One question and its answer in each."
        if most == 1
        else f"{least} to {most} user turns in each; later turns refer to earlier ones."
    )
    tools = {tool["function"]["name"]: tool["function"] for tool in offered_tools(profile)}
    if order.calls is False:
        rules.append("No tool is called.")
    else:
        chosen = {order.kind.tool: tools[order.kind.tool]} if order.kind.tool in tools else tools
        when = "Each conversation calls a tool" if order.calls else "A tool is called where it is needed"
        rules.append(
            f"{when}, with empty content; a tool message with a short plain result follows, then Annie says it."
        )
        for name, function in chosen.items():
            schema = json.dumps(function.get("parameters", {}).get("properties", {}), ensure_ascii=False)
            rules.append(f"Tool {name}: {function.get('description', '')} Arguments: {schema[:300]}")
    if order.thinking:
        rules.append(
            'Every assistant message has "reasoning_content": one or two short sentences, never the words "the user".'
        )
    text = _FORMAT.format(
        count=order.count,
        kind=order.kind.name,
        describe=(order.kind.describe or order.kind.name.replace("_", " "))[:500],
        example=_example(order),
        rules="\n".join(f"- {rule}" for rule in rules),
    )
    avoid, room = "", min(_AVOID_LIMIT, PROMPT_LIMIT - len(text) - 60)
    for words in order.avoid:
        if len(avoid) + len(words) + 3 > room:
            break
        avoid += f"\n- {words}"
    if avoid:
        text += f"\n\nThese exist already; write others:{avoid}"
    return text[: PROMPT_LIMIT - 1]


def _example(order: Order) -> str:
    name = order.kind.tool or "web_search"
    arguments = '{\\"minutes\\": 5}' if name == "set_timer" else '{\\"query\\": \\"…\\"}'
    thought = ', "reasoning_content": "…"' if order.thinking else ""
    asks = '{"role": "user", "content": "…"}'
    says = f'{{"role": "assistant", "content": "…"{thought}}}'
    if order.calls is False:
        return f'Form: {{"messages": [{asks}, {says}]}}'
    call = f'{{"id": "call_1", "type": "function", "function": {{"name": "{name}", "arguments": "{arguments}"}}}}'
    calling = f'{{"role": "assistant", "content": ""{thought}, "tool_calls": [{call}]}}'
    result = '{"role": "tool", "tool_call_id": "call_1", "content": "…"}'
    return f'Form: {{"messages": [{asks}, {calling}, {result}, {says}]}}'


_HOOK = re.compile(rf"\bhooks?\b|{HOOK_TEXT.pattern}", re.IGNORECASE)
_PLAN = re.compile(
    r"\b(?:plan|steps?|approach|I(?:'ll| will| am going to|'m going to)|let me|first,|here(?:'s| is) (?:how|my)|would"
    r" you like|ready to|shall I|next I)\b",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```[a-z]*|[\s,\]]+|\[")


def read(text: str, order: Order) -> TeacherAnswer:
    """The conversations in a teacher's answer, and drops with their cause for everything else."""
    if not text.strip():
        return TeacherAnswer([], [Drop("empty answer")])
    drafts: list[Draft] = []
    drops: list[Drop] = []
    prose: list[str] = []
    for piece in _pieces(text):
        if isinstance(piece, Drop):
            drops.append(piece)
        elif isinstance(piece, str):
            prose.append(piece)
        else:
            for found in _unwrapped(piece):
                _draft(found, order, drafts, drops)
    for words in prose:
        drops.append(_named(words, whole=not drafts and not drops))
    return TeacherAnswer(drafts, drops)


def _named(words: str, *, whole: bool) -> Drop:
    """The category of prose: text of hooks, a plan, or a description."""
    if _HOOK.search(words):
        return Drop("hook text", excerpt(words))
    if not whole:
        return Drop("prose between the data", excerpt(words))
    return Drop("a plan instead of data" if _PLAN.search(words) else "a description instead of data", excerpt(words))


def _pieces(text: str) -> Iterator[dict[str, Any] | str | Drop]:
    """JSON objects, pieces of prose, and broken JSON, in order."""
    decoder = json.JSONDecoder()
    place, prose = 0, ""
    while place < len(text):
        if text[place] == "[":
            found, end = _list(decoder, text, place)
            if found:
                if prose.strip():
                    yield prose.strip()
                    prose = ""
                yield from found
                place = end
                continue
        if skipped := _FENCE.match(text, place):
            prose += " " if prose else ""
            place = skipped.end()
            continue
        if text[place] != "{":
            stops = (text.find("\n", place), text.find('{"', place), text.find("[{", place))
            end = min((stop for stop in stops if stop > place), default=len(text))
            prose += text[place:end]
            place = end
            continue
        if prose.strip():
            yield prose.strip()
            prose = ""
        try:
            value, place = decoder.raw_decode(text, place)
            yield value
        except (json.JSONDecodeError, RecursionError) as error:
            following = _next_object(text, place)
            cut = isinstance(error, json.JSONDecodeError) and error.pos >= len(text.rstrip())
            cause = "truncated JSON" if cut or following is None else "malformed JSON"
            yield Drop(cause, excerpt(text[place : place + 200]))
            if following is None:
                return
            place = following
    if prose.strip():
        yield prose.strip()


def _list(decoder: json.JSONDecoder, text: str, place: int) -> tuple[list[dict[str, Any]], int]:
    """The objects of a JSON list that begins here, and where it ends; a list of messages is one conversation."""
    try:
        value, end = decoder.raw_decode(text, place)
    except (json.JSONDecodeError, RecursionError):
        return [], place
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        return [], place
    return ([{"messages": value}] if all("role" in one for one in value) else value), end


def _next_object(text: str, place: int) -> int | None:
    """Where the next object begins after the broken one at `place`: at a line that is not indented deeper."""
    indent = place - (text.rfind("\n", 0, place) + 1)
    match = re.compile(rf"\n[ \t]{{0,{indent}}}(?=[\[{{])").search(text, place)
    return match.end() if match else None


def _unwrapped(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The conversations in an object: itself, or those of a list in it."""
    if "messages" in value:
        return [value]
    for inner in value.values():
        if isinstance(inner, list) and inner and all(isinstance(one, dict) and "messages" in one for one in inner):
            return inner
    return [value]


def _draft(value: dict[str, Any], order: Order, drafts: list[Draft], drops: list[Drop]) -> None:
    try:
        messages = tidy(value.get("messages"))
    except ValueError as error:
        drops.append(Drop("not a conversation", excerpt(f"{error}: {json.dumps(value, ensure_ascii=False)}")))
        return
    replies = [message for message in messages if message["role"] == "assistant"]
    thinks = bool(order.thinking) and all("reasoning_content" in message for message in replies)
    if not thinks:
        for message in replies:
            message.pop("reasoning_content", None)
    drafts.append(Draft(messages, {"kind": order.kind.name, "thinking": "on" if thinks else "off"}))


def tidy(raw: Any) -> list[Message]:
    """Messages in the format of a data set: no system message, calls with ids and JSON text, no unknown fields.

    Only the format is corrected, never the text. Raises ValueError if there is no conversation.
    """
    if not isinstance(raw, list) or not raw or not all(isinstance(one, dict) for one in raw):
        raise ValueError("messages is no list of objects")
    messages: list[Message] = []
    waiting: list[str] = []
    calls = 0
    for index, one in enumerate(raw):
        role, content = one.get("role"), one.get("content")
        if not isinstance(role, str):
            raise ValueError(f"messages.{index} has role {role!r}")
        if role in {"system", "developer"}:
            continue
        if role == "tool" and isinstance(content, dict | list):
            content = json.dumps(content, ensure_ascii=False)
        if role not in {"user", "assistant", "tool"} or not isinstance(content, str | None):
            raise ValueError(f"messages.{index} has role {role!r} and content of type {type(content).__name__}")
        message: Message = {"role": role, "content": (content or "").strip()}
        if role == "assistant":
            thought = one.get("reasoning_content") or one.get("reasoning")
            if isinstance(thought, str) and thought.strip():
                message["reasoning_content"] = thought.strip()
            raw_calls = one.get("tool_calls") or []
            if not isinstance(raw_calls, list):
                raise ValueError(f"messages.{index} has tool_calls of type {type(raw_calls).__name__}")
            made = [_call(call, index) for call in raw_calls]
            for call in made:
                calls += 1
                call["id"] = f"call_{calls}"
                waiting.append(call["id"])
            if made:
                message["tool_calls"] = made
        elif role == "tool":
            message["tool_call_id"] = waiting.pop(0) if waiting else "call_0"
        messages.append(message)
    if not messages:
        raise ValueError("messages holds only system messages")
    return messages


def _call(raw: Any, index: int) -> dict[str, Any]:
    function = raw.get("function", raw) if isinstance(raw, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError(f"messages.{index} has a tool call without a name")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            raise ValueError(f"messages.{index} has a tool call whose arguments are not JSON") from None
    text = json.dumps(arguments, ensure_ascii=False)
    return {"id": "", "type": "function", "function": {"name": function["name"], "arguments": text}}
