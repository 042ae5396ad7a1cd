"""What a scenario expects of the answer, in words, from the profile that is stored with the run. Does no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def expected(scenario: Mapping[str, Any]) -> list[str]:
    """Return one line for each expectation; [] if the scenario has none beyond the rules of the gates."""
    out = []
    turns = scenario.get("turns", ())
    for n, turn in enumerate(turns, 1):
        lead = f"turn {n}: " if len(turns) > 1 else ""
        out += [lead + line for line in _asked(turn.get("expect") or {})]
        if turn.get("tool_results"):
            out += [f"{lead}after the tools' results: {line}" for line in _asked(turn.get("then") or {})]
    return out


def tools(scenario: Mapping[str, Any]) -> set[str]:
    """Return the tools whose call is expected in any turn."""
    return {
        str(call["name"])
        for turn in scenario.get("turns", ())
        for part in ("expect", "then")
        for call in (turn.get(part) or {}).get("calls") or ()
    }


def _asked(expect: Mapping[str, Any]) -> Iterator[str]:
    calls = expect.get("calls")
    if calls is not None and not calls:
        yield "no tool call"
    for call in calls or ():
        checks = ", ".join(f"{name}: {_compact(check)}" for name, check in (call.get("arguments") or {}).items())
        yield f"{'may call' if call.get('optional') else 'calls'} {call['name']}({checks})"
    answer = expect.get("answer") or {}
    for field, phrase in (("any_of", "says one of"), ("all_of", "says all of"), ("none_of", "says none of")):
        if answer.get(field):
            yield f"{phrase}: {', '.join(map(str, answer[field]))}"
    if answer.get("number") is not None:
        within = f" within {answer['tolerance']:g}" if answer.get("tolerance") else ""
        yield f"says the number {answer['number']:g}{within}"
    if expect.get("topic"):
        yield f"may speak of: {', '.join(map(str, expect['topic']))}"
    if expect.get("max_sentences") is not None:
        yield f"at most {expect['max_sentences']} sentences"
    if expect.get("truncated"):
        yield "is cut off on purpose"


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
