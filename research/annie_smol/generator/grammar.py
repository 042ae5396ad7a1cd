"""Expands phrases with choices:  `(where is|where's) [the] {thing}` becomes one of its many wordings.

`(a|b|c)` is one of the alternatives, `[a]` is `a` or nothing, `{slot}` is a value from the caller. Groups can be
nested. All alternatives are equally likely. Runs of spaces become one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random


@dataclass(frozen=True, slots=True)
class _Choice:
    alternatives: tuple["_Sequence", ...]


@dataclass(frozen=True, slots=True)
class _Slot:
    name: str


_Sequence = tuple["str | _Choice | _Slot", ...]
_TOKEN = re.compile(r"[()\[\]|]|\{\w+\}|[^()\[\]|{}]+")
_SPACES = re.compile(r" {2,}")
_SPACE_BEFORE = re.compile(r" +([,.?!])")


def _parse_choice(tokens: list[str], close: str) -> _Choice:
    alternatives: list[_Sequence] = []
    parts: list[str | _Choice | _Slot] = []
    while True:
        if not tokens:
            if close:
                raise ValueError(f"a group is never closed with {close!r}")
            return _Choice((*alternatives, tuple(parts)))
        token = tokens.pop(0)
        if token == close:
            return _Choice((*alternatives, tuple(parts)))
        if token == "|":
            alternatives.append(tuple(parts))
            parts = []
        elif token == "(":
            parts.append(_parse_choice(tokens, ")"))
        elif token == "[":
            inner = _parse_choice(tokens, "]")
            parts.append(_Choice(((inner,), ())))
        elif token in ")]":
            raise ValueError(f"{token!r} closes nothing")
        elif token.startswith("{"):
            parts.append(_Slot(token[1:-1]))
        else:
            parts.append(token)


@cache
def _parse(pattern: str) -> _Choice:
    tokens = _TOKEN.findall(pattern)
    if "".join(tokens) != pattern:
        raise ValueError(f"{pattern!r} has a brace that is no slot")
    return _parse_choice(tokens, "")


def _write(choice: _Choice, rng: Random, slots: Mapping[str, str], out: list[str]) -> None:
    for part in choice.alternatives[rng.randrange(len(choice.alternatives))] if choice.alternatives else ():
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, _Slot):
            out.append(slots[part.name])
        else:
            _write(part, rng, slots, out)


def expand(pattern: str, rng: Random, **slots: str) -> str:
    """One wording of a pattern. Raises ValueError for a broken pattern, KeyError for a slot that was not given."""
    out: list[str] = []
    _write(_parse(pattern), rng, slots, out)
    return _SPACE_BEFORE.sub(r"\1", _SPACES.sub(" ", "".join(out))).strip()


def pick(rng: Random, patterns: Sequence[str], **slots: str) -> str:
    """One wording of one of the patterns."""
    return expand(patterns[rng.randrange(len(patterns))], rng, **slots)


def sentence(text: str, end: str = ".") -> str:
    """The text with a capital first letter and a punctuation mark at its end, if it has none."""
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in ".!?" else text + end
