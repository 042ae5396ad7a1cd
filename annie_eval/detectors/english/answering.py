"""Finds which clause of an answer says what was asked, so that a word in another role is no answer.

A clause answers if it is the phrase alone ("Alexander Fleming"), if its subject is a pronoun ("it's the yen"), or if
it has a word of the question ("Bern is the capital"). Where another clause does so ("It's Barcelona. Madrid has the
bigger airport."), a phrase in a clause that does not is none. A conclusion ("..., so June it is") takes the place of
what stands before it. A heuristic over words; without another clause that answers, every clause may.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property

from annie_eval.detectors.english.units import singular
from annie_eval.text import CJK, WORD, fold, word_set, words

_CUT = re.compile(
    r"[;!?…。！？()\n]+|[.,:](?!\d)[.]*|[—–]|(?<=\s)-(?=\s)"
    r"|\b(?:and|but|while|whereas|so|thus|therefore|because|since|although|though|when|which|who|und|aber|et|mais|y|pero)\b",
    re.IGNORECASE,
)
# What is in every question and says nothing of its matter.
_COMMON = word_set(
    "a an the is are was were be been do does did has have had can could will would shall should may might must of in"
    " on at to by from for with as it its that this these those there they he she we you i me my your what which who"
    " whom whose where when why how s t not no or and if than so one many much der die das den dem ein eine ist sind"
    " hat was wer wie welche in von le la les l un une est qui que quel quelle de des du el los las es son en cual"
)
_PRONOUNS = word_set(
    "it that this they these those he she we you i there its es das sie er ce c cest il elle ils son sono e"
)
_OPENERS = word_set(
    "yes no sure okay ok well right oh ah hmm mm certainly absolutely easy simple good great nice fine question one"
    " sorry thanks thank you of course definitely exactly fun fact it is that s was a an the here let me think see"
    " answer result solution short correct"
    " actually really just only probably always surely that's it's here's wait hello hi now then to be honest"
)
_BESIDE = word_set("the a an of in at on by from to for der die das le la l el named called mount")
_VERBS = word_set(
    "is are was were has have had does did do would could can will may might should must won took made gave came went"
    " held told saw knew wrote ran read fell kept brought taught met led lay stood hat ist war est a es"
)
_NO_VERBS = word_set("as always its this perhaps sometimes besides across plus minus unless")
_SAID_AGAIN = re.compile(
    r"\W*(?!(?:below|above|beside|behind|under|over|near|by|with|in|on|at|for|from|to|of|after|before)\b)\w+"
    r" (?:it|that|this|them|him|her)\b|\W*(?:does|did|do|is|was|has|are|can|will)\W*\Z"
)
_REFERS = re.compile(r"\b(?:does|did|do|is|there|it|them)\W*\Z", re.IGNORECASE)
_DOUBTFUL = re.compile(
    r"n['’]t\b|\b(?:not|no|never|nor|neither|may|might|could|perhaps|maybe|if|say|says|said|think|thinks|thinking"
    r"|thought|believe|believes|expect|guess|wrong|false|incorrect|nicht|kein\w*|pas|nunca)\b",
    re.IGNORECASE,
)
_SO = re.compile(
    r"(?:\b(?:so|therefore|thus|hence"
    r"|(?:the|its) (?:(?:right|correct|real|true|actual|final) (?:answer|one|name)|answer)"
    r" (?:is|was|would be|must be))\b(?! (?:that|much|many|far|long|called|is|are|do|does|did)\b))[\s,]*",
    re.IGNORECASE,
)
_NAMES = re.compile(rf"\W*(?:(?:the|a|an) )?[A-ZÀ-Þ][{WORD}'’]*(?: [A-ZÀ-Þ][{WORD}'’]*)*\W*")
_REACH = 100  # characters; a longer clause is no speech
# What comes second, loses or is like another was not asked for, unless the question says so.
_RANKED_BEHIND = re.compile(
    r"(?:['’]s| is| was| comes| came) (?:only |just )?(?:the |a )?"
    r"(?P<rank>runner-up|second|third|last)(?=\s*[.,;!—–]|\s*\Z)"
    r"| (?P<loses>loses?|lost) to\b| (?:is|was) (?P<beaten>beaten|surpassed|overtaken) by\b"
    r"| (?:is|was) (?:only |just |but )?(?:(?:nearly|almost|not quite|not) as \w+ as|an? (?:little|bit|touch) \w+ than"
    r"|an? (?:\w+ )?(?P<like>friend|rival|student|pupil|teacher|fan|brother|sister|son|daughter|colleague|neighbou?r"
    r"|admirer|follower|suburb|copy) of)\b",
    re.IGNORECASE,
)
_SEVERAL = re.compile(
    r"\b(?:where|list|need|needs|buy|pack|bring|wo|wohin|où|dónde|onde|dove|waar|gdzie|где)\b", re.IGNORECASE
)
_ADDS = re.compile(r"\b(?:too(?! \w)|also|as well|both)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]*")
_ENDING = re.compile(r"(?:ed|ing|e?s|er|est)\Z")
_CJK = re.compile(f"[{CJK}]")
_WORD = re.compile(f"[{WORD}]+")
_IT_IS = re.compile(r"[^.!?\n]{1,30} it is\b", re.IGNORECASE)


class Clauses:
    """The clauses of an answer, as the question and the accepted phrases make them."""

    def __init__(self, text: str, question: str, accepted: Sequence[str]) -> None:
        self.text = text
        self._own = {singular(word) for phrase in accepted for word in words(phrase)}
        self._matter = {singular(word) for word in words(question) if word not in _COMMON} - self._own
        self._asked_words = set(words(question))
        self._stems = {word[:4] for word in self._matter if len(word) > 3}
        # Places and lists may come in several clauses: "in the garden, under the pot", "first spaghetti, then eggs".
        self._open = not self._matter or _SEVERAL.search(question) is not None or _CJK.search(text) is not None

    @cached_property
    def _spans(self) -> list[tuple[int, int]]:
        cuts = [match.span() for match in _CUT.finditer(self.text)]
        starts = [0, *(end for _, end in cuts)]
        ends = [*(start for start, _ in cuts), len(self.text)]
        return list(zip(starts, ends, strict=True))

    def answers(self, span: tuple[int, int]) -> bool:
        """Whether the phrase at a span stands in a clause that answers, or no other clause does."""
        behind = _RANKED_BEHIND.match(self.text, span[1])
        if behind and self._asked_words.isdisjoint(map(fold, filter(None, behind.groups()))):
            return False
        if self._open:
            return True
        at = bisect_right(self._spans, span[0], key=lambda one: one[0]) - 1
        start, end = self._spans[at][0], max(self._spans[at][1], span[1])
        near, far = max(start, span[0] - _REACH), min(end, span[1] + _REACH)
        before, after = self.text[near : span[0]], self.text[span[1] : far]
        if self._alone(before, after) or self._of_pronoun(self.text[start : min(span[0], start + _REACH)]):
            return True
        if self._conclusion > end:
            return False
        if self._asked(before + " " + after) or _SAID_AGAIN.match(after) or _ADDS.search(self.text, near, far):
            return True
        first, last = self._rivals
        return first > start and last < end

    def _alone(self, before: str, after: str) -> bool:
        """Whether the clause is the phrase alone, with names and small words beside it."""
        first, then = _WORD.findall(before), _WORD.findall(after)
        named = all(word[0].isupper() or fold(word) in _OPENERS or fold(word) in _BESIDE for word in first)
        if not named or len(first) > 5 or len(then) > 3 or "then" in map(fold, first):
            return False
        if any(word[0].isupper() and fold(word) not in _OPENERS for word in first) and "is" in map(fold, first[1:]):
            return False  # "Silver is Au"
        return not any(map(_verb, then))

    def _of_pronoun(self, clause: str) -> bool:
        found = _WORD.findall(clause)
        return next((fold(word) in _PRONOUNS for word in found if fold(word) not in ("well", "then", "now")), False)

    def _asked(self, clause: str) -> bool:
        """Whether a clause has a word of the question."""
        for word in words(clause):
            if word[:4] in self._stems or not self._matter.isdisjoint((singular(word), _ENDING.sub("", word))):
                return True
        return False

    @cached_property
    def _rivals(self) -> tuple[int, int]:
        """Where the first clause without any accepted phrase answers, and where the last.

        A pronoun behind a phrase speaks of it ("Cheetahs run fast. That makes them ..."), so that the last has none.
        """
        first, last = len(self.text), -1
        for at, (start, end) in enumerate(self._spans):
            clause = self.text[start:end]
            said = [fold(word) for word in _WORD.findall(clause)]
            if not said or not self._own.isdisjoint(map(singular, said)) or all(word in _OPENERS for word in said):
                continue
            if self.text[end : end + 1] == "?" or _DOUBTFUL.search(clause):
                continue
            named = len(said) < 4 and (at == 0 or _NAMES.fullmatch(clause) is not None)
            if named or self._asked(clause):
                last = start if _PRONOUNS.isdisjoint(said) else last
            elif not (self._of_pronoun(clause) or _REFERS.search(clause)):
                continue
            first = min(first, start)
        return first, last

    @cached_property
    def _conclusion(self) -> int:
        """Where a last conclusion stands that names none of the accepted phrases; -1 if there is none."""
        ends = [match.end() for match in _SO.finditer(self.text)]
        if not ends:
            return -1
        sentence = _SENTENCE.match(self.text, ends[-1])
        rest = sentence.group() if sentence else ""
        if _DOUBTFUL.search(rest) or not self._own.isdisjoint(map(singular, words(rest))):
            return -1
        stated = ends[-1] and self.text[: ends[-1]].rstrip(" ,").endswith(("is", "was", "be"))
        told = [word for word in words(rest) if word not in _OPENERS]
        return ends[-1] if (stated and 0 < len(told) < 4) or self._asked(rest) or _IT_IS.match(rest) else -1


def _verb(word: str) -> bool:
    low = fold(word)
    return low in _VERBS or (word[0].islower() and low not in _NO_VERBS and len(low) > 3 and low.endswith(("s", "ed")))
