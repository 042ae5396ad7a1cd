"""Matches regular expressions of a profile with a model's text, in time linear in the text (RE2).

Python's `re` backtracks, so that a pattern such as `(a*)*b` or `a*a*a*b` can take years for a line of text. RE2 does
not (https://github.com/google/re2/wiki/Syntax). Patterns that it does not support (look-around, back-references) are
refused when the profile is loaded.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_UNICODE_ESCAPE = re.compile(r"(\\\\)|\\u([0-9A-Fa-f]{4})")
_MEMORY = 16 << 20  # maximum memory of one pattern's automaton, in bytes


def problem(pattern: str) -> str | None:
    """Why a pattern is refused, as the rest of a message; None if it can be used."""
    try:
        _compiled(pattern)
    except ValueError as error:
        return f"{error}; write it without"
    return None


def found_in(pattern: str, text: str) -> bool:
    """Whether the pattern occurs anywhere in the text.

    Raises:
        ValueError: the pattern cannot be used, see `problem`.
    """
    # A lone surrogate, which is possible in JSON but not in UTF-8, is matched as U+FFFD.
    return _compiled(pattern).search(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")) is not None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    # Imported only if a profile has a pattern, for a fast start.
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    # JSON Schema uses the syntax of ECMA 262, which writes \u00e9 for \x{00e9}.
    written = _UNICODE_ESCAPE.sub(lambda found: found[1] or rf"\x{{{found[2]}}}", pattern)
    try:
        return re2.compile(written.encode("utf-8", "surrogatepass").decode("utf-8", "replace"), options)
    except re2.error as error:
        message = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"is a pattern that RE2 does not support ({message[:120]})") from None
