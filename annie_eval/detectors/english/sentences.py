"""Count sentences and words as a listener would, and tell a finished text from one that stops in the middle.

Sentences end at `. ! ? …` and their kin in other scripts, or at a line break that no comma leads into. A full stop
ends none inside of numbers, times and ellipses that go on, after titles and abbreviations (Dr., e.g., z. B., No. 5),
after initials (J. R. Smith) and after the number of a German date (1. Mai). After `p.m.`, `U.S.` or `etc.` it ends
one if a usual first word follows.

Scripts without spaces have no words to split at: two Han or kana characters, or five of Thai, Lao, Khmer or Burmese,
count as a word.
"""

from __future__ import annotations

import re

from annie_eval.text import CJK, INVISIBLE, WORD, word_set

_CLOSERS = "\"'”’»«)\\]}」』）】›*_`~"
_TERMINATORS = ".!?…。！？｡।॥؟۔։።፧⸮‽\u037e"
_SPACELESS = "\\u0e01-\\u0e5b\\u0e80-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff"

# A title or an abbreviation that something always follows.
_TITLES = word_set(
    "dr mr mrs ms prof gen col capt lt sgt rev hon pres gov sen rep mt ft vs approx fig vol ed eds pp e.g i.e cf al ca"
    " nr art abs hr fr frau hl bzw evtl ggf inkl sog vgl z.b d.h u.a z z.t u mme mlle mm sra srta ud uds p.ej dott sig"
    " ecc str"
)
# An abbreviation that can also end a sentence.
_ENDINGS = word_set(
    "st ave blvd rd sr jr dept univ min max jan feb mar apr jun jul aug sep sept oct nov dec a.m p.m u.s u.s.a u.k"
    " u.n e.u d.c b.c a.d etc usw inc ltd corp co ph.d m.d b.a m.a"
)
# Ends no sentence before a number: No. 5, but "No. I can't."
_NUMBER_WORDS = word_set("no nos nr núm num n p ch sec op")
_FIRST_WORDS = word_set(
    "the a an it i you we they he she this that these those there then so but and or if in on at as when while what"
    " because where who why how do does did is are was will would can could should let have has no yes not for with"
    " my your our his her its their please after before now here one some all maybe also just ich du er sie es wir"
    " ihr der die das ein eine und aber dann il elle je tu nous vous le la les un une et mais el ella yo nosotros los"
    " las y pero lo io noi che è"
)
# After the number of a German date or rank: 1. Mai, 19. Jahrhundert.
_DATE_WORDS = word_set(
    "januar februar märz april mai juni juli august september oktober november dezember jänner jahrhundert klasse"
    " jahrhunderts stock etage platz weltkrieg weltkriegs geburtstag montag dienstag mittwoch donnerstag freitag"
    " samstag sonntag monat tag woche"
)

_END = re.compile(rf"(?P<marks>[{_TERMINATORS}]+)(?P<closers>[{_CLOSERS}]*)(?=(?P<gap>\s+|\Z)|(?P<tight>[^\s]))|\n+")
_LAST_TOKEN = re.compile(r"[^\s\"'“”‘’(\[«]{1,24}\Z")
_NEXT_WORD = re.compile(rf"[\s\"'“”‘’(\[«¿¡]*([{WORD}]{{1,20}})?")
_LETTER = re.compile(f"[{WORD}]")
_WORDS = re.compile(rf"[{CJK}]+|[{_SPACELESS}]+|[{WORD}](?:[{WORD}'’.,:/-]*[{WORD}])?")
_TAIL = re.compile(rf"(?:[{_CLOSERS}\s{INVISIBLE}]|[\U0001f000-\U0001faff\u2600-\u27bf])*\Z")
_ALWAYS_ENDS = "。！？｡।॥؟۔։።"


def count_words(text: str) -> int:
    """Number of words; see the module for scripts without spaces."""
    count = 0
    for match in _WORDS.finditer(text):
        run = match.group()
        if re.match(f"[{CJK}]", run):
            count += (len(run) + 1) // 2
        elif re.match(f"[{_SPACELESS}]", run):
            count += (len(run) + 4) // 5
        else:
            count += 1
    return count


def count_sentences(text: str) -> int:
    """Number of sentences; a stretch without a letter or digit is none."""
    return len(split_sentences(text))


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, in characters."""
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _END.finditer(text):
        if match.start() >= start and _ends_sentence(text, match, start):
            if _LETTER.search(text, start, match.end()):
                spans.append((start, match.end()))
            start = match.end()
    if _LETTER.search(text, start):
        spans.append((start, len(text)))
    return spans


def is_finished(text: str) -> bool:
    """Whether the text ends with sentence-final punctuation, apart from closing quotes, brackets and emoji.

    Thai, Lao, Khmer and Burmese need none: they write no full stop.
    """
    tail = _TAIL.search(text)
    last = text[: tail.start()][-1:] if tail else text[-1:]
    return bool(last) and (last in _TERMINATORS or re.match(f"[{_SPACELESS}]", last) is not None)


def _ends_sentence(text: str, match: re.Match[str], start: int) -> bool:
    marks = match.group("marks")
    following = _NEXT_WORD.match(text, match.end())
    word = (following.group(1) if following else None) or ""
    if marks is None:
        return _line_ends(text, match, word)
    if marks[-1] in _ALWAYS_ENDS:
        # 「すごい！」と言った: what is quoted goes on.
        return not (match.group("closers") and match.group("tight"))
    if match.group("tight"):
        return False
    if not word:
        return True
    if marks[0] in "!?" or len(marks) > 1 or marks == "…":
        ellipsis = marks.strip(".…") == ""
        return not (word[0].islower() and (ellipsis or match.group("closers")))
    return _stop_ends(text[max(start, match.start() - 24) : match.start()], word, at_start=match.start() - start < 4)


def _line_ends(text: str, match: re.Match[str], word: str) -> bool:
    """Whether a line break ends a sentence: not after a comma, nor before a line that goes on in lower case."""
    before = text[: match.start()].rstrip(" \t")[-1:]
    if len(match.group()) > 1:
        return before not in ",;"
    return before not in ",;:—–-" and bool(word) and not word[0].islower()


def _stop_ends(before: str, word: str, *, at_start: bool) -> bool:
    """Whether a single full stop ends a sentence, from the text before it and the word after it."""
    last = _LAST_TOKEN.search(before)
    token = last.group() if last else ""
    lowered, following = token.casefold(), word.casefold()
    starts_anew = following in _FIRST_WORDS and not word[0].islower()
    if lowered in _NUMBER_WORDS and word[0].isdigit():
        return False
    if lowered in _TITLES:
        return False
    if lowered in _ENDINGS:
        return starts_anew
    if len(token) == 1 and token.isalpha() and token.isupper() and token != "I":
        return starts_anew
    if re.fullmatch(r"(?:[^\W\d_]\.){1,4}[^\W\d_]", token):  # z.B, U.S.A, Ph.D
        return starts_anew
    if token.isdigit() and len(token) <= 3:
        return not (word[0].islower() or following in _DATE_WORDS or at_start)
    return True
