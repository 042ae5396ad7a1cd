"""Checks of settings, tools and scenarios that JSON Schema cannot express; those of gates are in `validate_gates`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.profile import serving_args
from annie_eval.profile.argument_checks import validate_check
from annie_eval.profile.schema import did_you_mean, joined, quoted
from annie_eval.profile.types import CallExpectation, Expect, Profile, Scenario
from annie_eval.text import normalise

_REQUEST_FIELDS = frozenset(
    (
        "model",
        "messages",
        "tools",
        "tool_choice",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "seed",
        "stream",
        "stream_options",
        "chat_template_kwargs",
        "n",
        "return_token_ids",
    )
)


def name(value: str, where: str) -> None:
    """Check a profile's name, which becomes part of file names."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise UsageError(
            f"{where}: name is {quoted(value)}, but must be letters, digits, dots, hyphens and underscores"
            "; rename the file or give name"
        )


def one_form(line: Mapping[str, Any], turn_fields: Sequence[str], where: str) -> None:
    """Check that a scenario has `prompt` (with its fields beside it) or `turns` (with the fields inside)."""
    if "turns" not in line:
        if "prompt" not in line:
            raise UsageError(f"{where}: prompt is missing (what the user says); give prompt, or turns for a script")
        return
    for field in ("prompt", *turn_fields):
        if field in line:
            fix = "remove one" if field == "prompt" else f"put {field} into the turn it belongs to"
            raise UsageError(f"{where}: {field} stands beside turns; {fix}")


def tool_list(value: Any, where: str) -> list[dict[str, Any]]:
    """Check a tools file: a list of OpenAI tool objects with distinct names."""
    if not isinstance(value, list) or not value:
        raise UsageError(f"{where}: must be a list of OpenAI tool objects, at least one")
    names: set[str] = set()
    for position, tool in enumerate(value):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type") != "function":
            raise UsageError(
                f'{where}: [{position}] must be {{"type": "function", "function": {{...}}}} with name, description and'
                " parameters in it"
            )
        for key, kind in (("name", str), ("description", str), ("parameters", dict)):
            if not isinstance(function.get(key), kind) or not function[key]:
                raise UsageError(
                    f"{where}: [{position}].function.{key} is missing or of the wrong type; OpenAI asks it"
                )
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", function["name"]):
            raise UsageError(
                f"{where}: [{position}].function.name is {quoted(function['name'])}, but must be at most 64 letters,"
                " digits, _ and -"
            )
        if function["name"] in names:
            raise UsageError(
                f"{where}: [{position}].function.name {quoted(function['name'])} is taken by another tool"
            )
        names.add(function["name"])
    return value


def tool_parameters(schema: Mapping[str, Any], where: str) -> None:
    """Check that a tool's parameters are a valid JSON Schema of an object without outside references."""
    # imported only for a profile with tools, for a fast start
    from annie_eval.profile import tool_schema

    if problem := tool_schema.problem(schema):
        raise UsageError(f"{where}{problem}")
    if schema.get("type") != "object":
        raise UsageError(f'{where}.type is {quoted(schema.get("type"))}, but must be "object": arguments have names')


def scenario(one: Scenario, tools: Mapping[str, Mapping[str, Any]], where: str, *, script: bool) -> None:
    """Check that a scenario names only tools that it offers, and that its expectations can be met.

    Args:
        script: the line has `turns`; paths in messages then contain it.
    """
    for position, tool in enumerate(one.tools or ()):
        _known_tool(tool, tools, f"{where}: tools[{position}]", "of this profile")
    offered = {tool: tools[tool] for tool in (tools if one.tools is None else one.tools)}
    for number, turn in enumerate(one.turns):
        at = f"{where}: " + (f"turns[{number}]." if script else "")
        _expectation(turn.expect, offered, f"{at}expect")
        _expectation(turn.then, offered, f"{at}then")
        for tool in turn.tool_results:
            _known_tool(tool, offered, f"{at}tool_results", "offered here")
        if not turn.tool_results and (turn.then != Expect(calls=()) or turn.then_example is not None):
            raise UsageError(f"{at}then is never asked, because there are no tool_results; add them or remove it")
        for call in turn.expect.calls or ():
            if turn.tool_results and not call.optional and call.name not in turn.tool_results:
                raise UsageError(f"{at}tool_results has no result for {quoted(call.name)}, which expect.calls wants")
    _history(one.history, offered, where)


def _known_tool(tool: str, tools: Mapping[str, Any], at: str, whose: str) -> None:
    if tool not in tools:
        known = did_you_mean(tool, tools) or (f"; there are {', '.join(tools)}" if tools else "; there are none")
        raise UsageError(f"{at} names {quoted(tool)}, which is no tool {whose}{known}")


