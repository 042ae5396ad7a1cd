"""`annie-eval check`: judges answers in a file, without a server. Reads JSON Lines and prints findings as JSON Lines.

An input line:

    {"id": "q1", "messages": […], "thinking": "off", "expect": {…}, "then": {…}, "finish_reasons": ["stop"]}

`messages` is a conversation in OpenAI's format. The assistant's messages after the last user message are judged: the
first by `expect`, those after tool results by `then`, both as in a scenario (annie-eval docs profiles). By default no
further call is expected after a result. `finish_reasons` are those of the judged messages; by default `tool_calls` for
a call and `stop` for text. All fields except `messages` are optional.

One output line for each input line, in the same order: `{"id": "q1", "findings": [{"detector", "reason", "excerpt",
"message"}]}`; `message` is an index into `messages`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from annie_eval.detectors import detect
from annie_eval.errors import UsageError
from annie_eval.profile.types import DETECTORS
from annie_eval.untrusted.limits import MAX_LINE
from annie_eval.untrusted.regular_files import json_value
from annie_eval.wire.messages import read_sample

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile

# `wire` needs the bytes of a response, which a file does not have.
_DEFAULT = tuple(name for name in DETECTORS if name != "wire")
_FIELDS = {"id", "messages", "thinking", "expect", "then", "finish_reasons"}


def add_check(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and a help text about the format of a line."""
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="JSON Lines (default: standard input)")
    parser.add_argument(
        "--profile",
        default="annie",
        metavar="NAME|PATH",
        help="profile whose tools and limits are used (default: annie)",
    )
    parser.add_argument(
        "--detectors",
        default=",".join(_DEFAULT),
        metavar="A,B",
        help=f"detectors to use, separated by commas (default:  {','.join(_DEFAULT)})",
    )
    parser.set_defaults(command=check)


def check(arguments: argparse.Namespace) -> int:
    """Run the command. Returns 0 if nothing was found, else 1. Raises UsageError with the line of bad input."""
    from annie_eval.profile.load import load

    detectors = [name.strip() for name in arguments.detectors.split(",") if name.strip()]
    for name in detectors:
        if name not in _DEFAULT:
            why = "needs the bytes of a response" if name == "wire" else "does not exist"
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
    # A line that is too long is cut, so that it is not read to its end.
    for number, raw in enumerate(iter(lambda: stream.readline(MAX_LINE + 1), b""), 1):
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
        result = json.dumps({"id": line.get("id", str(number)), "findings": told}, ensure_ascii=False)
        print("".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in result))
    if judged == 0:
        raise UsageError(f"{name}: is empty; write one sample per line")
    sys.stdout.flush()
    return int(found_any)


def _read(raw: bytes, where: str) -> dict[str, Any]:
    if len(raw) > MAX_LINE:
        raise UsageError(f"{where}: has more than {MAX_LINE} bytes; write one sample a line")
    try:
        line = json_value(raw)
    except ValueError as error:
        raise UsageError(f"{where}: not JSON ({error}); write one object per line") from None
    if not isinstance(line, dict):
        raise UsageError(f"{where}: is a JSON {type(line).__name__}; write an object with messages")
    for field in line:
        if field not in _FIELDS:
            raise UsageError(f"{where}: {field} is an unknown key; use {', '.join(sorted(_FIELDS))}")
    return line
