"""Reduces texts to comparable words: without case, punctuation, accents, fillers and spelling variants."""
# ruff: noqa: SIM905 - lists of words as words

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_MARKS = {"’": "'", "‘": "'", "`": "'", "´": "'", "–": "-", "—": "-", "‐": "-", "‑": "-"}
# Cyrillic and Greek letters that look like Latin ones.
_DOUBLES = "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u03b1\u03bf\u03c1\u03bd"
_MARKS |= dict(zip(_DOUBLES, "aeopcyxijsaopv", strict=True))
_UNSEEN = {"Mn", "Me", "Cf"}  # accents; zero-width spaces and joiners, soft hyphens
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
    """Lower case, ASCII apostrophes and hyphens, no accents or invisible characters, Latin letters for look-alikes."""
    text = unicodedata.normalize("NFKD", text.casefold())
    if not text.isascii():
        text = "".join(one for one in text if unicodedata.category(one) not in _UNSEEN)
    return "".join(_MARKS.get(character, character) for character in text)


def words(text: str) -> list[str]:
    """The words of a text in plain letters, without punctuation; contractions are kept."""
    return _WORD.findall(plain(text))


def key(text: str) -> str:
    """A text without case, accents, white space and punctuation."""
    return " ".join(word.replace("'", "") for word in words(text))


_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
_ONES += "seventeen eighteen nineteen".split()
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_NUMBERS = {word: str(number) for number, word in enumerate(_ONES)} | {k: str(v) for k, v in _TENS.items()}

# Synonyms in light paraphrases, and British and American words: each line is one class.
_SYNONYMS = """
put left leave place placed lay laid store stored keep kept stash hide
find locate look search check discover seek
tell explain describe say give show hand recite
large big huge great giant
small little tiny short brief quick fast rapid speedy
start begin set commence launch
stop end finish close shut halt cease
buy purchase get fetch obtain grab
make prepare cook create bake write draft compose produce
mum mom mother mummy mama
dad father daddy papa
grandma grandmother granny nan
grandpa grandfather granddad
colour color
favourite favorite
film movie
holiday vacation
shop store market
picture photo image photograph
happy glad pleased
nice lovely good fine
sad unhappy blue
ill sick unwell poorly
kid child children
kids
weather forecast
rain raining rainy shower showers
snow snowing snowy
cold chilly freezing
warm hot
talk speak chat
want need like require wish
help assist aid
different difference
list enumerate name
minutes minute mins min
hours hour
next following upcoming
last previous
price cost
mean means signify
called named
wonder wondering
remember recall recollect
remind notify alert
under beneath below underneath
stuff things thing items item
fix repair fix
quiet silent hush
tonight evening
doctor physician
house home
phone telephone
answer reply respond
story tale
often frequently
near close nearby
cheap inexpensive
message note text
send forward
call ring
wake rouse
turn switch
biscuit cookie cookies biscuits
bag sack
car automobile auto
road street
garbage garbage trash
couch sofa settee
torch flashlight
jumper sweater pullover
autumn fall
football soccer
timer alarm
rest sleep nap
tired exhausted sleepy weary
scared afraid frightened
angry cross mad annoyed
clean wash
pick choose select
meal food
dinner supper
"""
_CLASS: dict[str, str] = {}
for _line in _SYNONYMS.strip().splitlines():
    for _word in _line.split():
        _CLASS.setdefault(_word, _line.split()[0])

_ASKED = "tell give show explain describe set find check look list write name make start search help say read".split()
_PASSING = (
    r"you know|i mean|kind of|sort of|would you mind|for me|at the moment|by the way|as well|a lot|of course|no rush",
    r"i was (?:just )?wondering(?: if)?|i (?:would|d) (?:like|love) (?:you )?to(?: know)?|thank you",
    r"if (?:you|that is|it is) (?:do not mind|can|could|may|okay|possible)",
    rf"(?:can|could|would|will) you (?:please |kindly |just )?(?=(?:{'|'.join(_ASKED)})\b)",
    r"when you have a (?:moment|second|minute)|got a (?:second|minute)",
)
# Filler phrases, removed before words are compared. Phrases that mean the same as one word are replaced by it.
_PHRASES = (
    (re.compile(rf"\b(?:{'|'.join(_PASSING)})\b"), " "),
    (re.compile(r"\bthis day\b"), "today"),
    (re.compile(r"\bthis (?:evening|night)\b"), "tonight"),
    (re.compile(r"\b(?:close to|next to)\b"), "near"),
    (re.compile(r"\bhalf an hour\b"), "30 minutes"),
    (re.compile(r"\b(?:a )?quarter of an hour\b"), "15 minutes"),
)


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


@lru_cache(maxsize=65536)
def comparable(text: str) -> tuple[str, ...]:
    """The words to compare: contractions written in full, no fillers, stems and synonyms as one word.

    If a text consists only of fillers, they are kept.
    """
    opened = plain(text)
    for pattern, replacement in _CONTRACTIONS:
        opened = pattern.sub(replacement, opened)
    for pattern, replacement in _PHRASES:
        opened = pattern.sub(replacement, opened)
    found = [word.replace("'", "") for word in _WORD.findall(opened)]
    kept = [_stem(word) for word in found if word not in FILLERS]
    return tuple(kept or found or words(text))


def numbers(found: Sequence[str]) -> list[str]:
    """The numbers in a list of words, written in digits or words, as digits."""
    return [_NUMBERS.get(word, word) for word in found if word in _NUMBERS or any(map(str.isdigit, word))]


# Stems of verbs that only introduce a request: "tell me", "I'd like to know", "do you know", "help me".
_FRAMES = frozenset("explain want know help let ask wonder answer".split())


def weight(word: str) -> float:
    """The weight of a word: small for function words and for words that introduce a request."""
    return 0.2 if word in STOPWORDS or word in _FRAMES else 1.0
