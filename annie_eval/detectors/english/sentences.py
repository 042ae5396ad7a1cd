"""Counts sentences and words, and tells a finished text from one that stops in the middle of a sentence.

Sentences end at `. ! ? …` and their equivalents in other scripts, or at a line break without a comma before it. A
full stop does not end one inside numbers, times and ellipses that go on, after titles and abbreviations (Dr., e.g., z.
B., No. 5), after initials (J. R. Smith) and after the number of a German date (1. Mai). After `p.m.`, `U.S.` or `etc.`
it ends one if a usual first word follows.

Scripts without spaces have no words to split at: two Han or kana characters, or five of Thai, Lao, Khmer or Burmese,
count as a word.
"""

from __future__ import annotations

import re

from annie_eval.text import CJK, INVISIBLE, SPACELESS, WORD, word_set

_CLOSERS = "\"'”’»«)\\]}」』）】›*_`~"
_TERMINATORS = ".!?…。！？｡।॥؟۔։።፧⸮‽\u037e။។།"

# Titles and abbreviations after which a sentence always continues.
_TITLES = word_set(
    "dr mr mrs ms prof gen col capt lt sgt rev hon pres gov sen rep mt ft vs approx fig vol ed eds pp e.g i.e cf al ca"
    " nr art abs hr fr frau hl bzw evtl ggf inkl sog vgl z.b d.h u.a z z.t u mme mlle mm sra srta ud uds p.ej dott sig"
    " ecc str ul al os nam nám sv św ks inż mgr hab doc ing avda av dña pag pág págs aprox env geb gest bes inkl tel"
    " mevr dhr cad sok вул ул пер просп им пл наб корп стр рис г-н г-жа δρ λεωφ abb anh bspw tab co-op apt"
)
# Abbreviations that can also end a sentence.
_ENDINGS = word_set(
    "st ave blvd rd sr jr dept univ min max jan feb mar apr jun jul aug sep sept oct nov dec a.m p.m u.s u.s.a u.k"
    " u.n e.u d.c b.c a.d etc usw inc ltd corp co ph.d m.d b.a m.a mio oz std ца см тыс млн руб коп грн dz uhr ecc osv"
    " stb"
)
# Interjections without a vowel. They are words, not abbreviations.
_SOUNDS = word_set("hm hmm mm mmm shh psst pst brr grr tsk mhm pfft zzz")
_VOWEL = re.compile("[aeiouyаеёиоуыэюяіїєαεηιουωàáâãäåæèéêëìíîïòóôõöøùúûüýÿœąęıőű]", re.IGNORECASE)
# These do not end a sentence before a number: No. 5, but "No. I can't."
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

# Words that need a following word: a text that ends in "of..." was cut off.
_OPEN_WORDS = word_set(
    "the a an of to and or with for from in on at by is are was were be your my our his her their its as than that der"
    " die das den dem des ein eine einen einem einer und oder mit von zu im am auf für ist le la les un une des du de"
    " et ou avec pour dans est el los las una y o con por para en es il lo gli e da di per con è"
)
_CAPITAL = re.compile("[A-ZÀ-ÞА-ЯΑ-Ω]")
_LAST_WORD = re.compile(rf"(?<![{WORD}'’])([{WORD}]+)[.…]+\Z")

_END = re.compile(rf"(?P<marks>[{_TERMINATORS}]+)(?P<closers>[{_CLOSERS}]*)(?=(?P<gap>\s+|\Z)|(?P<tight>[^\s]))|\n+")
_LAST_TOKEN = re.compile(r"[^\s\"'“”‘’(\[«]{1,24}\Z")
_BEFORE_WORD = re.compile("[\\s\"'“”‘’(\\[«¿¡]*")
_NEXT_WORD = re.compile(f"[{WORD}]{{0,20}}")
_LETTER = re.compile(f"[{WORD}]")
_WORDS = re.compile(rf"[{CJK}]+|[{SPACELESS}]+|[{WORD}](?:[{WORD}'’.,:/-]*[{WORD}])?")
_AFTER_END = re.compile(rf"[{_CLOSERS}\s{INVISIBLE}\U0001f000-\U0001faff\u2600-\u27bf]")
_ALWAYS_ENDS = "。！？｡।॥؟۔։።။។།"
# Polite Japanese and Korean may omit the full stop or have a wave dash in its place.
_UNSTOPPED = re.compile(
    "(?:です|ます|でした|ました|ません|ましょう|ください|下さい|なさい|だよ|だね|よね|ますよ|ですよ|ですね|ですか|ますか|かな"
    "|세요|어요|아요|에요|예요|네요|니다|까요|죠)\\Z|(?<=[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3])[~～〜]+\\Z"
)


