"""Builds the cues of untagged reasoning in languages other than English from the words in languages.toml.

Every language has the same cues if it has the words for them: who is mentioned, what is planned, which tool or
function is named, how the answer must be. The weight of a cue is the same for all these languages.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from annie_eval.detectors.untagged_reasoning.cues import Cue, Where

_WORDS: Mapping[str, Mapping[str, list[str]]] = tomllib.loads(
    Path(__file__).with_name("languages.toml").read_text(encoding="utf-8")
)

# Scripts without spaces have no word boundaries.
_SPACELESS = frozenset({"zh", "ja", "ko", "th", "hi", "ar", "he"})
# Within a sentence, the distance of the verb from its subject.
_GAP = r"[^.!?\n。！？।]{0,60}?"
_NEAR = r"[^.!?\n。！？।]{0,30}?"
_NAME = r"(?:[a-z]{2,20}_[a-z]{2,20}|(?-i:[A-Z][a-z]{1,15}(?:[A-Z][a-z]{1,15}){2,6}))"


def _cues(language: str, words: Mapping[str, list[str]]) -> Iterator[Cue]:
    """The cues of one language."""
    bound = "" if language in _SPACELESS else r"\b"
    user, asks, must, answer, tool, use = (
        rf"{bound}(?:{'|'.join(words.get(role, ()))})" for role in ("user", "asks", "must", "answer", "tool", "use")
    )

    def cue(
        name: str, shows: str, role: str, pattern: str = "", also: tuple[str, ...] = (), where: Where = "inside"
    ) -> Cue:
        pattern = pattern or rf"{bound}(?:{'|'.join(words[role])})"
        return Cue(f"other: {name}", shows, where, _hints(words[role]), pattern, language, also)

    def hints(*roles: str) -> tuple[str, ...]:
        return tuple(hint for role in roles for hint in _hints(words[role]))

    spoken_of = rf"{user}{bound}{_GAP}{asks}" + (rf"|{asks}{_GAP}{user}" if language == "ar" else "")
    yield cue("user asks", "speaks of the user", "user", spoken_of, hints("asks"))
    yield cue("user", "speaks of the user", "user", rf"{user}{bound}")
    quoted = rf"{bound}(?:{'|'.join(words['user'])}){bound}\s?[:：]\s?[\"“«„「『]"
    yield cue("user quoted", "repeats what the user said", "user", quoted, (":", "："))
    if "must" in words:
        planned = rf"{must}{_GAP}{answer}|{answer}{_NEAR}{must}"
        yield cue("plans answer", "plans the answer", "answer", planned, hints("must"))
        called = rf"{use}{_GAP}{tool}|{tool}{_NEAR}{use}|{must}{_GAP}{tool}"
        yield cue("plans call", "talks of tools", "tool", called, hints("must", "use"))
        yield cue("uses name", "plans a call", "use", rf"{use}{_NEAR}{_NAME}|{_NAME}{_NEAR}{use}")
        yield cue("tool", "talks of tools", "tool")
        yield cue("form", "says how long the answer is", "brief")
    if "question" in words:
        yield cue("to the user", "plans to tell the user", "to_user")
        yield cue("own language", "names the language", "itself")
        yield cue("question", "comments on the request", "question")
        yield cue("head", "heads a thought", "head", rf"(?:{'|'.join(words['head'])})\s?[:：]", where="start")
        yield cue("deliberates", "deliberates", "think")
        yield cue("no tool", "talks of tools", "no_tool")
        yield cue("system prompt", "talks of its context", "system")
        yield cue("instructions", "talks of its context", "rules")
        yield cue("available", "talks of tools", "available")
        yield cue("directly", "says how to answer", "direct")
        yield cue("no markdown", "says what the answer must not hold", "plain")


def _hints(patterns: list[str]) -> tuple[str, ...]:
    """Return a literal part of each pattern, so that a text without any of them is skipped quickly.

    For a pattern of groups only, the literal parts of its last group.
    """
    found: list[str] = []
    for one in patterns:
        longest = max(_literals(one), key=len).lower()
        last = re.search(r"\(\?:([^()]*)\)\Z", one)
        found += _hints(last.group(1).split("|")) if last and len(longest.strip()) < 2 else [longest]
    return tuple(found)


def _literals(pattern: str) -> list[str]:
    """Return the texts that a match must contain: those outside groups, classes and escapes that are not optional."""
    found, depth, run = [], 0, ""
    for place, letter in enumerate(pattern):
        depth += (letter in "([") - (letter in ")]")
        after = pattern[place + 1 : place + 2]
        if depth == 0 and letter not in ")]\\?*+." and after not in ("?", "*") and pattern[place - 1 : place] != "\\":
            run += letter
        else:
            found.append(run)
            run = ""
    return [*found, run]


LANGUAGES: tuple[Cue, ...] = tuple(cue for code, words in _WORDS.items() for cue in _cues(code, words))
