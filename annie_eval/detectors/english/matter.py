"""What a question is about: its words of content, the answers that it offers, and what would be another answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from annie_eval.detectors.english.units import singular
from annie_eval.text import WORD, fold, word_set, words

# What is in every question and says nothing of its matter.
COMMON = word_set(
    "a an the most mostly is are was were be been do does did has have had can could will would shall should may might"
    " must of in on at to by from for with as it its that this these those there they he she we you i me my your what"
    " which who whom whose where when why how s t not no or and if than so one many much tell name know some any"
    " every his her"
    " their our people others everyone der die das den"
    " dem ein eine ist sind hat was wer wie welche en le la les l un une est qui que quel quelle de des du el los las"
    " es son cual"
)
OPENERS = word_set(
    "yes no sure okay ok well right oh ah hmm mm certainly absolutely easy simple good great nice fine question one"
    " sorry thanks thank you of course definitely exactly fun fact it is that s was a an the here let me think see"
    " answer result solution short correct actually really just only probably always surely that's it's here's wait"
    " yep yup yeah nope nah aye hello hi now then to be honest indeed either all"
)
_LIST = re.compile(rf"[{WORD}]+(?:, (?!the |an? )[{WORD}]+)*,? (?:or|and|oder|und|ou|o|y) (?:the |an? )?[{WORD}]+")
_ENDING = re.compile(r"(?:ed|ing|e?s|er|est)\Z")
_WORD = re.compile(f"[{WORD}]+")


class Matter:
    """The words of a question that say what it asks.

    Attributes:
        asked: its folded words.
        whole: the weight of a clause that answers all of it, at least 2.
        named: whether an accepted phrase is written with a capital, as names are.
        common: whether each is written without one, as other nouns are.
    """

    def __init__(self, question: str, accepted: Sequence[str] = ()) -> None:
        self.question = question
        self.asked = set(words(question))
        self._accepted = [{singular(word) for word in words(phrase)} for phrase in accepted]
        own = set[str]().union(*self._accepted)
        given = set[str]().union(*(phrase for phrase in self._accepted if phrase <= self.asked))
        content = {singular(word) for word in self.asked - COMMON} - given
        # Where the question offers the answer among others: "Max, Eva or Lou".
        self.named = any(phrase.split()[-1][:1].isupper() for phrase in accepted if phrase.strip())
        self.common = bool(accepted) and all(phrase[-1:].isalpha() for phrase in accepted) and not self.named
        self._offered = self._choices(question, own)
        self._content = content - {singular(word) for word in self._offered}
        self._stems = {word[:4]: len(word) for word in self._content if len(word) > 3 and not word.endswith("est")}
        self._superlatives = {word.removesuffix("est") + "er" for word in self._content if word.endswith("est")}
        self._own = own
        self.whole = float(max(2, len(self._content)))

    def _choices(self, question: str, own: set[str]) -> set[str]:
        """The other words of a list in the question that has an accepted phrase."""
        found = set[str]()
        for one in _LIST.finditer(question) if own else ():
            named = [word for word in _WORD.findall(one.group()) if word[0].isupper() or not self.named]
            listed = {fold(word) for word in named}
            found |= listed if own & listed else set()
        return found - COMMON - own

    def __bool__(self) -> bool:
        return bool(self._content)

    def shared(self, text: str) -> int:
        """How many of the words a text has, inflected or not."""
        return len(
            {
                word[:4]
                for word in words(text)
                if abs(self._stems.get(word[:4], 99) - len(word)) < 4
                or word in self._superlatives
                or not self._content.isdisjoint((singular(word), _ENDING.sub("", word)))
            }
        )

    def accepts(self, text: str) -> bool:
        """Whether a text has an accepted phrase, its words in any order."""
        told = {singular(word) for word in words(text)}
        return any(phrase and phrase <= told for phrase in self._accepted)

    def another(self, name: str) -> bool:
        """Whether words name another candidate: with a capital where the answer has one, and not in the question."""
        every = _WORD.findall(name)
        if self.named and not any(word[0].isupper() for word in every):
            return False
        told = {fold(word) for word in every} - COMMON - OPENERS - self._own
        return any(word not in self.asked or word in self._offered for word in told)

    def rest(self, text: str) -> str:
        """What a text has besides words of the question and small ones."""
        return " ".join(
            word
            for word in _WORD.findall(text)
            if not self.shared(word) and fold(word) not in COMMON and fold(word) not in OPENERS
        )

    def alone(self, text: str) -> bool:
        """Whether a text has words of the question, and else only small ones: "the capital", "the fastest of all"."""
        return self.shared(text) > 0 and not self.rest(text)