def count_words(text: str) -> int:
    """Return the number of words; see the module for scripts without spaces."""
    if text.isascii():
        return len(_WORDS.findall(text))
    count = 0
    for match in _WORDS.finditer(text):
        run = match.group()
        if re.match(f"[{CJK}]", run):
            count += (len(run) + 1) // 2
        elif re.match(f"[{SPACELESS}]", run):
            count += (len(run) + 4) // 5
        else:
            count += 1
    return count


def count_sentences(text: str) -> int:
    """Return the number of sentences; text without a letter or digit is not one."""
    return len(split_sentences(text))


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Return start and end of each sentence, in characters."""
    spans: list[tuple[int, int]] = []
    start = next_word = 0
    has_capitals = _CAPITAL.search(text) is not None
    for match in _END.finditer(text):
        if match.end() > next_word:  # or it stands within what was skipped before
            next_word = _end_of(_BEFORE_WORD, text, match.end())
        word = text[next_word : _end_of(_NEXT_WORD, text, next_word)]
        if match.start() >= start and _ends_sentence(text, match, start, word, has_capitals):
            if _LETTER.search(text, start, match.end()):
                spans.append((start, match.end()))
            start = match.end()
    if _LETTER.search(text, start):
        spans.append((start, len(text)))
    return spans


def is_finished(text: str) -> bool:
    """Return whether the text ends with sentence-final punctuation, ignoring closing quotes, brackets and emoji.

    Thai, Lao, Khmer and Burmese text needs none: these languages write no full stop.
    """
    end = len(text)
    while end and _AFTER_END.match(text, end - 1):
        end -= 1
    ending, last = text[max(0, end - 60) : end], text[end - 1 : end] if end else ""
    if not last or _UNSTOPPED.search(text[-12:].rstrip()):
        return bool(last)
    if ending.endswith(("...", "…")) and (word := _LAST_WORD.search(ending)) and word[1].casefold() in _OPEN_WORDS:
        return False
    return last in _TERMINATORS or re.match(f"[{SPACELESS}]", last) is not None


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Where a pattern that may match nothing ends."""
    match = pattern.match(text, start)
    assert match is not None
    return match.end()


def _ends_sentence(text: str, match: re.Match[str], start: int, word: str, has_capitals: bool) -> bool:
    marks = match.group("marks")
    if marks is None:
        return _line_ends(text, match, word)
    if marks[-1] in _ALWAYS_ENDS:
        # 「すごい！」と言った: what is quoted goes on.
        return not (match.group("closers") and match.group("tight"))
    if match.group("tight"):
        return False
    if not word:
        return True
    if has_capitals and word[0].islower():
        return False  # an abbreviation, a title ("Whose Line Is It Anyway? is on at nine"), a pause
    if marks[0] in "!?" or len(marks) > 1 or marks == "…":
        ellipsis = marks.strip(".…") == ""
        return not (word[0].islower() and (ellipsis or match.group("closers")))
    return _stop_ends(text[max(start, match.start() - 24) : match.start()], word, at_start=match.start() - start < 4)


def _line_ends(text: str, match: re.Match[str], word: str) -> bool:
    """Whether a line break ends a sentence: not after a comma, nor before a line that goes on in lower case."""
    at = match.start()
    while at and text[at - 1] in " \t":
        at -= 1
    before = text[max(0, at - 1) : at]
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
    if len(token) == 1 and token.isalpha() and token != "I" and not re.match(f"[{CJK}]", token):
        return starts_anew
    if re.fullmatch(r"(?:[^\W\d_]{1,3}\.){1,4}[^\W\d_]{1,4}", token):  # z.B, U.S.A, Ph.D, f.eks
        return starts_anew
    bare = len(token) < 6 and token.isalpha() and not token.isupper() and not _VOWEL.search(token)
    if bare and lowered not in _SOUNDS and token[0].isascii() | ("\u0400" < token[0] < "\u0500"):  # kl, Mrd, tbsp
        return starts_anew
    if token.isdigit() and len(token) <= 3:
        return not (word[0].islower() or following in _DATE_WORDS or at_start)
    return True
