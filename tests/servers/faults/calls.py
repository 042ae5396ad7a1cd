"""Faults in tool calls: lost, wrong, malformed or not wanted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tests.servers.faults.fault import Fault, gates
from tests.servers.faults.reply import Ask, Call, Reply

_BOTH = ("tool_calling", "wire_integrity")
_WRONG: Mapping[str, Any] = {"string": 7, "integer": "three", "number": "three", "boolean": "yes", "array": "x"}


def _calls(ask: Ask) -> bool:
    """Whether a good reply to the request is a call."""
    return bool(ask.expect.calls)


def _fault(
    name: str, about: str, reply: Callable[[Reply, Ask], Reply], expect: tuple[str, ...] = ("tool_calling",)
) -> Fault:
    return Fault(name, about, gates(*expect), "tool_calling", _calls, reply=reply)


def _each(change: Callable[[Call, Ask], Call]) -> Callable[[Reply, Ask], Reply]:
    """Change every call."""
    return lambda reply, ask: replace(reply, calls=tuple(change(call, ask) for call in reply.calls))


def _arguments(change: Callable[[dict[str, Any], Mapping[str, Any]], Any]) -> Callable[[Reply, Ask], Reply]:
    """Change every call's arguments, given the schema of its parameters."""

    def changed(call: Call, ask: Ask) -> Call:
        return replace(call, arguments=json.dumps(change(json.loads(call.arguments), ask.schemas[call.name])))

    return _each(changed)


def _said(text: Callable[[Call], str]) -> Callable[[Reply, Ask], Reply]:
    """The calls as content, like after a parser failed."""
    return lambda reply, ask: replace(
        reply, content="\n".join(text(call) for call in reply.calls), calls=(), finish="stop"
    )


def _json(call: Call) -> str:
    return f'{{"name": "{call.name}", "arguments": {call.arguments}}}'


def _xml(call: Call) -> str:
    rows = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in json.loads(call.arguments).items())
    return f"<tool_call>\n<function={call.name}>\n{rows}</function>\n</tool_call>"


def _other_tool(call: Call, ask: Ask) -> Call:
    wanted = {expected.name for expected in ask.expect.calls or ()} | {call.name}
    return replace(call, name=next(name for name in ask.schemas if name not in wanted))


def _twice(call: Call, ask: Ask) -> Call:
    """Duplicate the first key, with another value before it."""
    arguments = json.loads(call.arguments)
    key = next(iter(arguments), "query")
    return replace(call, arguments=f'{{{json.dumps(key)}: "nothing", {call.arguments.lstrip()[1:]}')


