"""Reads a profile and its scenarios from files, and checks them.

A profile is one TOML file; its scenarios are JSON Lines files. `load` reports a mistake in one line. docs/profiles.md
is the reference of both formats.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.profile import validate, validate_gates
from annie_eval.profile.files import read_json, read_json_lines, read_toml
from annie_eval.profile.mistakes import Mistakes
from annie_eval.profile.schema import check_structure, did_you_mean, quoted, structure_mistakes
from annie_eval.profile.types import (
    STATE_GATE,
    AnswerExpectation,
    CallExpectation,
    Expect,
    Gate,
    Limits,
    Profile,
    Sampling,
    Scenario,
    Serving,
    Speech,
    StateProbes,
    Traffic,
    Turn,
    Variant,
)

_BUILTIN = Path(__file__).parents[1] / "profiles"
# Not part of the digest: these change neither requests nor judgements (a margin is for comparing two runs, probes of
# the server's state do not judge the model), or depend on the place of the files.
_NOT_IN_DIGEST = frozenset({"path", "source", "digest", "example", "then_example", "margin", "state"})

# Keys that were added later. With their defaults they are not in the digest, so that older digests stay valid.
_ONLY_WHERE_GIVEN = frozenset({"elsewhere", "max_seconds", "speech"})


def builtin_names() -> list[str]:
    """The names of the shipped profiles."""
    return sorted(path.stem for path in _BUILTIN.glob("annie*.toml"))


def is_builtin(profile: Profile) -> bool:
    """Whether it is a shipped profile."""
    return profile.path.parent == _BUILTIN


def load(name_or_path: str | Path) -> Profile:
    """Read and check a profile and its scenarios.

    Args:
        name_or_path: a built-in name such as `annie`, or the path of a TOML file.

    Raises:
        UsageError: for the first mistake found: one line that names the file, the field or line, and the fix.
    """
    return _load(name_or_path, Mistakes())


def find_mistakes(name_or_path: str | Path) -> tuple[Profile | None, list[str]]:
    """Read a profile and collect all mistakes.

    Returns the profile, or None if too little can be read, and the mistakes.
    """
    mistakes = Mistakes(keep=True)
    profile = None
    with mistakes.one():
        profile = _load(name_or_path, mistakes)
    return profile, mistakes.found


def _load(name_or_path: str | Path, mistakes: Mistakes) -> Profile:
    path = _find(name_or_path)
    where = f"profile {_shown(path)}"
    raw = read_toml(path, where)
    if not _structure(
        raw, "profile.schema.json", where, mistakes
    ):  # at least the format of the scenarios can be checked
        files = raw.get("scenarios")
        for file in [files] if isinstance(files, str) else files if isinstance(files, list) else []:
            if isinstance(file, str) and (path.parent / file).is_file():
                for number, line in read_json_lines(path.parent / file, f"scenarios {file}", mistakes):
                    _structure(line, "scenario.schema.json", f"scenarios {file}:{number}", mistakes)
        raise UsageError(mistakes.found[0])
    name = raw.get("name", path.stem)
    with mistakes.one():
        validate.name(name, where)
    tools = _tools(raw.get("tools", {}), path, where, mistakes)
    scenarios = _scenarios(raw, path, where, tools, mistakes)
    tables = {gate: table for gate, table in raw["gates"].items() if gate != STATE_GATE}
    gates = {
        gate: Gate(
            name=gate,
            detectors=tuple(table["detectors"]),
            categories=tuple(table.get("categories", (gate,))),
            required=_integer(table.get("required")),
            elsewhere=validate_gates.judged_elsewhere(gate, tables),
            **{key: table[key] for key in ("lower_bound", "confidence", "baseline", "margin") if key in table},
        )
        for gate, table in tables.items()
    }
    profile = Profile(
        name=name,
        path=path,
        system_prompt=raw["system_prompt"],
        tools=tools,
        scenarios=scenarios,
        gates=gates,
        limits=Limits(**{key: int(value) for key, value in raw.get("limits", {}).items()}),
        speech=_speech(raw.get("speech", {})),
        sampling=_sampling(raw.get("sampling", {})),
        traffic=_traffic(raw.get("traffic", {})),
        serving=_serving(raw.get("serving", {})),
        state=_state(raw["gates"][STATE_GATE]) if STATE_GATE in raw["gates"] else None,
        hardware=raw.get("hardware", {}),
    )
    with mistakes.one():
        validate.settings(profile, where)
    declared = {gate: table.get("samples") for gate, table in tables.items()}
    validate_gates.gates(profile, declared, where, mistakes)
    return dataclasses.replace(profile, digest=_digest(profile))


def _structure(value: Any, schema: str, where: str, mistakes: Mistakes) -> bool:
    """Whether a file or line fits its schema. Unknown keys are reported and removed from `value`."""
    if not mistakes.keep:
        check_structure(value, schema, where)
        return True
    found = structure_mistakes(value, schema, where)
    mistakes.found += [each for each in found if each not in mistakes.found]
    return not found or not structure_mistakes(value, schema, where)


def _speech(table: Mapping[str, Any]) -> Speech:
    rest = {key: value for key, value in table.items() if key != "allow"}
    return Speech(allow=tuple(table["allow"]), **rest) if "allow" in table else Speech(**rest)


def _state(table: Mapping[str, Any]) -> StateProbes:
    def given(value: Any) -> Any:
        return tuple(map(given, value)) if isinstance(value, list) else value if isinstance(value, str) else int(value)

    return StateProbes(**{key: given(value) for key, value in table.items()})


def with_system_prompt(profile: Profile, text: str) -> Profile:
    """The same profile with another system prompt, and so another digest."""
    changed = dataclasses.replace(profile, system_prompt=text)
    return dataclasses.replace(changed, digest=_digest(changed))


def _find(name_or_path: str | Path) -> Path:
    name = str(name_or_path)
    if isinstance(name_or_path, str) and name in builtin_names():
        return _BUILTIN / f"{name}.toml"
    try:
        path = Path(name_or_path).expanduser()
        there = path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # a name that is too long, or `~` of an unknown user
        raise UsageError(
            f"profile {quoted(name)}: cannot be a file ({error}); name one, or a built-in one"[:300]
        ) from None
    if not there and path.suffix != ".toml" and len(path.parts) == 1:
        known = builtin_names()
        fix = did_you_mean(name, known)
        raise UsageError(
            f"profile {quoted(name)}: no such built-in profile ({', '.join(known)}) and no such file{fix}"
        )
    return path


def _shown(path: Path) -> str:
    """The path as a user would type it: relative if it is below the working directory."""
    if path.parent == _BUILTIN:
        return path.name
    try:
        return str(path.resolve().relative_to(Path.cwd())) if path.is_absolute() else str(path)
    except (ValueError, OSError):
        return str(path)


def _tools(raw: str | dict[str, Any], path: Path, where: str, mistakes: Mistakes) -> dict[str, dict[str, Any]]:
    """OpenAI tool objects by name, from `[tools.NAME]` tables or from a JSON file of such objects."""
    if isinstance(raw, str):
        file = path.parent / raw
        where = f"tools {_shown(file)}"
        listed = validate.tool_list(read_json(file, where), where)
        places = [f"[{position}].function.parameters" for position in range(len(listed))]
    else:
        nothing: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
        listed = [
            {"type": "function", "function": {"name": name, "parameters": nothing, **table}}
            for name, table in raw.items()
        ]
        places = [f"tools.{name}.parameters" for name in raw]
    for tool, place in zip(listed, places, strict=True):
        with mistakes.one():
            validate.tool_parameters(tool["function"]["parameters"], f"{where}: {place}")
    return {tool["function"]["name"]: tool for tool in listed}


def _scenarios(
    raw: Mapping[str, Any], path: Path, where: str, tools: Mapping[str, Mapping[str, Any]], mistakes: Mistakes
) -> tuple[Scenario, ...]:
    files = [raw["scenarios"]] if isinstance(raw["scenarios"], str) else raw["scenarios"]
    seen: dict[str, str] = {}
    scenarios = []
    for position, name in enumerate(files):
        file = path.parent / name
        if not file.exists():
            field = "scenarios" if isinstance(raw["scenarios"], str) else f"scenarios[{position}]"
            raise UsageError(f"{where}: {field} names {quoted(name)}, but there is no file {_shown(file)}")
        shown = _shown(file.resolve()) if file.resolve().is_relative_to(Path.cwd()) else _shown(file)
        for number, line in read_json_lines(file, f"scenarios {shown}", mistakes):
            source = f"{shown}:{number}"
            here = f"scenarios {source}"
            if not _structure(line, "scenario.schema.json", here, mistakes):
                continue
            with mistakes.one():
                scenario = _scenario(line, raw.get("defaults", {}), source)
                if scenario.id in seen:
                    raise UsageError(
                        f'{here}: id "{scenario.id}" is taken by {seen[scenario.id]}; ids must be unique in a profile'
                    )
                seen[scenario.id] = source
                scenarios.append(scenario)
                validate.scenario(scenario, tools, here, script="turns" in line)
    return tuple(scenarios)


def read_scenario(line: Mapping[str, Any], profile: Profile, where: str) -> Scenario:
    """Read and check one scenario that is not in a file, like those of a profile's files.

    Raises:
        UsageError: for the first mistake found; the message begins with `where`.
    """
    check_structure(line, "scenario.schema.json", where)
    scenario = _scenario(line, {}, where)
    validate.scenario(scenario, profile.tools, where, script="turns" in line)
    return scenario


_TURN_FIELDS = ("expect", "example", "tool_results", "then", "then_example")


def _scenario(line: Mapping[str, Any], defaults: Mapping[str, Any], source: str) -> Scenario:
    validate.one_form(line, _TURN_FIELDS, f"scenarios {source}")
    turns = line.get("turns") or [{"user": line["prompt"], **{key: line[key] for key in _TURN_FIELDS if key in line}}]
    chosen = {"stream": True, "thinking": "off", "repeats": 1, **defaults, **line}
    ways = product(_listed(chosen["stream"]), _listed(chosen["thinking"]), range(1, int(chosen["repeats"]) + 1))
    return Scenario(
        id=line["id"],
        category=line["category"],
        turns=tuple(map(_turn, turns)),
        history=tuple(line.get("history", ())),
        tools=tuple(line["tools"]) if "tools" in line else None,
        variants=tuple(Variant(stream, thinking, repeat) for stream, thinking, repeat in ways),
        max_tokens=_integer(line.get("max_tokens")),
        language=line.get("language", "en"),
        source=source,
    )


def _turn(raw: Mapping[str, Any]) -> Turn:
    return Turn(
        user=raw["user"],
        expect=_expect(raw.get("expect", {}), None),
        tool_results=raw.get("tool_results", {}),
        # By default no call is expected after tool results.
        then=_expect(raw.get("then", {}), ()),
        example=_message(raw.get("example"), "call"),
        then_example=_message(raw.get("then_example"), "then"),
    )


def _expect(raw: Mapping[str, Any], calls_default: tuple[CallExpectation, ...] | None) -> Expect:
    calls = calls_default
    if "calls" in raw:
        calls = None if raw["calls"] is None else tuple(CallExpectation(**call) for call in raw["calls"])
    return Expect(
        calls=calls,
        answer=_answer(raw["answer"]) if "answer" in raw else None,
        topic=tuple(raw.get("topic", ())),
        max_sentences=_integer(raw.get("max_sentences")),
        truncated=raw.get("truncated", False),
    )


def _answer(raw: Mapping[str, Any]) -> AnswerExpectation:
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    return AnswerExpectation(**given)


def _message(raw: Any, id_prefix: str) -> dict[str, Any] | None:
    """An example reply as an OpenAI assistant message: from spoken text, a list of calls, or such a message."""
    if raw is None:
        return None
    if isinstance(raw, str):
        return {"role": "assistant", "content": raw}
    if isinstance(raw, list):
        calls = [
            {
                "id": f"{id_prefix}_{number}",
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)},
            }
            for number, call in enumerate(raw, 1)
        ]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    return dict(raw)


def _sampling(raw: Mapping[str, Any]) -> Sampling:
    given: dict[str, Any] = {key: int(raw[key]) if key in ("max_tokens", "seed") else raw[key] for key in raw}
    return Sampling(**given)


def _traffic(raw: Mapping[str, Any]) -> Traffic:
    whole = ("concurrency", "transport_retries")
    given: dict[str, Any] = {key: int(value) if key in whole else float(value) for key, value in raw.items()}
    return Traffic(**given)


def _serving(raw: Mapping[str, Any]) -> Serving:
    given = dict(raw)
    if "args" in given:
        given["args"] = tuple(given["args"])
    if "max_model_len" in given:
        given["max_model_len"] = int(given["max_model_len"])
    return Serving(**given)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _integer(value: float | None) -> int | None:
    """Convert 3.0, which JSON Schema accepts as an integer, to 3."""
    return None if value is None else int(value)


def _digest(profile: Profile) -> str:
    """SHA-256 in hex of requests and rules; independent of layout, comments and defaults that are written out."""

    def plain(value: Any) -> dict[str, Any]:
        kept = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return {
            field.name: member
            for field, member in kept
            if field.name not in _NOT_IN_DIGEST
            and not (field.name in _ONLY_WHERE_GIVEN and (not member or member == field.default))
        }

    by_id = sorted(profile.scenarios, key=lambda scenario: scenario.id)
    canonical = dataclasses.replace(profile, scenarios=tuple(by_id))
    return sha256(json.dumps(canonical, default=plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