def _expectation(expect: Expect, tools: Mapping[str, Mapping[str, Any]], at: str) -> None:
    for position, call in enumerate(expect.calls or ()):
        here = f"{at}.calls[{position}]"
        _known_tool(call.name, tools, f"{here}.name", "offered here")
        _arguments(call, tools[call.name]["function"]["parameters"], f"{here}.arguments")
    answer = expect.answer
    if answer is not None:
        for key in ("any_of", "all_of", "none_of"):
            for position, phrase in enumerate(getattr(answer, key)):
                if not normalise(phrase):
                    raise UsageError(
                        f"{at}.answer.{key}[{position}] is {quoted(phrase)}, which has no word to be said"
                    )
    if answer is not None and answer.number is None:
        if answer.tolerance:
            raise UsageError(f"{at}.answer.tolerance stands without number; add the number")
        both = set(answer.none_of) & {*answer.any_of, *answer.all_of}
        if both:
            raise UsageError(f"{at}.answer both wants and forbids {quoted(min(both))}; remove one")


def _arguments(call: CallExpectation, schema: Mapping[str, Any], at: str) -> None:
    properties = schema.get("properties", {})
    closed = schema.get("additionalProperties", True) is False and "patternProperties" not in schema
    for argument, check in call.arguments.items():
        here = joined(at, argument)
        if argument not in properties and (closed or properties):
            known = did_you_mean(argument, properties) or f"; it has {', '.join(properties) or 'none'}"
            raise UsageError(f"{here} is no parameter of {call.name}{known}")
        if problem := validate_check(check):
            raise UsageError(f"{here} {problem}")
        _possible(check, properties.get(argument, True), schema, here)


def _possible(check: Any, rules: Any, root: Mapping[str, Any], at: str) -> None:
    """Check that the parameter's schema allows the expected value."""
    operators = check if isinstance(check, dict) else {"equals": check}
    for position, choice in enumerate(operators.get("any_of", ())):
        _possible(choice, rules, root, f"{at}.any_of[{position}]")
    if "fields" in operators and isinstance(rules, dict) and "$ref" not in rules:
        members = rules.get("properties", {})
        for member, inner in operators["fields"].items():
            if member not in members and rules.get("additionalProperties", True) is False:
                known = did_you_mean(member, members) or f"; it has {', '.join(members) or 'none'}"
                raise UsageError(f"{at}.fields.{member} is no member of that parameter{known}")
            _possible(inner, members.get(member, True), root, f"{at}.fields.{member}")
    for operator in ("equals", "number"):
        if operator in operators and not operators.get("tolerance") and not _valid(operators[operator], rules, root):
            raise UsageError(f"{at} wants {quoted(operators[operator])}, which the tool's own schema does not allow")


def _valid(value: Any, rules: Any, root: Mapping[str, Any]) -> bool:
    from annie_eval.profile import tool_schema

    try:
        return not any(True for _ in tool_schema.errors(tool_schema.validator(root, rules), value))
    except (tool_schema.Endless, RecursionError):
        return False


def _history(history: Sequence[Mapping[str, Any]], tools: Mapping[str, Any], where: str) -> None:
    open_calls: set[str] = set()
    for position, message in enumerate(history):
        at = f"{where}: history[{position}]"
        calls = message.get("tool_calls", ())
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise UsageError(
                    f"{at}.tool_call_id is {quoted(message.get('tool_call_id'))}, which no call before has"
                )
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            raise UsageError(f"{at} comes before the result of call {quoted(min(open_calls))}; add a tool message")
        if calls and message["role"] != "assistant":
            raise UsageError(f"{at}.tool_calls stands in a {message['role']} message; only the assistant calls")
        if message.get("content") is None and not calls:
            raise UsageError(f"{at}.content is missing (what was said)")
        for number, call in enumerate(calls):
            _known_tool(call["function"]["name"], tools, f"{at}.tool_calls[{number}].function.name", "offered here")
            try:
                arguments = json.loads(call["function"]["arguments"])
            except ValueError:
                arguments = None
            if not isinstance(arguments, dict):
                raise UsageError(f"{at}.tool_calls[{number}].function.arguments must be a JSON object as a string")
            open_calls.add(call["id"])
    if open_calls:
        raise UsageError(
            f"{where}: history ends before the result of call {quoted(min(open_calls))}; add a tool message"
        )


def settings(profile: Profile, where: str) -> None:
    """Check that limits can be met and that no setting is one of the gate's own."""
    limits = profile.limits
    if limits.min_sentences > limits.max_sentences:
        raise UsageError(
            f"{where}: limits.min_sentences is {limits.min_sentences}, but max_sentences only {limits.max_sentences}"
        )
    for field in profile.sampling.extra:
        if field in _REQUEST_FIELDS:
            raise UsageError(
                f"{where}: sampling.extra.{field} is set by the gate itself; use its own key or remove it"
            )
    serving_args.check(profile.serving.args, where)
    if profile.traffic.deadline < profile.traffic.request_timeout:
        raise UsageError(
            f"{where}: traffic.deadline is {profile.traffic.deadline:g} s, shorter than one request_timeout"
            f" ({profile.traffic.request_timeout:g} s)"
        )
