"""How a request sounds: openers, half sentences of why it is asked, slips of speech recognition, case and marks."""
# ruff: noqa: E501, SIM905 - a phrase is read best on one line, and a list of words as words

import re
from dataclasses import replace
from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.request import AnsweredRequest

_OPENERS = ["Annie", "hey Annie", "hi Annie", "um", "hey", "okay", "so", "okay Annie", "um Annie", "uh", "right", "excuse me", "listen", "please", "hello Annie",
            "quick question", "oh", "well", "Annie please", "ah Annie", "hm", "oh and", "by the way", "sorry", "now", "Annie dear",
            "good morning Annie", "good evening", "hello there", "hi there", "morning Annie", "sorry to bother you", "I was wondering",
            "one more thing", "Annie love", "hiya", "tell me Annie", "me again"]  # fmt: skip
_TAILS = [
    "Annie",
    "please",
    "please Annie",
    "thanks",
    "if you can",
    "again",
    "Annie please",
    "if you don't mind",
    "will you",
    "dear",
    "quickly",
    "right now",
]
_TAILS_NO_ASK = {"again", "quickly", "right now"}

CONTEXT = {
    "any": ["I'm in the kitchen", "I just got home", "the kids are waiting", "I'm in a hurry", "it's for my son", "my hands are full", "I'm in bed", "I keep forgetting",
            "we're about to leave", "I was just wondering", "my sister asks", "it's for school", "I'm lying on the sofa", "we have a bet", "I'm half asleep", "the baby is asleep"],
    "memory": ["I'm at the shop", "I need it today", "I'm standing in the hall", "I've looked everywhere", "I'm packing", "we're going on a trip", "I'm wrapping presents",
               "the door is locked", "I'm late", "it's for a present", "I want to surprise them", "I told you last week", "visitors are coming", "I have to go soon"],
    "web": ["I'm going out", "we're planning a trip", "my flight is soon", "I have no umbrella", "I'm on my way", "I want to go there", "we leave soon", "I missed it",
            "I need to know before we go", "I'm packing", "my friend is there"],
    "timer": ["the pizza is in", "the water boils", "it's in the oven", "I'm putting it on now", "I'm going to lie down", "my hands are wet", "don't let me forget", "it smells good already"],
    "facts": ["it's for homework", "we're doing a quiz", "my son wants to know", "I should know this", "it's a question in the game", "I have a test tomorrow", "the teacher asked us"],
    "formats": ["it's for the fridge", "I want to print it", "it's for school", "so that I can read it better", "I like it tidy", "it's for my notes"],
    "topics": ["I'm curious", "my daughter asks all the time", "I've always wondered", "it's for school", "I have time"],
}  # fmt: skip
# A tail that is broken off after a complete request.
_BROKEN_TAILS = ["because I", "I need to", "and then", "I was", "the thing is", "it's just that", "so that we"]

_SLIPS = {
    "their": "there", "there": "their", "to": "too", "your": "you're", "where": "wear", "know": "no", "hear": "here", "are": "our", "our": "are",
    "which": "witch", "by": "buy", "write": "right", "its": "it's", "what is": "what's is", "the": "da", "did I": "did eye", "tell": "tel", "please": "pleas", "will": "well",
    "is there": "is their", "you": "u", "when": "wen", "put": "but",
}  # fmt: skip
# The words that decide what is looked up are never slipped on: the query copies them.
_KEEP = re.compile(r"\d|[A-Z]")
_NUMBER_WORDS = frozenset(lex.in_words(number) for number in range(100))
_AMERICAN = {
    "favourite": "favorite", "colour": "color", "colours": "colors", "Mum": "Mom", "torch": "flashlight", "biscuits": "cookies", "film": "movie", "films": "movies", "neighbour": "neighbor",
    "holiday": "vacation", "autumn": "fall", "petrol": "gas",
}  # fmt: skip
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
    """A half sentence of why it is asked."""
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
    """One request as it is really said and heard."""
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
    if draw < 0.74:  # no marks and no capitals but in names
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
    """A text with American words for British ones."""
    return _BRITISH.sub(lambda match: _AMERICAN[match.group()], text)


def american(exchange: AnsweredRequest) -> AnsweredRequest:
    """The same exchange in American words, in the request, the call and the answer alike."""
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
