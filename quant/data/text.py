"""Words as they are compared: without case, marks, accents, fillers and the accidents of spelling."""
# ruff: noqa: SIM905 - lists of words as words

import re
import unicodedata
from functools import lru_cache

_MARKS = {"’": "'", "‘": "'", "`": "'", "´": "'", "–": "-", "—": "-", "‐": "-", "‑": "-"}
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_CONTRACTIONS = (
    (re.compile(r"\b(?:can't|cannot)\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\bshan't\b"), "shall not"),
    (re.compile(r"\blet's\b"), "let us"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'m\b"), " am"),
    (re.compile(r"\b(i|you|he|she|we|they)'d\b"), r"\1 would"),
    (re.compile(r"\b(what|where|who|when|how|which|that|there|here|it|he|she|everything)'s\b"), r"\1 is"),
    (re.compile(r"\b(whats|wheres|whos|whens|hows|thats|theres|its)\b"), lambda match: match[1][:-1] + " is"),
    (re.compile(r"'s\b"), ""),
)

FILLERS = frozenset(
    (
        "um uh er erm ah oh hm hmm mm hey hi hello annie please okay ok well so right now then just actually listen"
        " like kindly sorry excuse thanks thank dear quick question maybe perhaps really very quite also too again"
        " still even simply basically anyway yeah yes say"
    ).split()
)

STOPWORDS = frozenset(
    (
        "a an the of to in on at for from with by and or but if is are was were be been am do does did have has had"
        " will would can could should shall may might must not no i me my mine you your yours we us our he him his"
        " she her they them their it its this that these those there here what which who when where why how as"
        " about than up out into over any some all one"
    ).split()
)


def plain(text: str) -> str:
    """Lower case, ASCII apostrophes and hyphens, no accents."""
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(character for character in text if not unicodedata.combining(character))
    return "".join(_MARKS.get(character, character) for character in text)


def words(text: str) -> list[str]:
    """The words of a text, in plain letters; marks are dropped, contractions stay as they are."""
    return _WORD.findall(plain(text))


def key(text: str) -> str:
    """What is left of a text once case, accents, white space and punctuation are gone."""
    return " ".join(word.replace("'", "") for word in words(text))


_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
_ONES += "seventeen eighteen nineteen".split()
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_NUMBERS = {word: str(number) for number, word in enumerate(_ONES)} | {k: str(v) for k, v in _TENS.items()}

# Words that stand for one another in a light paraphrase, and British for American ones: each line is one class.
_SYNONYMS = """
put left leave place placed lay store stored
find locate look search check discover
tell explain describe say give show
large big huge
small little tiny
quick fast rapid speedy
start begin set commence
stop end finish close shut
buy purchase get
make prepare cook create bake write draft
mum mom mother mummy
dad father daddy
colour color
favourite favorite
film movie
holiday vacation
shop store
picture photo
happy glad
sad unhappy
ill sick unwell
kid child children
kids
forecast weather
rain raining rainy
snow snowing
talk speak chat
want need like
help assist
difference different
list enumerate name
minutes minute mins min
hours hour
next following
last previous
price cost
nice lovely good great
start
mean means
called named
many much
wonder wondering
remember recall
under beneath below
picture image
stuff things thing
fix repair mend
quiet silent
evening tonight
doctor physician
"""
_CLASS: dict[str, str] = {}
for _line in _SYNONYMS.strip().splitlines():
    for _word in _line.split():
        _CLASS.setdefault(_word, _line.split()[0])


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    if word in _NUMBERS:
        return _NUMBERS[word]
    if word in _CLASS:
        return _CLASS[word]
    for ending in ("ings", "ing", "ies", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    return _CLASS.get(word, word.removesuffix("e") if len(word) > 4 else word)


def comparable(text: str) -> list[str]:
    """The words that count when two texts are compared: contractions opened, fillers gone, stems and synonyms joined.

    A text of nothing but fillers keeps them.
    """
    opened = plain(text)
    for pattern, replacement in _CONTRACTIONS:
        opened = pattern.sub(replacement, opened)
    found = [word.replace("'", "") for word in _WORD.findall(opened)]
    kept = [_stem(word) for word in found if word not in FILLERS]
    return kept or found


def weight(word: str) -> float:
    """How much a word says: function words little."""
    return 0.35 if word in STOPWORDS else 1.0
