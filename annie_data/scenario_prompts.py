"""Reads the prompts of scenarios, which training data must not copy, and a profile's tools in request format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import annie_eval
from annie_eval.errors import UsageError
from annie_eval.profile.files import read_json_lines, read_toml
from annie_eval.profile.types import Profile

PROFILES = Path(annie_eval.__file__).parent / "profiles"
"""The directory of the profiles that ship with annie-eval."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One user message of a scenario."""

    scenario: str
    text: str
    #: judged, or only part of the history before it
    asked: bool


def offered_tools(profile: Profile) -> list[dict[str, Any]]:
    """The tools of a profile as OpenAI objects, with name and description first, as in a data set."""
    return [
        {**tool, "function": {key: tool["function"][key] for key in ("name", "description") if key in tool["function"]}
         | dict(tool["function"])}
        for tool in profile.tools.values()
    ]  # fmt: skip


def _scenario_files(path: Path) -> list[Path]:
    raw = read_toml(path, f"profile {path}").get("scenarios")
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path}: scenarios names no file; write the path of a .jsonl file")
    return [path.parent / name for name in names]


def _is_profile(path: Path) -> bool:
    return isinstance(read_toml(path, f"profile {path}").get("scenarios"), str | list)


def scenario_files(against: Sequence[Path]) -> list[Path]:
    """The scenario files of `against`: .jsonl files, profiles by name or file, or directories of these.

    By default those of all shipped profiles. Raises UsageError if a path does not exist or has no scenarios.
    """
    found: dict[Path, None] = {}
    for path in against or [PROFILES]:
        if not path.exists() and path.name == str(path) and (PROFILES / f"{path}.toml").exists():
            path = PROFILES / f"{path}.toml"
        if path.is_dir():
            profiles = filter(_is_profile, sorted(path.rglob("*.toml")))
            files = [file for one in profiles for file in _scenario_files(one)] + sorted(path.rglob("*.jsonl"))
            if not files:
                raise UsageError(f"{path}: holds neither a profile nor a .jsonl file; name another --against")
        elif not path.exists():
            raise UsageError(f"{path}: no such file; --against takes profiles, .jsonl files or directories of them")
        else:
            files = _scenario_files(path) if path.suffix == ".toml" else [path]
        for file in files:
            found[file.resolve()] = None
    return list(found)


def prompts(files: Sequence[Path]) -> list[Prompt]:
    """All user messages of the scenarios. Raises UsageError with file and line."""
    return [
        prompt
        for file in files
        for number, scenario in read_json_lines(file, str(file))
        for prompt in _prompts_of(scenario, f"{file}:{number}")
    ]


def _prompts_of(scenario: Mapping[str, Any], where: str) -> Iterator[Prompt]:
    name = scenario.get("id")
    if not isinstance(name, str):
        raise UsageError(f"{where}: is no scenario; write an object with an id")
    turns = [scenario.get("prompt")] + [
        turn.get("user") for turn in scenario.get("turns") or [] if isinstance(turn, dict)
    ]
    yield from (Prompt(name, turn, True) for turn in turns if isinstance(turn, str))
    for message in scenario.get("history") or []:
        if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("content"), str):
            yield Prompt(name, message["content"], False)
