"""Finds the cause of a server's failure in its log, and the fix, one line each.

The rules themselves are in `annie_eval.serving.log_causes`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from annie_eval.http_client import TransportError
from annie_eval.serving.log_causes import ENDS, ENGINE_LOST, RULES

_WIDTH = 200  # characters of a quoted line
_SPARE = 0.3  # GiB of free memory that stay unused


# (EngineCore pid=12) ERROR 11-23 10:06:07 [core.py:1510] text
_PREFIX = re.compile(
    r"^(?:\(\w[^)]*\) )?(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d [\d:]+ \[[^\]]+\] ?)?"
)
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt)(?::\s*(?P<text>.*))?$")
# These errors follow from an error above them.
_FOLLOWS = re.compile(
    r"Engine core initialization failed|EngineDeadError|WorkerProc initialization failed|validation errors? for"
    r"|EngineCore encountered an issue|CancelledError|Executor failed|Failed core proc"
)


def diagnose(log: str, how: str) -> tuple[str, str]:
    """Why a server died, and how to fix it.

    Args:
        log: the complete log.
        how: how it ended, such as `was killed by SIGKILL`.

    Returns:
        (cause, fix), one line each, at most about 300 characters.
    """
    lines = plain_lines(log)
    text = "\n".join(lines)
    if known := _known(text):
        return known
    for signal, meaning in ENDS.items():
        if how.endswith(signal):
            return meaning
    if error := _last_exception(lines):
        return _short(error), "look into the log"
    if _FOLLOWS.search(text):
        return ENGINE_LOST
    return _short(_last_line(lines) or "it wrote nothing"), "look into the log"


def _known(text: str) -> tuple[str, str] | None:
    """(cause, fix) by the first rule that matches."""
    for rule in RULES:
        if match := re.search(rule.pattern, text):
            groups = {name: _clean(value or "") for name, value in match.groupdict().items()}
            return _short(rule.cause.format(**groups)), rule.fix.format(fits=_fits(groups))
    return None


def explained(error: TransportError) -> str:
    """The cause of a failed request, after the meaning and the fix of the server's refusal (HTTP 400), if known."""
    known = _known(error.body.decode("utf-8", "replace")) if error.status == 400 and error.body else None
    return error.cause if known is None else f"{known[0]}; {known[1]} ({error.cause})"


def _fits(groups: Mapping[str, str]) -> str:
    """The share of the memory that a server can use if only a part is free; "" if the log does not say."""
    try:
        free, whole = float(groups["free"]), float(groups["all"])
    except (KeyError, ValueError):
        return ""
    return f"{max(0.05, math.floor(100 * (free - _SPARE) / whole) / 100):g}" if whole else ""


def excerpt(log: str) -> str:
    """The last line of a log with a message, without its prefix."""
    return _short(_last_line([_PREFIX.sub("", line).rstrip() for line in log.splitlines()]) or "nothing")


def plain_lines(log: str) -> list[str]:
    """The lines that may contain an error, without process, level and place.

    Settings, warnings and hints are left out, because they may mention errors that did not happen.
    """
    lines = []
    for line in log.replace("\r", "\n").splitlines():
        match = _PREFIX.match(line)
        assert match is not None
        if match["level"] not in ("DEBUG", "INFO", "WARNING"):
            lines.append(line[match.end() :].rstrip())
    return lines


def _last_exception(lines: list[str]) -> str | None:
    for index in range(len(lines) - 1, -1, -1):
        line = lines[index].strip()
        if not _EXCEPTION.match(line) or _FOLLOWS.search(line):
            continue
        return line if ":" in line else _with_source(line, lines[:index])
    for line in lines:  # pydantic puts the message on a separate line
        if line.startswith("  Value error, "):
            return line.strip().partition(" [type=")[0]
    return None


def _with_source(exception: str, above: list[str]) -> str:
    """An exception without a message, with the line of code that raised it."""
    code = next((line.strip() for line in reversed(above) if line.strip(" ^~")), "")
    return f"{exception} at `{code}`" if code else exception


def _last_line(lines: list[str]) -> str | None:
    for line in reversed(lines):
        words = line.strip()
        if words and not words.startswith(
            ("File ", "raise ", "^", "~", "Traceback", "warnings.warn", "nanobind", "- ")
        ):
            return words
    return None


def _clean(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    text = _clean(text)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
