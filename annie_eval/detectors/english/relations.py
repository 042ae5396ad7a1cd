"""Finds whether a phrase only serves to place or measure another: "right after A", "smaller than A", "A comes second".

Of a comparison one side is what was asked for, if anything is: the subject where the adjective is not the opposite of
the one in the question ("larger than"), and what stands behind "than" where it is ("smaller than").
"""

from __future__ import annotations

import re

from annie_eval.text import fold, word_set, words

# Adjectives and verbs of two sides: who asks for one is not answered by the other.
_MORE = word_set(
    "big bigger biggest large larger largest great greater greatest high higher highest tall taller tallest long"
    " longer"
    " longest old older oldest heavy heavier heaviest fast faster fastest hot hotter hottest far farther farthest more"
    " most deep deeper deepest strong stronger strongest"
)
_LESS = word_set(
    "small smaller smallest less least low lower lowest short shorter shortest young younger youngest light"
    " lighter lightest slow slower slowest cold colder coldest near nearer nearest fewer fewest shallow shallower"
    " shallowest weak weaker weakest"
)
OPPOSITES = (
    (word_set("end ends ended finish finished over"), word_set("begin begins began begun start starts started")),
    (word_set("born birth"), word_set("died death dead")),
    (_MORE, _LESS),
    (word_set("after follow follows following next"), word_set("before precede precedes preceding previous")),
    (word_set("arrive arrives arrived arrival"), word_set("leave leaves left depart departs departure")),
)
_PARTS = re.compile(r"[.,;:!?\n—–]+(?!\d)|\b(?:and|but|while|when|because|since)\b", re.IGNORECASE)
_ABOUT_OPPOSITES = word_set("opposite opposites contrary reverse antonym")
_ARTICLE = r"(?:the |an? )?"
_THAN = re.compile(
    rf"\b(?P<adjective>[a-z]{{2,10}}er|(?:more|less)(?: [a-z]+)?) than (?:even |either )?{_ARTICLE}\Z", re.I
)
_THAN_BEHIND = re.compile(
    r"(?: [a-z]+)? (?:is|are|was|were|weighs|runs|lives) (?:\w+ )?(?P<adjective>[a-z]{2,10}er|more"
    r"|less)(?: [a-z]+)? than\b",
    re.IGNORECASE,
)
NONE_MORE = re.compile(r"\b(?:nothing|none|nobody|no (?:one|\w+))\b", re.IGNORECASE)
# What comes second, loses or is like another was not asked for, unless the question says so.
_RANKED_BEHIND = re.compile(
    r"(?:['’]s| is| was| comes| came) (?:only |just )?(?:the |a )?"
    r"(?P<rank>runner-up|second|third|last)(?=\s*[.,;!—–]|\s*\Z| and\b)"
    r"| (?P<elided>second|third|last)(?=\s*[.,;!—–]|\s*\Z| and\b)"
    r"| (?P<loses>loses?|lost) to\b| (?:is|was) (?P<beaten>beaten|surpassed|overtaken|replaced|superseded"
    r"|dethroned|outdone) by\b"
    r"| lost (?:its|his|her|their|the)\b"
    r"| (?:is|was) (?:only |just |but )?(?:(?:nearly|almost|not quite|not) as \w+ as|an? (?:little|bit|touch) \w+ than"
    r"|an? (?:\w+ )?(?P<like>friend|rival|student|pupil|teacher|fan|brother|sister|son|daughter|colleague|neighbou?r"
    r"|admirer|follower|suburb|copy) of)\b",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"[^.,;!?\n]{0,20} (?:comes?|came) (?:\w+ )?(?:before|after|ahead of)\b| follow(?:s|ed) \w", re.IGNORECASE
)
_ORDER_BEFORE = re.compile(
    rf"\b(?:(?:comes?|came) (?:\w+ )?(?:before|after|ahead of)|followed by|ahead of|in front of|near|beside"
    rf"|next to|close to) {_ARTICLE}\Z",
    re.IGNORECASE,
)
_ABOUT_ORDER = word_set("where wo come comes came before after follow follows next precede precedes")
# "Today's Friday, so ...", unless today was asked for.
_TODAY = re.compile(
    r"(?<!from )(?<!of )(?<!after )\b(?:today|yesterday|tomorrow)(?:['’]s| is| was) (?:a )?\Z", re.IGNORECASE
)
_ASKS_TODAY = re.compile(r"\b(?:is|was|['’]s)(?: it)? (?:today|yesterday|tomorrow)\b", re.IGNORECASE)
_REACH = 80


def compared(text: str, span: tuple[int, int], question: str) -> bool:
    """Return whether the phrase at a span is only the other side of a comparison or of an order."""
    asked = set(words(question))
    before = text[max(0, span[0] - _REACH) : span[0]]
    if _ABOUT_ORDER.isdisjoint(asked) and (_ORDER.match(text, span[1]) or _ORDER_BEFORE.search(before)):
        return True
    if _TODAY.search(before) and not _ASKS_TODAY.search(question):
        return True
    ranked = _RANKED_BEHIND.match(text, span[1])
    if ranked and asked.isdisjoint(map(fold, filter(None, ranked.groups()))):
        return True
    if (found := _THAN.search(before)) and not NONE_MORE.search(before):
        return not contrary(set(words(found["adjective"])), asked)
    behind = _THAN_BEHIND.match(text, span[1])
    return behind is not None and contrary({fold(behind["adjective"])}, asked)


def less_than(before: str, asked: set[str]) -> bool:
    """Return whether "smaller than", or another contrary of what was asked for, ends a text."""
    found = _THAN.search(before)
    return found is not None and contrary(set(words(found["adjective"])), asked)


def opposite(text: str, right: set[str], question: str) -> bool:
    """Return whether an answer speaks of the opposite of what was asked: "It began in 1945", asked when it ended.

    Args:
        right: the folded words of what is accepted.
    """
    asked = set(words(question))
    if asked & _ABOUT_OPPOSITES:
        return False
    parts = [set(words(part)) for part in _PARTS.split(text)]
    said = [part for part in parts if right & part]
    return bool(said) and any(
        asked & wanted
        and not asked & other
        and all(part & other - right and not part & wanted and "than" not in part for part in said)
        for one, two in OPPOSITES
        for wanted, other in ((one, two), (two, one))
    )


def contrary(said: set[str], asked: set[str]) -> bool:
    """Return whether some words name the opposite of what a question asks for, and not the same."""
    return any(
        asked & wanted and not asked & opposite and said & opposite and not said & wanted
        for one, other in OPPOSITES
        for wanted, opposite in ((one, other), (other, one))
    )