def _retyped(arguments: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {key: schema.get("properties", {}).get(key, {}).get("type", "string") for key in arguments}
    return {key: _WRONG.get(kind, "x") for key, kind in kinds.items()} or {"unknown": 1}


def _enum_tool(ask: Ask) -> tuple[str, str] | None:
    """An offered tool and its parameter with an enum."""
    for name, schema in ask.schemas.items():
        for key, of in schema.get("properties", {}).items():
            if "enum" in of:
                return name, key
    return None


def _off_enum(reply: Reply, ask: Ask) -> Reply:
    """Enum parameters get a value outside; a call without one becomes a call of a tool that has one."""

    def changed(call: Call) -> Call:
        arguments = json.loads(call.arguments)
        properties = ask.schemas[call.name].get("properties", {})
        keys = [key for key in arguments if "enum" in properties.get(key, {})]
        if keys:
            return replace(call, arguments=json.dumps(arguments | dict.fromkeys(keys, "sometime")))
        found = _enum_tool(ask)
        return call if found is None else replace(call, name=found[0], arguments=json.dumps({found[1]: "sometime"}))

    return replace(reply, calls=tuple(map(changed, reply.calls)))


def _without_required(arguments: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key not in schema.get("required", ())} or {"x": 1}


def _wrong_values(arguments: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that are valid by the schema but not those that were requested."""
    free = {k: "umbrella" for k, v in arguments.items() if isinstance(v, str) and "enum" not in _of(schema, k)}
    numbers = {k: v + 41 for k, v in arguments.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return arguments | free | numbers


def _of(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema.get("properties", {}).get(key, {})
    return found


def _extra(reply: Reply, ask: Ask) -> Reply:
    first = reply.calls[0]
    more = replace(_other_tool(first, ask), id=f"{first.id}-2", arguments='{"query": "umbrella"}')
    return replace(reply, calls=(*reply.calls, more))


def _same_ids(reply: Reply, ask: Ask) -> Reply:
    twice = reply.calls if len(reply.calls) > 1 else reply.calls * 2
    return replace(reply, calls=tuple(replace(call, id="chatcmpl-tool-same") for call in twice))


def _cut(reply: Reply, ask: Ask) -> Reply:
    last = reply.calls[-1]
    return replace(
        reply,
        calls=(*reply.calls[:-1], replace(last, arguments=last.arguments[: len(last.arguments) // 2])),
        finish="length",
    )


def _needless(reply: Reply, ask: Ask) -> Reply:
    name = next(iter(ask.schemas))
    call = Call("chatcmpl-tool-needless", name, '{"query": "anything"}')
    return replace(reply, content=None, calls=(call,), finish="tool_calls")


def _needless_text(reply: Reply, ask: Ask) -> Reply:
    name = next(iter(ask.schemas))
    text = f'<tool_call>\n{{"name": "{name}", "arguments": {{"query": "anything"}}}}\n</tool_call>'
    return replace(reply, content=text, calls=())


def _later_empty(reply: Reply, ask: Ask) -> Reply:
    """Parallel calls where only the first keeps its arguments, like from a faulty parser."""
    return replace(reply, calls=(reply.calls[0], *(replace(call, arguments="{}") for call in reply.calls[1:])))


def _joined(reply: Reply, ask: Ask) -> Reply:
    """What a parser makes of parallel calls that does not see where the first ends."""
    first = replace(reply.calls[0], arguments="".join(call.arguments for call in reply.calls))
    return replace(reply, calls=(first, *reply.calls[1:]))


def _tailed(call: Call, ask: Ask) -> Call:
    """Every string ends with markup that a parser should have removed; a call without strings is not changed."""
    arguments = json.loads(call.arguments)
    tailed = {key: f"{value}\n</parameter>" if isinstance(value, str) else value for key, value in arguments.items()}
    return replace(call, arguments=json.dumps(tailed))


def _entities(call: Call, ask: Ask) -> Call:
    arguments = json.loads(call.arguments)
    marked = {k: v.replace(" ", "&nbsp;") + "&#39;s" if isinstance(v, str) else v for k, v in arguments.items()}
    return replace(call, arguments=json.dumps(marked))


def _parallel(ask: Ask) -> bool:
    return len(ask.expect.calls or ()) > 1


def _without_arguments(ask: Ask) -> bool:
    return any(not wanted.arguments for wanted in ask.expect.calls or ())


def _restraint(name: str, about: str, reply: Callable[[Reply, Ask], Reply]) -> Fault:
    return Fault(name, about, gates("restraint"), "restraint", lambda ask: bool(ask.schemas), reply=reply)


FAULTS = [
    _fault("call-as-text", "Hermes' call text in content", _said(lambda c: f"<tool_call>\n{_json(c)}\n</tool_call>")),
    _fault("call-as-xml", "Qwen's XML call text in content", _said(_xml)),
    _fault("call-as-json", "the call as bare JSON in content", _said(_json)),
    # If two calls are expected, it is announced twice in the same words.
    _fault(
        "call-as-prose",
        "the call announced and never made",
        _said(lambda c: "Let me look that up for you."),
        ("tool_calling", "every_answer"),
    ),
    _fault(
        "call-dropped",
        "no call, no content: the parser swallowed it",
        lambda reply, ask: replace(reply, content=None, calls=(), finish="stop"),
    ),
    _fault("call-wrong-tool", "another tool than the one needed", _each(_other_tool)),
    _fault("call-undeclared", "a tool that was not offered", _each(lambda c, ask: replace(c, name="open_pod_bay"))),
    _fault("call-duplicate-keys", "arguments with one key twice", _each(_twice)),
    _fault(
        "call-unterminated",
        "arguments that end in the middle",
        _each(lambda c, ask: replace(c, arguments=c.arguments.rstrip()[:-2])),
    ),
    _fault("call-empty-arguments", "arguments {} where some are required", _arguments(lambda a, schema: {})),
    _fault("call-no-arguments", "arguments as an empty string", _each(lambda c, ask: replace(c, arguments=""))),
    _fault(
        "call-arguments-twice-encoded",
        "arguments as a JSON string",
        _arguments(lambda a, schema: json.dumps(a)),
        _BOTH,
    ),
    _fault("call-wrong-enum", "a value outside the enum", _off_enum),
    _fault("call-wrong-type", "values of another type than the schema's", _arguments(_retyped)),
    _fault("call-missing-required", "a required argument left out", _arguments(_without_required)),
    _fault("call-wrong-values", "valid arguments that nobody asked for", _arguments(_wrong_values)),
    _fault("call-extra", "one more call than wanted", _extra),
    _fault("call-cut", "a call that the token limit truncated", _cut),
    _fault("call-finish-stop", "calls with finish_reason stop", lambda reply, ask: replace(reply, finish="stop")),
    _fault("call-same-ids", "two calls with one id", _same_ids, _BOTH),
    _fault("call-empty-id", "calls without an id", _each(lambda c, ask: replace(c, id="")), _BOTH),
    Fault(
        "call-later-empty",
        "of parallel calls the later ones get {}",
        gates("wire_integrity"),
        "tool_calling",
        _parallel,
        reply=_later_empty,
    ),
    Fault(
        "call-arguments-joined",
        "the first of parallel calls gets the arguments of all",
        gates("wire_integrity"),
        "tool_calling",
        _parallel,
        reply=_joined,
    ),
    Fault(
        "call-address-in-name",
        "the address of a tool left around the name of a call without arguments",
        gates("wire_integrity"),
        "tool_calling",
        _without_arguments,
        reply=_each(lambda c, ask: replace(c, name=f"functions.{c.name}:0")),
    ),
    Fault(
        "call-garbled-name",
        "markup at the end of the name of a call without arguments",
        gates("wire_integrity"),
        "tool_calling",
        _without_arguments,
        reply=_each(lambda c, ask: replace(c, name=f"{c.name}</arg_value>")),
    ),
    Fault(
        "call-lost-letter",
        "the last letter of the name lost from parallel calls",
        gates("wire_integrity"),
        "tool_calling",
        _parallel,
        reply=_each(lambda c, ask: replace(c, name=c.name[:-1])),
    ),
    _fault("call-markup-tail", "string arguments that end in </parameter>", _each(_tailed), _BOTH),
    _fault("call-entities", "HTML entities in arguments", _each(_entities)),
    _restraint("call-needless", "a call where none is wanted", _needless),
    _restraint("call-needless-text", "call text where no call is wanted", _needless_text),
]
