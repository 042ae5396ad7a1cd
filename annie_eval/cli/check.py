"""`annie-eval check`: judge answers that lie in a file, without a server: JSON Lines in, findings as JSON Lines out.

A line in:

    {"id": "q1", "messages": […], "thinking": "off", "expect": {…}, "then": {…}, "finish_reasons": ["stop"]}

`messages` is a conversation in OpenAI's form. Judged are the assistant's messages after the last user message: the
first by `expect`, those after tool results by `then`, both as in a scenario (docs/profiles.md); by default a result is
followed by no further call. `finish_reasons` are those of the judged messages; where they are left out, a call ends by
`tool_calls` and speech by `stop`. `id`, `thinking` and everything but `messages` may be left out.

A line out for each line in, in order: `{"id": "q1", "findings": [{"detector", "reason", "excerpt", "message"}]}`;
`message` is an index into `messages`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from annie_eval.detectors import detect
from annie_eval.errors import UsageError
from annie_eval.profile.types import DETECTORS, Variant
from annie_eval.wire.sample import Answer, Exchange, Sample, ToolCall

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile

# `wire` looks at bytes, and there are none.
_DEFAULT = tuple(name for name in DETECTORS if name != "wire")
_FIELDS = {"id", "messages", "thinking", "expect", "then", "finish_reasons"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command, and what a line holds."""
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="JSON Lines (default: standard input)")
    parser.add_argument(
        "--profile", default="annie", metavar="NAME|PATH", help="whose tools and limits (default: annie)"
    )
    parser.add_argument(
        "--detectors", default=",".join(_DEFAULT), metavar="A,B", help=f"which ones (default: {','.join(_DEFAULT)})"
    )


def run(arguments: argparse.Namespace) -> int:
    """Status 0: nothing was found. 1: something was. Raises UsageError for bad input, naming its line."""
    from annie_eval.profile.load import load

    detectors = [name.strip() for name in arguments.detectors.split(",") if name.strip()]
    for name in detectors:
        if name not in _DEFAULT:
            why = "looks at the bytes of an exchange" if name == "wire" else "does not exist"
            raise UsageError(f"--detectors: {name} {why}; choose from {', '.join(_DEFAULT)}")
    if not detectors:
        raise UsageError(f"--detectors names none; choose from {', '.join(_DEFAULT)}")
    profile = load(arguments.profile)
    if arguments.file == "-":
        return _judge_all(sys.stdin.buffer, "standard input", profile, detectors)
    try:
        with Path(arguments.file).open("rb") as stream:
            return _judge_all(stream, arguments.file, profile, detectors)
    except OSError as error:
        raise UsageError(f"{arguments.file}: {error.strerror}; name a file of JSON Lines") from error


def _judge_all(stream: IO[bytes], name: str, profile: Profile, detectors: Sequence[str]) -> int:
    found_any = False
    judged = 0
    for number, raw in enumerate(stream, 1):
        if not raw.strip():
            continue
        judged += 1
        line = _read(raw, f"{name}:{number}")
        sample, places = read_sample(line, profile, f"{name}:{number}")
        findings = [finding for detector in detectors for finding in detect(detector, sample)]
        found_any = found_any or bool(findings)
        told = [
            {"detector": one.detector, "reason": one.reason, "excerpt": one.excerpt, "message": places[one.exchange]}
            for one in findings
        ]
        print(json.dumps({"id": line.get("id", str(number)), "findings": told}, ensure_ascii=False))
    if judged == 0:
        raise UsageError(f"{name}: is empty; write one sample a line")
    sys.stdout.flush()
    return int(found_any)


def _read(raw: bytes, where: str) -> dict[str, Any]:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not JSON ({error}); write one object a line") from None
    if not isinstance(line, dict):
        raise UsageError(f"{where}: is a JSON {type(line).__name__}; write an object with messages")
    for field in line:
        if field not in _FIELDS:
            raise UsageError(f"{where}: {field} is an unknown key; use {', '.join(sorted(_FIELDS))}")
    return line


def read_sample(line: Mapping[str, Any], profile: Profile, where: str) -> tuple[Sample, list[int]]:
    """The sample in a line, and for each of its exchanges the index of the judged message.

    Raises UsageError that names the field.
    """
    from annie_eval.profile.load import read_scenario

    messages = line.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise UsageError(f"{where}: messages is no list of objects; write OpenAI messages")
    asked = max((index for index, one in enumerate(messages) if one.get("role") == "user"), default=-1)
    places = [i for i, one in enumerate(messages) if i > asked and one.get("role") == "assistant"]
    if asked < 0 or not places:
        raise UsageError(
            f"{where}: messages holds no assistant message after a user message; there is nothing to judge"
        )
    thinking = line.get("thinking", "off")
    if thinking not in ("on", "off", "unset"):
        raise UsageError(f"{where}: thinking is {thinking!r}; write on, off or unset")
    prompt = messages[asked].get("content")
    scenario = read_scenario(
        {
            "id": "check",
            "category": "check",
            "prompt": prompt if isinstance(prompt, str) and prompt else "?",
            "expect": line.get("expect", {}),
            # What a tool answers is no matter here, but only with an answer there is a reply to judge by `then`.
            **({"tool_results": dict.fromkeys(profile.tools, "…")} if "then" in line else {}),
            **({"then": line["then"]} if "then" in line else {}),
        },
        profile,
        where,
    )
    ends = line.get("finish_reasons", [])
    if not isinstance(ends, list) or len(ends) not in (0, len(places)):
        raise UsageError(f"{where}: finish_reasons has not one entry for each of {len(places)} judged messages")
    turn = scenario.turns[0]
    exchanges = []
    for round_, place in enumerate(places):
        answer = _answer(messages[place], ends[round_] if ends else None, f"{where}: messages.{place}")
        system = {"role": "system", "content": profile.system_prompt}
        request = {"messages": [system, *messages[:place]], "tools": list(profile.tools.values())}
        expect = turn.then if round_ else turn.expect
        exchanges.append(Exchange(request, 200, (), b"", (), answer, expect, 0, round_))
    schemas = {name: tool["function"].get("parameters", {}) for name, tool in profile.tools.items()}
    variant = Variant(stream=False, thinking=thinking)
    return Sample(str(line.get("id", "")), scenario, variant, tuple(exchanges), schemas, profile.limits), places


def _answer(message: Mapping[str, Any], end: Any, where: str) -> Answer:
    """An assistant message as the channels of a reply. Raises UsageError where it is none."""
    content = message.get("content")
    reasoning = message.get("reasoning", message.get("reasoning_content"))
    raw_calls = message.get("tool_calls") or []
    if not isinstance(content, str | None) or not isinstance(reasoning, str | None):
        raise UsageError(f"{where}: content and reasoning must be text or null")
    if not isinstance(raw_calls, list) or not all(isinstance(call, dict) for call in raw_calls):
        raise UsageError(f"{where}: tool_calls is no list of objects")
    calls = tuple(_calls(raw_calls, where))
    if end is None:
        end = "tool_calls" if calls else "stop"
    return Answer(content, reasoning, calls, str(end))


def _calls(raw: Sequence[Mapping[str, Any]], where: str) -> Iterator[ToolCall]:
    for index, call in enumerate(raw):
        function = call.get("function")
        if not isinstance(function, dict):
            raise UsageError(f"{where}: tool_calls.{index} has no function")
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        yield ToolCall(call.get("id"), function.get("name"), arguments, index)
