"""Every rule of the detectors: the alternatives of their patterns, and their lists of words.

A rule is one alternative of a pattern at the root of a module in `annie_eval.detectors`, a set of words there, one
alternative of a cue of untagged reasoning, or one list of words in `languages.toml`. `every` lists them from the code
alone.
`watched` puts a stand-in for each into the modules, which records where a rule took part and can be told to leave it
out, so that one sees what changes.

A pattern that is made of a request (the names of its tools) is none of these: it has no words of its own.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

import annie_eval.detectors
from annie_eval.detectors.untagged_reasoning import cues, find, languages
from annie_eval.detectors.untagged_reasoning.weights import OTHER

# Module and name, and the rule's own text; a word list has none.
Rule = tuple[str, str]

_CUES = "untagged_reasoning.cues.toml"
_WORDS = "untagged_reasoning.languages.toml"
# Sets that only others are made of, when the module is imported.
_PARTS = {("annie_eval.detectors.tag_remnants", "_NAMES")}
_ROLES = {
    "user asks": ("user", "asks"),
    "user": ("user",),
    "user quoted": ("user",),
    "plans answer": ("must", "answer"),
    "plans call": ("use", "tool", "must"),
    "uses name": ("use",),
    "tool": ("tool",),
    "form": ("brief",),
    "to the user": ("to_user",),
    "own language": ("itself",),
    "question": ("question",),
    "head": ("head",),
    "deliberates": ("think",),
    "no tool": ("no_tool",),
    "system prompt": ("system",),
    "instructions": ("rules",),
    "available": ("available",),
    "directly": ("direct",),
    "no markdown": ("plain",),
}


def modules() -> list[ModuleType]:
    """The modules of the detectors."""
    found = pkgutil.walk_packages(annie_eval.detectors.__path__, "annie_eval.detectors.")
    return [importlib.import_module(one.name) for one in found if not one.ispkg]


def alternatives(pattern: str) -> list[tuple[int, int]]:
    """Start and end of each alternative of a regular expression, within its outermost group if that is all it is."""
    opened = re.match(r"\(\?[a-zA-Z-]*:", pattern)
    if opened and _closes(pattern, 0) == len(pattern) - 1:
        inner = alternatives(pattern[opened.end() : -1])
        return [(start + opened.end(), end + opened.end()) for start, end in inner]
    cuts = [place for place, letter, depth in _walk(pattern) if letter == "|" and depth == 0]
    return list(zip([0, *(cut + 1 for cut in cuts)], [*cuts, len(pattern)], strict=True))


def _walk(pattern: str) -> Iterator[tuple[int, str, int]]:
    """(place, letter, depth of groups) of each letter that is neither escaped nor in a class."""
    place, depth = 0, 0
    while place < len(pattern):
        letter = pattern[place]
        if letter == "\\":
            place += 2
            continue
        if letter == "[":
            place += 2 if pattern[place + 1 : place + 2] == "^" else 1
            place += pattern[place : place + 1] == "]"
            while pattern[place] != "]":
                place += 2 if pattern[place] == "\\" else 1
        depth -= letter == ")"
        yield place, letter, depth
        depth += letter == "("
        place += 1


def _closes(pattern: str, place: int) -> int | None:
    return next((at for at, letter, depth in _walk(pattern) if at > place and letter == ")" and depth == 0), None)


class Watch:
    """What is recorded, and the rules that are left out."""

    def __init__(self) -> None:
        self.seen: set[Rule] = set()
        self.without: Rule | None = None
        self.leave_out: Callable[[Rule | None], None] = self._leave_out

    def _leave_out(self, rule: Rule | None) -> None:
        self.without = rule


class Pattern:
    """Stands in for a compiled pattern. Each match tells the watch which alternative it was by."""

    def __init__(self, name: str, pattern: re.Pattern[str], watch: Watch, texts: list[str] | None = None) -> None:
        self._whole, self._watch = pattern, watch
        self._spans = alternatives(pattern.pattern)
        shown = texts or [pattern.pattern[start:end] for start, end in self._spans]
        self.rules: list[Rule] = [(name, text) for text in shown]
        self.pattern, self.flags, self.groups = pattern.pattern, pattern.flags, pattern.groups

    @cache  # noqa: B019  as many as there are rules
    def _only(self, kept: frozenset[int]) -> re.Pattern[str]:
        """The pattern with all other alternatives made to fail; groups keep their numbers."""
        text, done = "", 0
        for number, (start, _) in enumerate(self._spans):
            text, done = text + self.pattern[done:start] + ("" if number in kept else "(?!)"), start
        return re.compile(text + self.pattern[done:], self.flags)

    def _active(self) -> re.Pattern[str]:
        if self._watch.without not in self.rules:
            return self._whole
        out = {number for number, rule in enumerate(self.rules) if rule == self._watch.without}
        return self._only(frozenset(set(range(len(self.rules))) - out))

    def _note(self, match: re.Match[str] | None) -> re.Match[str] | None:
        if match is not None:
            for number, rule in enumerate(self.rules):
                if rule in self._watch.seen:
                    continue
                only = self._only(frozenset([number])) if len(self.rules) > 1 else self._whole
                again = only.match(match.string, match.start(), match.endpos)
                if len(self.rules) == 1 or (again and again.end() == match.end()):
                    self._watch.seen.add(rule)
                    break
        return match

    def search(self, *given: Any) -> re.Match[str] | None:
        return self._note(self._active().search(*given))

    def match(self, *given: Any) -> re.Match[str] | None:
        return self._note(self._active().match(*given))

    def fullmatch(self, *given: Any) -> re.Match[str] | None:
        return self._note(self._active().fullmatch(*given))

    def finditer(self, *given: Any) -> Iterator[re.Match[str]]:
        for match in self._active().finditer(*given):
            self._note(match)
            yield match

    def findall(self, text: str) -> list[Any]:
        self._note(self._active().search(text))
        return self._active().findall(text)

    def split(self, text: str) -> list[str | Any]:
        self._note(self._active().search(text))
        return self._active().split(text)

    def sub(self, by: str | Callable[[re.Match[str]], str], text: str) -> str:
        for match in self._active().finditer(text):
            self._note(match)
        return self._active().sub(by, text)


class Words:
    """Stands in for a set of words. Each word that is found in it tells the watch."""

    def __init__(self, name: str, words: frozenset[str], watch: Watch) -> None:
        self.rules: list[Rule] = [(name, "")]
        self._words, self._watch = words, watch

    def _found(self, found: Any) -> Any:
        if self._watch.without in self.rules:
            return type(found)()
        if found:
            self._watch.seen.add(self.rules[0])
        return found

    def __contains__(self, word: object) -> bool:
        return bool(self._found(word in self._words))

    def __and__(self, other: Any) -> Any:
        return self._found(self._words & frozenset(other))

    __rand__ = __and__

    def __sub__(self, other: Any) -> Any:
        return frozenset() if self._watch.without in self.rules else self._words - frozenset(other)

    def __or__(self, other: Any) -> Any:
        return frozenset(other) | (frozenset() if self._watch.without in self.rules else self._words)

    __ror__ = __or__

    def __rsub__(self, other: Any) -> Any:
        return other if self._watch.without in self.rules else other - self._words

    def isdisjoint(self, other: Any) -> bool:
        return not self & other

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)


def _stand_in(name: str, value: Any, watch: Watch, made: dict[int, tuple[Any, Any]]) -> Any:
    """A value of a module with stand-ins for the patterns and sets of words in it; None where it has none."""
    if id(value) in made:
        return made[id(value)][1]
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        new: Any = Pattern(name, value, watch)
    elif isinstance(value, frozenset) and value and all(isinstance(word, str) for word in value):
        new = Words(name, value, watch)
    elif isinstance(value, tuple | list):
        parts = [_stand_in(f"{name}", part, watch, made) for part in value]
        if all(part is None for part in parts):
            return None
        new = type(value)(old if part is None else part for part, old in zip(parts, value, strict=True))
    elif isinstance(value, dict):
        members = {key: _stand_in(f"{name}[{key}]", part, watch, made) for key, part in value.items()}
        if all(part is None for part in members.values()):
            return None
        new = {key: value[key] if part is None else part for key, part in members.items()}
    else:
        return None
    # Both are kept, so that no other value gets the identity of one.
    made[id(value)] = value, new
    made[id(new)] = new, None  # a stand-in that another module has imported is one already
    return new


def _all(stand_in: Any) -> Iterator[Pattern | Words]:
    if isinstance(stand_in, Pattern | Words):
        yield stand_in
    elif isinstance(stand_in, dict):
        for part in stand_in.values():
            yield from _all(part)
    elif isinstance(stand_in, tuple | list):
        for part in stand_in:
            yield from _all(part)


def _attributes() -> Iterator[tuple[ModuleType, str, Any]]:
    for module in modules():
        for name, value in vars(module).items():
            hidden = name.startswith("__") or (module.__name__, name) in _PARTS
            if not hidden and not isinstance(value, type):
                yield module, name, value


def _english(watch: Watch) -> dict[str, Pattern]:
    """A stand-in for each English cue, by its pattern."""
    return {
        cue.pattern: Pattern(f"{_CUES} {cue.name}", re.compile(cue.pattern, re.IGNORECASE), watch, texts)
        for cue, row in zip(cues.ENGLISH, cues._STORED["cue"], strict=True)
        for texts in [[part for one in row["any"] for part in _split(one)]]
    }


def _split(pattern: str) -> list[str]:
    return [pattern[start:end] for start, end in alternatives(pattern)] if not _is_group(pattern) else [pattern]


def _is_group(pattern: str) -> bool:
    return re.match(r"\(\?[a-zA-Z-]*:", pattern) is not None and _closes(pattern, 0) == len(pattern) - 1


class _Spoken(Pattern):
    """Stands in for a cue of another language: what took part are the words in a match."""

    def __init__(self, cue: cues.Cue, watch: Watch) -> None:
        super().__init__("", re.compile(cue.pattern, re.IGNORECASE), watch)
        self._spans, self.rules = [(0, len(cue.pattern))], [("", "")]
        roles = _ROLES[cue.name.removeprefix(OTHER)]
        words = languages._WORDS[cue.language]
        self._of = [
            ((f"{_WORDS} {cue.language}", role), re.compile("|".join(words[role]), re.IGNORECASE))
            for role in roles
            if role in words
        ]

    def _note(self, match: re.Match[str] | None) -> re.Match[str] | None:
        if match is not None:
            self._watch.seen.update(rule for rule, word in self._of if word.search(match.group()))
        return match


def every() -> dict[Rule, None]:
    """Each rule of the code, in the order of the modules."""
    watch, made = Watch(), dict[int, tuple[Any, Any]]()
    found: dict[Rule, None] = {}
    for module, name, value in _attributes():
        if module in (cues, languages):
            continue
        shown = f"{module.__name__.removeprefix('annie_eval.detectors.')}.{name}"
        if (stand_in := _stand_in(shown, value, watch, made)) is not None:
            found |= dict.fromkeys(rule for one in _all(stand_in) for rule in one.rules)
    for cue in _english(watch).values():
        found |= dict.fromkeys(cue.rules)
    for code, words in languages._WORDS.items():
        found |= {(f"{_WORDS} {code}", role): None for role in words}
    return found


def watched() -> Watch:
    """Put the stand-ins into the modules of this process, for good."""
    watch, made = Watch(), dict[int, tuple[Any, Any]]()
    for module, name, value in list(_attributes()):
        if module in (cues, languages):
            continue
        shown = f"{module.__name__.removeprefix('annie_eval.detectors.')}.{name}"
        if (stand_in := _stand_in(shown, value, watch, made)) is not None:
            setattr(module, name, stand_in)
    known: Mapping[str, Pattern] = _english(watch) | {cue.pattern: _Spoken(cue, watch) for cue in languages.LANGUAGES}

    @cache
    def compiled(pattern: str) -> Any:
        return known.get(pattern) or re.compile(pattern, re.IGNORECASE)

    @cache
    def without(rule: Rule) -> tuple[cues.Cue, ...]:
        code = rule[0].removeprefix(f"{_WORDS} ")
        words = {**languages._WORDS[code], rule[1]: ["(?!)"]}
        return (
            *(cue for cue in find.CUES if cue.language != code),
            *languages._cues(code, words),
        )

    every_cue = find.CUES
    caches = [
        value.cache_clear
        for _, name, value in _attributes()
        if name in ("scan", "_tag_pattern", "_name_pattern") and hasattr(value, "cache_clear")
    ]

    def leave_out(rule: Rule | None) -> None:
        watch.without = rule
        wanted = without(rule) if rule is not None and rule[0].startswith(_WORDS) else every_cue
        if find.CUES is not wanted:
            find.CUES = wanted
            find._index.cache_clear()
        for clear in caches:
            clear()

    find._compiled = compiled
    watch.leave_out = leave_out
    return watch
