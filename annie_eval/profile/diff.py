"""Converts a profile to plain data, to be stored with its run, and finds the differences of two profiles. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from annie_eval.profile.types import Profile

# These keys change neither the requests nor whether an answer passes, so runs can still be compared.
_HARMLESS_IN_GATES = frozenset({"required", "lower_bound", "confidence", "baseline", "margin"})
_MOST = 4  # maximum number of differences in a message


def snapshot(profile: Profile) -> dict[str, Any]:
    """Requests and rules of a profile as JSON values; scenarios and gates by name."""
    plain: dict[str, Any] = json.loads(json.dumps(profile, default=_plain))
    kept = ("name", "digest", "system_prompt", "tools", "gates", "limits", "speech", "sampling", "serving")
    found = {key: plain[key] for key in kept}
    found["scenarios"] = {
        scenario["id"]: {key: value for key, value in scenario.items() if key not in ("id", "source")}
        for scenario in plain["scenarios"]
    }
    for scenario in found["scenarios"].values():
        for turn in scenario["turns"]:
            for key in ("example", "then_example"):
                turn.pop(key, None)
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dict(value) if isinstance(value, Mapping) else str(value)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Differences of two profiles in requests or rules, each in a few words; [] if there is none."""
    found: list[str] = []
    if before.get("name") != now.get("name"):
        found.append(f"profile {before.get('name')} is now {now.get('name')}")
    if before.get("system_prompt") != now.get("system_prompt"):
        found.append("the system prompt changed")
    found += _tools(before.get("tools", {}), now.get("tools", {}))
    for section in ("sampling", "serving", "limits", "speech"):
        if section in before and section in now:  # a version without the section did not judge by it
            found += _fields(section, before[section], now[section])
    found += _scenarios(before.get("scenarios", {}), now.get("scenarios", {}))
    found += _gates(before.get("gates", {}), now.get("gates", {}))
    return found


def _tools(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    def body(tool: Mapping[str, Any]) -> str:
        return json.dumps({**tool["function"], "name": None}, sort_keys=True)

    gone, new = [n for n in before if n not in now], [n for n in now if n not in before]
    found = []
    for name in list(gone):
        twin = next((other for other in new if body(now[other]) == body(before[name])), None)
        if twin is None and len(gone) == len(new) == 1:
            twin = new[0]
        if twin is not None:
            found.append(f"tool {name} was renamed to {twin}")
            gone.remove(name)
            new.remove(twin)
    found += [f"tool {name} is gone" for name in gone] + [f"tool {name} is new" for name in new]
    found += [f"tool {name} has another declaration" for name in before if name in now and before[name] != now[name]]
    return found


def _fields(where: str, before: Any, now: Any) -> list[str]:
    return [f"{path} {_shown(old)} -> {_shown(new)}" for path, old, new in _walk(where, before, now)]


def _scenarios(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    gone, new = [i for i in before if i not in now], [i for i in now if i not in before]
    if gone:
        found.append(f"{_count(gone, 'scenario')} gone ({_named(gone)})")
    if new:
        found.append(f"{_count(new, 'scenario')} new ({_named(new)})")
    asked: list[str] = []
    judged: list[str] = []
    for name in before:
        if name in now and (paths := [path for path, _, _ in _walk("", before[name], now[name])]):
            only_judged = all(".expect" in path or ".then" in path or path == ".category" for path in paths)
            (judged if only_judged else asked).append(name)
    if asked:
        found.append(f"the text of {_count(asked, 'scenario')} changed ({_named(asked)})")
    if judged:
        found.append(f"the expectations of {_count(judged, 'scenario')} changed ({_named(judged)})")
    return found


def _gates(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for name in before:
        if name not in now:
            found.append(f"gate {name} is gone")
            continue
        old, new = (
            {k: v for k, v in gate[name].items() if k not in _HARMLESS_IN_GATES and v not in ([], {})}
            for gate in (before, now)
        )
        found += _fields(f"gates.{name}", old, new)
    return found + [f"gate {name} is new" for name in now if name not in before]


def _walk(path: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """(path, old, new) of every differing leaf."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in [*before, *(key for key in now if key not in before)]:
            yield from _walk(f"{path}.{key}", before.get(key), now.get(key))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for place, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _walk(f"{path}[{place}]", old, new)
    elif before != now:
        yield path, before, now


def _shown(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _named(names: list[str]) -> str:
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def _count(names: list[str], what: str) -> str:
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''}"
