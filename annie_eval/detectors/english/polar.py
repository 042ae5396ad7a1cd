"""Reads yes or no out of an answer: the last of them that stands by itself, in the languages that scenarios speak.

"No problem" and "people who say no are wrong" are none by themselves; "yes and no" is neither.
"""

from __future__ import annotations

import re

from annie_eval.detectors.english.assertion import Speech
from annie_eval.text import fold, word_set

YES = word_set("yes yep yup yeah ja oui si sim")
NO = word_set("no nope nah nein non nao")
_ALONE = re.compile(
    r"\b(?P<both>yes (?:and|or) no|no (?:and|or) yes|no idea|no clue|ja und nein|oui et non|sí y no"
    r"|some (?:say|said|answer) (?:yes|no) and (?:some|others) (?:\w+ )?(?:yes|no))\b"
    r"|\b(?P<word>yes|yep|yup|yeah|no|nope|nah|ja|nein|oui|non|sí|si|sim|não)\b"
    r"(?=\s*[.,;:!…—–)\"'”’*-]|\s*\Z"
    r"|\s+(?:it|they|he|she|there|you|we|i|that|this|because|from|for|of course|here|es|sie)\b)",
    re.IGNORECASE,
)
_MAYBE = re.compile(r"\b(?:maybe|perhaps|possibly|vielleicht) \Z", re.IGNORECASE)


def said_like(speech: Speech, phrase: str) -> list[tuple[int, int]]:
    """Where a word of the side of `phrase` (yes or no) stands."""
    same = YES if fold(phrase) in YES else NO
    return sorted(span for word in same for span in speech.find(word))


def last_said(speech: Speech) -> tuple[bool | None, int, int] | None:
    """(True for yes, False for no, None for both or a guess, start, end); None where neither is said by itself."""
    last = None
    for match in _ALONE.finditer(speech.text):
        guessed = match["both"] is not None or _MAYBE.search(speech.text[max(0, match.start() - 12) : match.start()])
        if guessed or speech.asserts(match.span()):
            last = None if guessed else fold(match["word"]) in YES, *match.span()
    return last
