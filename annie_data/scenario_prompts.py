"""What a profile's files say to a data set: its system prompt, its tools, and the scenarios to keep away from.

The files are read as data (TOML, JSON Lines); the package that judges with them is never imported.
"""

import importlib.util
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.errors import UsageError


@dataclass(frozen=True, slots=True)
class Profile:
    """The part of a profile that stands in every request."""

    path: Path
    system_prompt: str
    tools: tuple[dict[str, Any], ...]
    thinking_kwarg: str
    max_sentences: int
    max_words: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """One thing that a scenario has the user say."""

    scenario: str
    text: str
    #: judged, or only part of the history before it
    asked: bool


def profiles_directory() -> Path:
    """Where the profiles that ship with the project lie. Raises UsageError where they are not installed."""
    spec = importlib.util.find_spec("annie_eval")  # finds the package without running it
    for location in (spec.submodule_search_locations or []) if spec else []:
        directory = Path(location) / "profiles"
        if directory.is_dir():
            return directory
    raise UsageError("the profiles of annie-eval are not installed beside quant; name the files with --against")


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not TOML ({error}); name a profile's .toml file") from None


def load_profile(name_or_path: str) -> Profile:
    """A profile by its name (`annie-smol`) or its file. Raises UsageError that names what is wrong."""
    path = Path(name_or_path)
    if not name_or_path.endswith(".toml"):
        path = profiles_directory() / f"{name_or_path}.toml"
        if not path.is_file():
            there = ", ".join(sorted(one.stem for one in profiles_directory().glob("annie*.toml")))
            raise UsageError(f"there is no profile {name_or_path!r}; choose from {there}, or give a .toml file")
    raw = _toml(path)
    prompt = raw.get("system_prompt", "")
    if not isinstance(prompt, str):
        raise UsageError(f"{path}: system_prompt is no text; write a string")
    limits = raw.get("limits", {})
    return Profile(
        path,
        prompt.strip("\n"),
        tuple(_tools(raw.get("tools", {}), path)),
        raw.get("serving", {}).get("thinking_kwarg", "enable_thinking"),
        limits.get("max_sentences", 3),
        limits.get("max_words", 80),
    )


def _tools(raw: Any, path: Path) -> Iterator[dict[str, Any]]:
    """The tools as OpenAI objects, from an inline table or from a JSON file beside the profile."""
    if isinstance(raw, str):
        file = path.parent / raw
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{path}: tools: {file}: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"{file}: not JSON ({error}); write a list of tools") from None
    if isinstance(raw, list):
        for index, tool in enumerate(raw):
            if not isinstance(tool, dict) or not isinstance(tool.get("function", tool).get("name"), str):
                raise UsageError(f"{path}: tools.{index} has no name; write a function with name and parameters")
            yield tool if "function" in tool else {"type": "function", "function": tool}
        return
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: tools is neither a table nor the name of a JSON file")
    for name, body in raw.items():
        if not isinstance(body, dict):
            raise UsageError(f"{path}: tools.{name} is no table; write description and parameters")
        yield {"type": "function", "function": {"name": name, **body}}


def _scenario_files(path: Path) -> list[Path]:
    raw = _toml(path).get("scenarios")
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path}: scenarios names no file; write the path of a .jsonl file")
    return [path.parent / name for name in names]


def scenario_files(against: Sequence[Path]) -> list[Path]:
    """The scenario files meant by `against`: .jsonl files, profiles, or directories of either; all of ours by default.

    Raises UsageError where a path is missing or holds none.
    """
    found: dict[Path, None] = {}
    for path in against or [profiles_directory()]:
        if not path.exists() and path.name == str(path) and not path.suffix:
            path = profiles_directory() / f"{path}.toml" if (profiles_directory() / f"{path}.toml").exists() else path
        if path.is_dir():
            profiles = [
                one for one in sorted(path.rglob("*.toml")) if isinstance(_toml(one).get("scenarios"), str | list)
            ]
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
    """Everything that the scenarios have the user say. Raises UsageError that names file and line."""
    found: list[Prompt] = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").split("\n")
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise UsageError(f"{file}: not UTF-8; save the file as UTF-8") from None
        for number, line in enumerate(lines, 1):
            if line.strip():
                found += _prompts_of(line, file, number)
    return found


def _prompts_of(line: str, file: Path, number: int) -> Iterator[Prompt]:
    try:
        scenario = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}:{number}: not JSON ({error}); mend or remove the line") from None
    if not isinstance(scenario, dict) or not isinstance(scenario.get("id"), str):
        raise UsageError(f"{file}:{number}: is no scenario; write an object with an id")
    name = scenario["id"]
    turns = [scenario.get("prompt")] + [
        turn.get("user") for turn in scenario.get("turns") or [] if isinstance(turn, dict)
    ]
    yield from (Prompt(name, turn, True) for turn in turns if isinstance(turn, str))
    for message in scenario.get("history") or []:
        if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("content"), str):
            yield Prompt(name, message["content"], False)
