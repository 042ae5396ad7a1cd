"""Checks tool calls: declared, well-formed, valid, the wanted ones with the wanted values, none dropped or cut off.

Every exchange whose `expect.calls` is not None is judged: names, ids, strict JSON, JSON Schema (Draft 2020-12;
`format` is an annotation there and is not enforced), the scenario's checks on values (`profile.argument_checks`),
the count, `finish_reason`, and calls written as text. Parallel calls are paired with the wanted ones by a maximum
matching, so that their order never matters. A call never counts if max_tokens cut the answer off.

A tool's JSON Schema comes from the profile: if it is no schema, `find` raises, and the sample is an ERROR rather than
the model's miss.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from annie_eval.detectors.argument_text import find_garbled
from annie_eval.detectors.call_text import find_call_text
from annie_eval.detectors.context import cut_off, user_text
from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.detectors.matching import match
from annie_eval.detectors.tags import scan
from annie_eval.profile import tool_schema
from annie_eval.profile.argument_checks import MISSING, check_value, validate_check
from annie_eval.text import is_blank, tool_name
from annie_eval.wire.sample import FINISH_REASONS, Answer, Channel, Exchange, Sample, ToolCall

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from annie_eval.profile.types import CallExpectation

__all__ = ["check_value", "dropped_call", "find", "validate_check"]


@dataclass(frozen=True, slots=True)
class _Call:
    """A received call: its arguments if they are a JSON object, and what is wrong with the call by itself."""

    call: ToolCall
    arguments: Mapping[str, Any] | None
    problem: str | None


def find(sample: Sample) -> tuple[Finding, ...]:
    """Every miss of the wanted calls, in order of the exchanges."""
    findings: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        if exchange.expect.calls is not None:
            findings += _judge(sample, index, exchange, exchange.expect.calls)
    return tuple(findings)


def _judge(sample: Sample, index: int, exchange: Exchange, wanted: tuple[CallExpectation, ...]) -> Iterator[Finding]:
    answer = exchange.answer
    calls = answer.tool_calls
    yield from dropped_call(sample, index, exchange)
    if not wanted:
        for call in calls:
            yield _of(call, f"call of {tool_name(call.name)} where no call is wanted", index)
    elif cut_off(exchange) and (calls or not all(want.optional for want in wanted)):
        text = (calls[-1].arguments if calls else answer.content or answer.reasoning) or ""
        channel: Channel = "tool_calls" if calls else "content" if answer.content else "reasoning"
        reason = "cut off by max_tokens, so that no call counts"
        yield Finding("tool_calls", reason, excerpt(text, len(text)), channel, index, (0, len(text)))
        return
    if misfit := _finish(exchange):
        yield Finding("tool_calls", misfit, answer.finish_reason or "", None, index)
    if wanted:
        yield from _ids(calls, index)
        received = [_read(call, sample.tools, user_text(exchange)) for call in calls]
        for one in received:
            if one.problem:
                yield _of(one.call, one.problem, index)
        yield from _pair(wanted, received, index, answer)


def _of(call: ToolCall, reason: str, index: int) -> Finding:
    text = call.arguments or ""
    shown = f"{call.name or ''}({text})"
    return Finding("tool_calls", reason, excerpt(shown, 0), "tool_calls", index, (0, len(text)))


def dropped_call(sample: Sample, index: int, exchange: Exchange) -> Iterator[Finding]:
    """Calls written as text into content, or into reasoning while none came over the tool channel."""
    answer = exchange.answer
    asked = bool({"tags", "tools"} & set(exchange.expect.topic)) or any(
        tag.kind == "tool" for tag in scan(user_text(exchange))
    )
    content = answer.content or ""
    if text := find_call_text(content, sample.tools, about_tags=asked):
        shown = excerpt(content, text.start)
        reason = f"dropped call: {text.reason}"
        yield Finding("tool_calls", reason, shown, "content", index, (text.start, text.end))
    reasoning = answer.reasoning or ""
    if answer.tool_calls or not reasoning:
        return
    # Without the model's own markup a call in reasoning is a plan, which matters only where a call was wanted.
    text = find_call_text(reasoning, sample.tools, about_tags=asked)
    if text and (text.tagged or exchange.expect.calls):
        shown = excerpt(reasoning, text.start)
        reason = f"dropped call: {text.reason}"
        yield Finding("tool_calls", reason, shown, "reasoning", index, (text.start, text.end))


def _finish(exchange: Exchange) -> str | None:
    """Why the finish_reason does not fit: OpenAI documents `stop` where the request named the tool.

    One that is absent or unknown breaks the protocol, whatever was called, and is for the wire detector.
    """
    answer = exchange.answer
    finish = answer.finish_reason
    if not answer.tool_calls:
        return "finish_reason is tool_calls, but no call came" if finish in ("tool_calls", "function_call") else None
    choice = exchange.request.get("tool_choice")
    if (
        finish not in FINISH_REASONS
        or finish == "tool_calls"
        or (finish == "stop" and (choice == "required" or isinstance(choice, Mapping)))
    ):
        return None
    return f"finish_reason is {finish}, but calls came: it must be tool_calls"


def _ids(calls: tuple[ToolCall, ...], index: int) -> Iterator[Finding]:
    seen: set[str] = set()
    for call in calls:
        if call.id is None or is_blank(call.id):
            yield _of(call, f"call of {tool_name(call.name)} has no id", index)
        elif call.id in seen:
            yield _of(call, f"id {call.id!r} is used twice", index)
        seen.add(call.id or "")


def _read(call: ToolCall, tools: Mapping[str, Mapping[str, Any]], asked: str) -> _Call:
    if not call.name:
        return _Call(call, None, "call without a name")
    if call.name not in tools:
        return _Call(call, None, f"{call.name!r} is not among the tools that were offered")
    try:
        arguments = strict_object(call.arguments)
    except ValueError as error:
        return _Call(call, None, f"arguments of {call.name} {error}")
    problem = _schema_problem(call.name, tools[call.name], arguments)
    if problem is None and (garbled := find_garbled(arguments, asked, tools[call.name])):
        problem = f"argument {' '.join(garbled[0].split())[:80]} of {call.name} {' '.join(garbled[1].split())}"
    return _Call(call, arguments, problem)


def strict_object(text: str | None) -> dict[str, Any]:
    """A JSON object, read strictly. Raises ValueError that says what the text is instead."""
    if text is None or is_blank(text):
        raise ValueError("are empty, not a JSON object")
    try:
        value = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite_float
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"are not JSON ({error.msg} at character {error.pos})") from None
    except RecursionError:
        raise ValueError("are nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"are a JSON {type(value).__name__}, not an object")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"give {name!r} twice")
        members[name] = value
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"hold {name}, which is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"hold {text[:20]}, which no number can represent")
    return number


def _schema_problem(name: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> str | None:
    validator = _validator(json.dumps(schema, sort_keys=True))
    try:
        error = min(tool_schema.errors(validator, arguments), key=lambda error: len(error.absolute_path), default=None)
    except RecursionError:
        return f"arguments of {name} are nested too deeply"
    except tool_schema.Endless:
        return f"arguments of {name} are nested so that the schema cannot be compared with them"
    if error is None:
        return None
    message = error.message if len(error.message) <= 120 else f"{error.message[:119]}…"
    where = "".join(f".{part}" for part in error.absolute_path)
    return f"arguments{where} of {name} break the schema: {message}"


@lru_cache(maxsize=256)
def _validator(schema: str) -> Validator:
    return tool_schema.validator(_closed(json.loads(schema) or {"type": "object"}))


_IN_PLACE = frozenset(["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas"])
_SAYS = frozenset(["additionalProperties", "patternProperties", "unevaluatedProperties"])


def _closed(schema: Any, root: Any = None, top: bool = True) -> Any:
    """The schema with every object that lists properties closed to others, unless it says itself what it takes.

    The parameters as a whole are closed even where none is listed; an object within them that lists none is free-form.
    What `$ref`, `allOf`, `anyOf`, `oneOf` and `if` list counts as listed.
    """
    if not isinstance(schema, dict):
        return schema
    root = schema if root is None else root
    closed = {key: _closed_within(key, value, root) for key, value in schema.items()}
    if (top or _lists(schema, root, set())) and not _SAYS & schema.keys():
        closed["unevaluatedProperties" if _IN_PLACE & schema.keys() else "additionalProperties"] = False
    return closed


def _closed_within(key: str, value: Any, root: Any) -> Any:
    """A member of a schema: what judges the same object stays open, what judges its members is closed."""
    if key in ("properties", "patternProperties") and isinstance(value, dict):
        return {name: _closed(inner, root, False) for name, inner in value.items()}
    if key in ("$defs", "definitions", "dependentSchemas") and isinstance(value, dict):
        return {name: _closed_members(inner, root) for name, inner in value.items()}
    if key in ("items", "additionalProperties", "contains"):
        return _closed(value, root, False)
    if key in ("prefixItems",) and isinstance(value, list):
        return [_closed(inner, root, False) for inner in value]
    if key in ("allOf", "anyOf", "oneOf") and isinstance(value, list):
        return [_closed_members(inner, root) for inner in value]
    return _closed_members(value, root) if key in ("if", "then", "else") else value


def _closed_members(schema: Any, root: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    return {key: _closed_within(key, value, root) for key, value in schema.items()}


def _lists(schema: Any, root: Any, seen: set[int]) -> bool:
    """Whether a schema lists any property of the object that it judges."""
    if not isinstance(schema, dict) or id(schema) in seen:
        return False
    seen.add(id(schema))
    if schema.get("properties"):
        return True
    parts = [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key, ())]
    parts += [schema.get(key) for key in ("if", "then", "else")]
    parts += [tool_schema.resolved(schema[key], root) for key in ("$ref", "$dynamicRef") if key in schema]
    return any(_lists(part, root, seen) for part in parts)


def _pair(wanted: tuple[CallExpectation, ...], received: list[_Call], index: int, answer: Answer) -> Iterator[Finding]:
    """Findings for wanted calls that did not come and for calls that nobody wanted, each miss told once."""
    fits = [[one.problem is None and _misfit(want, one) is None for one in received] for want in wanted]
    partner = match(fits, [not want.optional for want in wanted], len(received))
    left = [i for i in range(len(received)) if i not in partner.values()]
    for position, want in enumerate(wanted):
        if position in partner:
            continue
        near = next((i for i in left if received[i].call.name == want.name), None)
        if near is not None:
            left.remove(near)
            if received[near].problem is None:
                yield _of(received[near].call, _misfit(want, received[near]) or "one call too many", index)
        elif not want.optional:
            came, text = _instead(answer)
            yield Finding("tool_calls", f"no call of {want.name}: {came}", excerpt(text, 0), None, index)
    for i in left:
        if received[i].problem is None:
            yield _of(received[i].call, f"call of {tool_name(received[i].call.name)} that is not wanted", index)


def _instead(answer: Answer) -> tuple[str, str]:
    """What came in place of a wanted call, and its text."""
    if answer.tool_calls:
        return f"only of {', '.join(tool_name(call.name) for call in answer.tool_calls[:3])}", ""
    if not is_blank(answer.content):
        return "text instead", answer.content or ""
    if not is_blank(answer.reasoning):
        return "only reasoning", answer.reasoning or ""
    return "an empty reply", ""


def _misfit(want: CallExpectation, one: _Call) -> str | None:
    """Why a call is not the wanted one; None if it is."""
    if one.call.name != want.name:
        return f"call of {tool_name(one.call.name)}, wanted {want.name}"
    if one.arguments is None:
        return f"arguments of {want.name} cannot be read"
    for parameter, check in want.arguments.items():
        if reason := check_value(check, one.arguments.get(parameter, MISSING)):
            return f"argument {parameter} of {want.name} {reason}"
    return None
