"""Adds spoken style to a request: openers, reasons, slips of speech recognition, case and punctuation."""
# ruff: noqa: SIM905 - a phrase is read best on one line, and a list of words as words

import re
from dataclasses import replace
from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest

_TABLES = table("wording")
_OPENERS: list[str] = _TABLES["openers"]
_TAILS: list[str] = _TABLES["tails"]
_TAILS_NO_ASK = {"again", "quickly", "right now"}

CONTEXT: dict[str, list[str]] = _TABLES["context"]
# An unfinished addition after a complete request.
_BROKEN_TAILS: list[str] = _TABLES["broken_tails"]

_SLIPS: dict[str, str] = _TABLES["slips"]
# The words of the search never get slips, because the query copies them.
_KEEP = re.compile(r"\d|[A-Z]")
_NUMBER_WORDS = frozenset(lex.in_words(number) for number in range(100))
_AMERICAN: dict[str, str] = _TABLES["american"]
_BRITISH = re.compile(rf"\b({'|'.join(sorted(_AMERICAN, key=len, reverse=True))})\b")
_PROPER = frozenset(
    "I Annie Mum Mom Dad Grandma Grandpa Christmas New Python Java Mr Mrs Ms Dr".split()
    + [
        word
        for name in (*lex.NAMES, *lex.PLACES, *lex.DAYS, *lex.MONTHS, *lex.CAPITALS, *lex.CAPITALS.values())
        for word in name.split()
    ]
) - {"the"}


def context_for(rng: Random, family: str) -> str:
    """A half sentence with the reason of the request."""
    area = family.split(".")[0]
    own = CONTEXT.get(area, [])
    return rng.choice(own if own and rng.random() < 0.7 else CONTEXT["any"])


def _slip(rng: Random, text: str) -> str:
    present = [word for word in _SLIPS if re.search(rf"(?<![\w']){re.escape(word)}(?![\w'])", text)]
    if not present:
        return text
    word = rng.choice(present)
    return re.sub(rf"(?<![\w']){re.escape(word)}(?![\w'])", _SLIPS[word], text, count=1)


def _stutter(rng: Random, text: str) -> str:
    words = text.split(" ")
    place = rng.randrange(min(len(words), 4))
    keep = _KEEP.search(words[place]) or words[place].split("-")[0] in _NUMBER_WORDS  # "six six" would be sixty-six
    filler = rng.choice(["um", "uh", "er", "um" if keep else words[place].lower()])
    return " ".join([*words[:place], filler, *words[place:]])


def spoken(rng: Random, core: str, family: str, *, question: bool) -> str:
    """One request in spoken style, as a recogniser would write it."""
    text = core
    plain = family in {"talk.greeting", "talk.manners", "talk.broken"}
    if rng.random() < 0.05:
        text = _slip(rng, text)
    if rng.random() < 0.05 and len(text.split()) > 3:
        text = _stutter(rng, text)
    own_name = "Annie" in text
    ends = text[-1:] in "?!.…"
    draw = rng.random()
    opener = ""
    if draw < (0.08 if plain else 0.27):
        opener = rng.choice(_OPENERS)
        if own_name and "Annie" in opener:
            opener = ""
    tail = ""
    if not opener and not ends and rng.random() < (0.03 if plain else 0.13):
        tail = rng.choice(_TAILS)
        if (
            ("Annie" in tail and own_name)
            or ("please" in text and "please" in tail)
            or (not question and tail in _TAILS_NO_ASK)
        ):
            tail = ""
    if opener:
        text = f"{opener}, {text}" if rng.random() < 0.7 else f"{opener} {text}"
    if tail:
        text = f"{text}, {tail}" if rng.random() < 0.6 else f"{text} {tail}"
    mark = "?" if question and rng.random() < 0.93 else "."
    if text[-1:] in "?!.…":
        mark = ""
    text = _upper_first(text) + mark
    if not plain and rng.random() < 0.15 and not family.startswith("talk."):
        context = context_for(rng, family)
        if rng.random() < 0.5:
            text = (
                f"{_upper_first(context)}. {text}"
                if rng.random() < 0.6
                else f"{_upper_first(context)}, {_lower_first(text)}"
            )
        else:
            text = f"{text} {_upper_first(context)}."
    elif not plain and rng.random() < 0.015:
        text = f"{text.rstrip('?.!')}, {rng.choice(_BROKEN_TAILS)}"
    return _heard(rng, text)


def _heard(rng: Random, text: str) -> str:
    draw = rng.random()
    if draw < 0.62:
        return text
    if draw < 0.74:  # no punctuation, and capitals only in names
        text = re.sub(r"[?!.,](?=\s|$)", "", text)
        return _lower_first(text)
    if draw < 0.82:
        return re.sub(r"[?!.,](?=\s|$)", "", text).lower()
    if draw < 0.88:
        return text.lower()
    if draw < 0.94:
        return text.rstrip("?.")
    if draw < 0.97:
        return text.replace("'", "")
    return text.rstrip("?.!") + rng.choice(["??", "!", "...", " "]).rstrip()


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower_first(text: str) -> str:
    """The text with a small first letter, unless it starts with a name or with I."""
    first = re.split(r"[\s',.?!]", text, maxsplit=1)[0]
    return text if first in _PROPER else text[:1].lower() + text[1:]


def americanised(text: str) -> str:
    """A text with American instead of British words."""
    return _BRITISH.sub(lambda match: _AMERICAN[match.group()], text)


def american(exchange: AnsweredRequest) -> AnsweredRequest:
    """The same exchange in American words, in the request, the call and the answer."""
    swap = americanised
    call = exchange.call
    if call is not None and isinstance(call[1], str):
        call = (call[0], swap(call[1]))
    return replace(
        exchange,
        user=swap(exchange.user),
        reply=swap(exchange.reply),
        thought=swap(exchange.thought),
        result=swap(exchange.result),
        call=call,
        again=tuple((swap(question), swap(answer)) for question, answer in exchange.again),
    )
