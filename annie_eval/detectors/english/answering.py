"""Finds which clause of an answer says what was asked, so that a word in another role is no answer.

Each clause has a weight: all of the question, if it is the phrase alone ("Alexander Fleming"), has a pronoun as
subject ("it's the yen") or says so ("the answer is ..."); else as many words of the question as it has ("Bern is the
capital"); a half, if the phrase is only its subject; else nearly nothing. A phrase is no answer if a clause without it
that names another candidate weighs more, or as much behind it. A heuristic over words.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from annie_eval.detectors.english.matter import COMMON, OPENERS, Matter
from annie_eval.detectors.english.relations import less_than
from annie_eval.text import CJK, WORD, fold, word_set, words

_CUT = re.compile(
    r"[;!?…。！？()\n]+|[.,:](?!\d)[.]*|[—–]|(?<=\s)-(?=\s)"
    r"|\b(?:and|but|while|whereas|so|thus|therefore|because|since|although|though|when|which|who|und|aber|et|mais|y|pero)\b",
    re.IGNORECASE,
)
_PRONOUNS = word_set("it that this these those there es das ce c cest son sono e")
_PERSONS = word_set("they he she them him her sie er il elle ils")
_SPEAKERS = word_set("i you we")
_SAYS = word_set(
    "say said answer write down choose pick call name mean meant bet guess take go with on think believe find get know"
    " reckon"
    " need want after looking re put down try"
    " suppose imagine presume remember recall am m d would sure certain pretty quite fairly as far"
)
_ORDERS = word_set("put write say pick choose go try guess")
_PLACES = word_set("by from of with to for about up at in over like")
_BESIDE = word_set("the a an of in at on by from to for der die das le la l el named called mount")
_VERBS = word_set(
    "is are was were has have had did does do would could can will may might should must won took made gave came went"
    " held told saw knew wrote ran read fell kept brought taught met led lay stood hat ist war est a es"
)
_CAPITALS = rf"[A-ZÀ-Þ][{WORD}'’]*(?: [A-ZÀ-Þ][{WORD}'’]*)*"
_SAID_AGAIN = re.compile(
    r"\W*(?!(?:below|above|beside|behind|under|over|near|by|with|in|on|at|for|from|to|of|after|before)\b)\w+"
    r" (?:it|that|this|them|him|her)\b"
)
_DID = re.compile(r"\W*(?:it )?(?:does|did|do|is|was|has|are|can|will)\W*")
_ENDS_IN_DID = re.compile(rf"(?P<name>{_CAPITALS})(?: it)? (?:does|did|do|is|was|has|are)\W*\Z")
# "Mary Shelley, she wrote it ...".
_WHO_DID = re.compile(r",? (?:he|she|they|who)\b[^,.;!?]{0,100}", re.IGNORECASE)
# "It's the lungs that do it".
_THAT_DOES = re.compile(
    rf"\b(?:it['’]s|it is|it was) (?:(?:the|an?) )?(?P<name>[{WORD}]+(?: [{WORD}]+)?) "
    r"(?:that|which)(?P<does>\b.*)",
    re.IGNORECASE,
)
_IS_GIVEN = re.compile(
    r" (?:is|was|would be) (?:(?:the|your|my) (?:\w+ )?(?:answer|one|winner)|right|correct)\b| (?:wins|won)\b",
    re.IGNORECASE,
)
_GIVES = re.compile(
    r"\b(?:answer(?: (?:that )?you[ '’\w]{1,20})? (?:is|was|would be)|(?:goes|went|belongs) to"
    r"|(?:makes|leaves|gives)(?: it| us| you)?|make (?:it|that)) (?:\w+ )?\Z",
    re.IGNORECASE,
)
# "What we breathe is air", "The one you want is Lima".
_CLEFT = re.compile(
    r"\W*(?:what|who|(?:the|your|my) (?:one|name|word|place|thing))\b[^,;:]*\b(?:is|was)(?: (?:the|an?))? ",
    re.IGNORECASE,
)
_DOUBTFUL = re.compile(
    r"n['’]t\b|\b(?:not|no|never|nor|neither|(?-i:may)|might|could|perhaps|maybe|if|say|says|said|think|thinks|thinking"
    r"|thought|believe|believes|expect|guess|wrong|false|incorrect|nicht|kein\w*|pas|nunca)\b",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"(?:n['’]t|not) (?:\w+ )?(?:tell|say|know|help|recall|remember|confirm)\b"
    r"(?:.{0,20}\b(?:what|which|who|how|when|where)\b| you\W*\Z|\W*\Z)",
    re.IGNORECASE,
)
_SO = re.compile(
    r"(?:\b(?:so|therefore|thus|hence"
    r"|(?:the|its) (?:(?:right|correct|real|true|actual|final) (?:answer|one|name)|answer)"
    r" (?:is|was|would be|must be))\b(?! (?:that|much|many|far|long|called|is|are|do|does|did)\b))[\s,]*",
    re.IGNORECASE,
)
_NAME = re.compile(_CAPITALS)
_NAMES = re.compile(rf"\W*(?:(?:the|a|an) )?{_CAPITALS}\W*")
# Where another answer stands: as the subject, ...
_SUBJECT = re.compile(rf"\W*(?:(?:the|an?) )?(?P<name>{_CAPITALS}|[{WORD}]+)(?= (?P<verb>[{WORD}]+))")
# ... behind a verb or a preposition at the end, ...
_BEHIND = re.compile(
    rf"\b(?P<by>is|was|are|were|be|been|by|means|uses?|it['’]s|that['’]s|called|from|to|of|in|for|with|on)"
    rf" (?:(?:the|an?) )?(?P<name>{_CAPITALS}|[{WORD}'’]+(?: [{WORD}'’]+)?)\W*\Z"
)
_LAST_WORD = re.compile(rf"(?:{_CAPITALS}|[{WORD}'’]+)(?=\W*\Z)")
_SURE = word_set("is was are were be been by means use uses it's that's called")
# ... before "who", or beside what was asked for.
_LAST_NAME = re.compile(rf"(?P<name>{_CAPITALS}|\b(?:the|an?) [{WORD}]+)\s*,?\s*(?P<who>who|which)?,?\s*\Z")
_IT_IS_BEFORE = re.compile(
    rf"\b(?:it|that|they|he|she)(?:['’]s|['’]re| is| was| are| were| has)(?: been)?(?: (?:the|an?))?"
    rf"(?: (?-i:{_CAPITALS}))? \Z",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\W*(?:(?:it|that|he|she|they)(?:['’]s)? )?(?:not|never|(?:is|was|are|were)(?:n['’]t| not))\b", re.I
)
_REACH = 100  # characters; a longer clause is no speech
_SEVERAL = re.compile(
    r"\b(?:where|list|need|needs|buy|pack|bring|wo|wohin|où|dónde|onde|dove|waar|gdzie|где)\b", re.IGNORECASE
)
_ADDS = re.compile(r"\b(?:too(?! \w)|also|as well|both)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]*")
_CJK = re.compile(f"[{CJK}]")
_WORD = re.compile(f"[{WORD}]+")
# Weights below one word of the question.
_MENTIONED, _AS_SUBJECT, _ELSEWHERE, _RELATED, _OF_IT = 0.25, 0.5, 0.6, 0.9, 0.95


@dataclass(frozen=True, slots=True)
class _Rival:
    """A clause without any accepted phrase: where it starts, what it weighs, whether it names another candidate (and
    `sure`: where the answer would stand), and its words.
    """

    start: int
    weight: float
    names: bool
    sure: bool
    told: frozenset[str]
    text: str


class Clauses:
    """The clauses of an answer, as the question and the accepted phrases make them."""

    def __init__(self, text: str, matter: Matter) -> None:
        self.text, self.matter = text, matter
        # Places and lists may come in several clauses: "in the garden, under the pot", "first spaghetti, then eggs".
        self.open = not matter or _SEVERAL.search(matter.question) is not None or _CJK.search(text) is not None

    @cached_property
    def _spans(self) -> list[tuple[int, int]]:
        cuts = [match.span() for match in _CUT.finditer(self.text)]
        starts = [0, *(end for _, end in cuts)]
        ends = [*(start for start, _ in cuts), len(self.text)]
        return list(zip(starts, ends, strict=True))

    def answers(self, span: tuple[int, int]) -> bool:
        """Whether the phrase at a span stands in a clause that answers, and no other clause answers better."""
        if self.open:
            return True
        at = bisect_right(self._spans, span[0], key=lambda one: one[0]) - 1
        start, end = self._spans[at][0], max(self._spans[at][1], span[1])
        near, far = max(start, span[0] - _REACH), min(end, span[1] + _REACH)
        before, after = self.text[near : span[0]], self.text[span[1] : far]
        own = self._weight(self.text[start : min(span[0], start + _REACH)], before, after)
        own = max(own, self._said_next(at))
        if not own or (own < self.matter.whole and (self._conclusion > end or self._denied(at))):
            return False
        told = {word for word in words(f"{before} {after}") if word not in COMMON}
        return not any(self._beats(rival, own, start, told) for rival in self._rivals)

    def _beats(self, rival: _Rival, own: float, start: int, told: set[str]) -> bool:
        later = rival.start > start
        if later and ((rival.weight == own and rival.names and rival.sure) or self._same_of_another(rival, told)):
            return True
        if rival.weight == _ELSEWHERE and not later and own == _AS_SUBJECT:
            return False  # "Saturn has rings, but Jupiter is bigger"
        return rival.weight > own and (rival.names or not later)

    def _same_of_another(self, rival: _Rival, told: set[str]) -> bool:
        """Whether a clause says the same of another candidate."""
        return (
            len(told) > 1
            and told <= rival.told
            and self.matter.another(" ".join(word for word in _WORD.findall(rival.text) if fold(word) not in told))
        )

    def _denied(self, at: int) -> bool:
        """Whether the next clause denies what was asked: "Jupiter is large, but not the largest".

        A name is no such denial, also where the question has it: "Canberra, not Sydney".
        """
        for start, end in self._spans[at + 1 : at + 3]:
            clause = self.text[start : min(end, start + _REACH)]
            if _DENIED.match(clause):
                return self.matter.shared(_NAME.sub(" ", clause)) > 0 and not _BEHIND.search(clause)
        return False

    def _said_next(self, at: int) -> float:
        """How much of the question the next clause says of "it": "They chose Lima. It's the capital since."."""
        for start, end in self._spans[at + 1 : at + 2]:
            clause = self.text[start:end]
            first = words(clause)[:1]
            told = first and (first[0] in _PRONOUNS or first[0].removesuffix("s") in _PRONOUNS)
            if told and not self.matter.another(clause) and not _DOUBTFUL.search(clause):
                return float(self.matter.shared(clause))
        return 0.0

    def _weight(self, opening: str, before: str, after: str) -> float:
        """How much of the question the clause around a phrase answers."""
        if _GIVES.search(before) or _IS_GIVEN.match(after) or _DID.fullmatch(after) or self._alone(before, after):
            return self.matter.whole
        first = [fold(word) for word in _WORD.findall(opening) if fold(word) not in ("well", "then", "now")]
        subject = first[0] if first else ""
        if subject in _PRONOUNS or (subject == "its" and len(first) == 1):
            return self.matter.whole
        last = [word for word in first if word not in _BESIDE][-1:]
        if subject in _SPEAKERS and last and last[0] in _SAYS:
            return self.matter.whole
        if self._pointed(opening, before):
            return self.matter.whole
        said = _IT_IS_BEFORE.search(before)
        if said is not None and not self.matter.another(_without_speaker(before[: said.start()])):
            return self.matter.whole
        if shared := self.matter.shared(f"{before} {after}"):
            return shared
        if _SAID_AGAIN.match(after):
            return _OF_IT
        if _ADDS.search(before) or _ADDS.search(after):
            return 1.0
        if subject == "i":
            return 0.0
        small = all(word in OPENERS or word in _BESIDE for word in first)
        return _AS_SUBJECT if small else _MENTIONED

    def _pointed(self, opening: str, before: str) -> bool:
        """Whether a clause points at what follows: "put down ...", "what you want is ...", "shorter than ..."."""
        first = [fold(word) for word in _WORD.findall(opening)]
        order = first[:1] and first[0] in _ORDERS and all(word in _SAYS or word in _BESIDE for word in first)
        return bool(order or _CLEFT.fullmatch(opening) or less_than(before, self.matter.asked))

    def _alone(self, before: str, after: str) -> bool:
        """Whether the clause is the phrase alone, with names and small words beside it."""
        first, then = _WORD.findall(before), _WORD.findall(after)
        named = all(word[0].isupper() or fold(word) in OPENERS or fold(word) in _BESIDE for word in first)
        if not named or len(first) > 5 or len(then) > 3 or "then" in map(fold, first):
            return False
        names = [word for word in first if word[0].isupper() and self.matter.another(word)]
        if names and (self.matter.common or "is" in map(fold, first[1:])):
            return False  # "China in yen", "Silver is Au"
        return not any(map(_verb, then))

    @cached_property
    def _rivals(self) -> list[_Rival]:
        """Each clause and each sentence without any accepted phrase that may answer."""
        sentences = [match.span() for match in _SENTENCE.finditer(self.text) if match.group()]
        found = [self._rival(start, min(end, start + 2 * _REACH)) for start, end in sorted({*self._spans, *sentences})]
        return [rival for rival in found if rival is not None]

    def _rival(self, start: int, end: int) -> _Rival | None:
        clause, whole = self.text[start:end], self.matter.whole
        said = [fold(word) for word in _WORD.findall(clause)]
        if not said or self.matter.accepts(clause) or all(word in OPENERS for word in said):
            return None
        told = frozenset(said)
        if _UNKNOWN.search(clause):
            return _Rival(start, whole - 0.5, True, True, told, clause)
        if self.text[end : end + 1] == "?" or _DOUBTFUL.search(clause):
            return None
        more = _WHO_DID.match(self.text, end)
        if more and _NAMES.fullmatch(clause) and self.matter.another(clause) and self.matter.shared(more.group()):
            return _Rival(start, whole, True, True, told, clause)
        shared = float(self.matter.shared(clause))
        names, sure, again, of_it = self._other_named(start, clause)
        if said[0] in _PRONOUNS and not (shared or sure or again or of_it):
            names = False  # "Paris is the capital, and it lies on the Seine"
        if names and (again or (self.matter.named and of_it)):
            return _Rival(start, whole, True, sure, told, clause)
        if names and (shared or self.matter.named):
            return _Rival(start, shared or _ELSEWHERE, True, sure, told, clause)
        bare = start == 0 and said[0] not in _PLACES and len(self.matter.rest(clause).split()) == 1
        if shared or bare or of_it or (len(said) < 4 and _NAMES.fullmatch(clause)):
            # A pronoun behind a phrase speaks of it ("Cheetahs run fast. That makes them ...").
            pronoun = any(word in _PRONOUNS or word in _PERSONS for word in said)
            return _Rival(start, _RELATED, not pronoun, False, told, clause)
        return None

    def _other_named(self, start: int, clause: str) -> tuple[bool, bool, bool, bool]:
        """(whether another candidate stands in a clause where the answer may, whether where it must, whether as in
        "Cusco is" or "Cusco it is", whether as in "it is Cusco").
        """
        another = self.matter.another
        last_word = _LAST_WORD.search(clause)
        if last_word and another(last_word.group()):
            opening = clause[: last_word.start()]
            if self._pointed(opening, opening):
                return True, True, True, False
        cleft = _THAT_DOES.search(clause)
        if cleft and another(cleft["name"]) and self.matter.shared(cleft["does"]):
            return True, True, True, False
        subject = _SUBJECT.match(clause)
        if subject and _verb(subject["verb"]) and another(subject["name"]):
            rest = clause[subject.end() :]
            return True, True, _DID.fullmatch(rest) is not None, False
        rest = self.matter.rest(clause)
        if len(rest.split()) == 1 and clause.rstrip().endswith(rest) and another(rest) and self.matter.shared(clause):
            return True, True, False, False  # "in Japan the yuan"
        ends = _ENDS_IN_DID.search(clause)
        if ends and another(ends["name"]):
            return True, True, True, False
        behind = _BEHIND.search(clause)
        if behind and another(behind["name"]) and (self.matter.named or not behind["name"][0].isupper()):
            sure = fold(behind["by"]).replace("’", "'") in _SURE
            of_it = _IT_IS_BEFORE.search(clause[: behind.start("name")]) is not None
            return sure or self.matter.named, sure, False, of_it
        before = self.text[max(0, start - _REACH) : start]
        ahead = _LAST_NAME.search(before)
        if ahead and another(ahead["name"]) and (ahead["who"] or self.matter.alone(clause)):
            return True, True, False, False
        last = words(before)[-1:]
        beside = before.endswith(",") and _NAMES.fullmatch(clause) and last and self.matter.shared(last[0])
        return bool(beside and another(clause)), True, bool(beside), False

    @cached_property
    def _conclusion(self) -> int:
        """Where a last conclusion stands that names none of the accepted phrases; -1 if there is none."""
        ends = [match.end() for match in _SO.finditer(self.text)]
        if not ends:
            return -1
        sentence = _SENTENCE.match(self.text, ends[-1])
        rest = sentence.group() if sentence else ""
        if _DOUBTFUL.search(rest) or self.matter.accepts(rest):
            return -1
        stated = self.text[: ends[-1]].rstrip(" ,").endswith(("is", "was", "be"))
        told = [word for word in words(rest) if word not in OPENERS]
        return ends[-1] if (stated and 0 < len(told) < 4) or self.matter.shared(rest) else -1


def _without_speaker(text: str) -> str:
    """A text without the words of "I believe" and "as far as I know": "I think, and so does Rome" has Rome."""
    own = (word for word in _WORD.findall(text) if fold(word) not in _SPEAKERS and fold(word) not in _SAYS)
    return " ".join(own)


def _verb(word: str) -> bool:
    low = fold(word)
    return low in _VERBS or (word[0].islower() and len(low) > 3 and low.endswith(("s", "ed")))
