"""Finds whether a phrase is only one of several answers on offer: "Paris or Lyon", "maybe Paris, maybe Lyon".

An answer that names the right and a wrong one is not right. Two names of one thing are no choice ("the femur, or
thigh bone"): behind a comma "or" explains, unless "maybe" follows, and an alternative that the scenario accepts as
well is none. A heuristic over one sentence, as `annie_eval.detectors.english.assertion` is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from annie_eval.detectors.english.matter import OPENERS
from annie_eval.text import WORD, fold, words

_OR = r"(?:or|oder|ou|o)"
_ARTICLE = r"(?:(?:the|a|an|der|die|das|le|la|el)\s+)?"
_NAME = rf"{_ARTICLE}(?-i:[A-ZÀ-Þ])[{WORD}'’-]*(?:\s+(?-i:[A-ZÀ-Þ])[{WORD}'’-]*){{0,2}}"
_NOUN = rf"{_ARTICLE}[{WORD}'’-]+"
# "Torn between A and B", "one of A, B and a third", "either A or B": no answer wherever the phrase stands in it.
_SEVERAL = re.compile(
    r"\b(?:between|one of|either)\s+(?:in |on |at )?(?:(?:the|a|an) )?(?P<first>(?:(?!, so\b)[^.!?\n])*)\Z",
    re.IGNORECASE,
)
_JOINED = re.compile(r",|\s(?:and|or|und|oder)\b", re.IGNORECASE)
_LEFT_OPEN = re.compile(
    r"[^.!?\n]{0,60}[.!?,;—–-]+ *(?:take your pick|pick|choose|you choose|something like that|whichever|who knows"
    r"|(?:it['’]s )?one of (?:those|these|them|the|that))\b",
    re.IGNORECASE,
)
# A sentence of four or more single words in a row: "White, grey, black and tan", "It goes white, grey, black, tan".
_ROW = re.compile(rf"(?:\A|[.!?:…]\s+|\bgoes )(?P<row>[{WORD}]+(?:(?:, and|,| and) [{WORD}]+){{3,}})", re.IGNORECASE)
_UNDECIDED = re.compile(r"\b(?:opinions (?:differ|vary)|it depends|divided|undecided)\b", re.IGNORECASE)
_STOP = r"(?=\s*(?:[.,;:!?…—–]|\Z))"
_GUESS = r"(?:maybe|perhaps|possibly|was it|is it|could it be|might it be)\s+"
_END = re.compile(r"[.!?…\n](?=\s|\Z)")
_BOTH = re.compile(r"\bboth\b", re.IGNORECASE)
_BEFORE = 200  # characters; longer sentences are not speech and are not searched


def offered(text: str, span: tuple[int, int], accepted: Sequence[str]) -> bool:
    """Return whether the phrase at a span is offered next to another answer that is not accepted.

    Args:
        accepted: other phrases that are right.
    """
    start = max((end.end() for end in _END.finditer(text, max(0, span[0] - _BEFORE), span[0])), default=0)
    start = max(start, span[0] - _BEFORE)
    following = _END.search(text, span[1], span[1] + _BEFORE)
    before, rest = text[start : span[0]], text[span[1] : span[1] + _BEFORE]
    after = text[span[1] : following.start()] if following else rest
    if _LEFT_OPEN.match(rest) or _UNDECIDED.search(before) or _of_several(before, after, accepted):
        return True
    opens = not before.strip("\"'“”‘’ ")
    others = [_NOUN] if not text[span[0]].isupper() else [_NAME, _NOUN] if opens else [_NAME]
    return any(_beside(before, after, rest, other, accepted) for other in others)


def in_a_row(text: str, span: tuple[int, int], accepted: Sequence[str]) -> bool:
    """Return whether the phrase at a span is one of four or more words in a row, and no other of them is accepted."""
    for row in _ROW.finditer(text, max(0, span[0] - _BEFORE), span[1] + _BEFORE):
        if row.start("row") <= span[0] < row.end():
            said = words(row["row"])
            return OPENERS.isdisjoint(said) and sum(word in map(fold, accepted) for word in said) < 2
    return False


def _of_several(before: str, after: str, accepted: Sequence[str]) -> bool:
    """Whether the phrase is one of those that "between", "one of" or "either" names, and another is not accepted."""
    if not (several := _SEVERAL.search(before)):
        return False
    if several["first"]:  # another before it: "between Rome and Bern"
        other = several["first"]
        return _JOINED.search(other) is not None and not any(fold(phrase) in fold(other) for phrase in accepted)
    return _JOINED.match(after) is not None and not any(fold(phrase) in fold(after) for phrase in accepted)


def _beside(before: str, after: str, rest: str, other: str, accepted: Sequence[str]) -> bool:
    """Whether another answer stands at the phrase: `before` and `after` of its sentence, `rest` of the text."""

    def foreign(match: re.Match[str] | None) -> bool:
        return match is not None and not any(fold(phrase) in fold(match["other"]) for phrase in accepted)

    def follows(pattern: str, where: str) -> bool:
        return foreign(re.match(pattern, where, re.IGNORECASE))

    def precedes(pattern: str) -> bool:
        return foreign(re.search(rf"{pattern}\Z", before, re.IGNORECASE))

    if (
        follows(rf"\s+{_OR}\s+(?:{_GUESS})?(?P<other>{other}){_STOP}", after)
        or follows(rf"\W*(?:\b(?:and|but)\s+)?\b{_OR}\s+(?:else\s+)?{_GUESS}(?P<other>[{WORD}]+)", rest)
        or follows(rf"(?:,\s*{other}){{1,4}},?\s+{_OR}\s+(?P<other>[{WORD}]+(?:\s+[{WORD}]+)?){_STOP}", after)
        or follows(rf"/(?P<other>[{WORD}]+)", rest)
        or precedes(rf"(?P<other>[{WORD}]+)/")
    ):
        return True
    ends_clause = re.match(r"\s*(?:[.,;:!?…—–]|\Z)", after) is not None
    if ends_clause and precedes(rf"(?P<other>{other}),?\s+{_OR}\s+(?:{_GUESS})?{_ARTICLE}"):
        return True
    if ends_clause and re.fullmatch(rf"\W*{_OR}\s+{_ARTICLE}", before, re.IGNORECASE):
        return True  # a sentence of its own: "Lyon. Or Paris, one of the two."
    if _BOTH.search(before[-30:]) and follows(rf"\s+and\s+(?P<other>{_NOUN}(?:\s+[{WORD}]+)?)", after):
        return True
    if precedes(rf"(?P<other>{other}),?\s+{_OR}\s+{_ARTICLE}") and re.match(r"\s+(?:is|are|was|were)\b", after):
        return True  # "A snail or a horse is faster"
    bare = re.fullmatch(r"\W*(?:it['’]?s|it is|that['’]?s|they['’]re)?\s*", before, re.IGNORECASE)
    return bare is not None and other == _NAME and follows(rf"\s+and\s+(?P<other>{other})\W*\Z", rest)
