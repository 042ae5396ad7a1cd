"""Regular expressions of a profile, compared with text from a model: in time that is linear in the text, always.

Python's `re` backtracks, so that a pattern such as `(a*)*b` or `a*a*a*b` can take years over a line of text. RE2 does
not: https://github.com/google/re2/wiki/Syntax. What it cannot take (look-around, back-references) is refused when the
profile is loaded.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_UNICODE_ESCAPE = re.compile(r"(\\\\)|\\u([0-9A-Fa-f]{4})")
_MEMORY = 16 << 20  # bytes for one pattern's automaton


def problem(pattern: str) -> str | None:
    """Why a pattern is refused, to be put behind its place; None if it can be used."""
    try:
        _compiled(pattern)
    except ValueError as error:
        return f"{error}; write it without"
    return None


def found_in(pattern: str, text: str) -> bool:
    """Whether the pattern occurs anywhere in the text.

    Raises:
        ValueError: `problem` names it.
    """
    # A lone surrogate, which JSON can carry and UTF-8 cannot, is matched as U+FFFD.
    return _compiled(pattern).search(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")) is not None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    # Imported where a profile has a pattern: start-up is measured.
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    # ECMA 262, which JSON Schema speaks, writes \u00e9 for \x{00e9}.
    written = _UNICODE_ESCAPE.sub(lambda found: found[1] or rf"\x{{{found[2]}}}", pattern)
    try:
        return re2.compile(written.encode("utf-8", "surrogatepass").decode("utf-8", "replace"), options)
    except re2.error as error:
        message = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"is a pattern that RE2 cannot take ({message[:120]})") from None
