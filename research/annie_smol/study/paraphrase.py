"""Makes light paraphrases of a request, like somebody who wants to hide a copy.

`annie_data.words` knows some of the synonyms; those of `UNKNOWN` it does not know, and they are measured separately.
"""

# ruff: noqa: E501 - a table reads best in long lines

import re
from collections.abc import Callable
from random import Random

_SYNONYMS = {
    "what's": "what is", "who's": "who is", "i'm": "i am", "don't": "do not", "can't": "cannot", "it's": "it is", "tell": "give",
    "set": "start", "put": "left", "find": "locate", "big": "large", "small": "little", "fast": "quick", "weather": "forecast",
    "need": "require", "want": "would like", "buy": "purchase", "get": "fetch", "make": "prepare", "begin": "start", "end": "finish",
    "happy": "glad", "help": "assist", "show": "give", "write": "compose", "list": "enumerate", "explain": "describe", "about": "on",
    "today": "this day", "tonight": "this evening", "mum": "mother", "dad": "father", "kids": "children", "shop": "store",
    "phone": "telephone", "start": "begin", "remember": "recall", "remind": "notify", "dinner": "supper", "quick": "short",
    "house": "home", "doctor": "physician", "movie": "film", "film": "movie", "near": "close to", "cheap": "inexpensive", "minutes": "mins",
    "favourite": "favorite", "colour": "color", "answer": "reply", "story": "tale", "often": "frequently", "old": "aged", "speak": "talk",
    "search": "look", "look": "search", "message": "note", "send": "forward", "call": "ring", "wake": "rouse", "rain": "shower", "cold": "chilly",
    "turn": "switch", "give": "hand", "bread": "loaf", "biscuits": "cookies", "holiday": "vacation", "good": "nice", "bad": "poor", "sad": "unhappy",
}  # fmt: skip
_FILLERS = ["um", "well", "please", "you know", "okay", "hey", "so", "actually", "just", "right"]


def case(text: str, rng: Random) -> str:
    return rng.choice([text.upper(), text.lower(), text.title()])


def marks(text: str, rng: Random) -> str:
    bare = re.sub(r"[?!.,;:]", "", text)
    return rng.choice([bare, bare + "!!", bare.replace(" ", "  ") + "...", f'"{bare}"', bare.replace("'", "’")])


def filler(text: str, rng: Random) -> str:
    words = text.split()
    for _ in range(rng.randint(1, 3)):
        words.insert(rng.randrange(len(words) + 1), rng.choice(_FILLERS))
    return " ".join(words)


def polite(text: str, rng: Random) -> str:
    text = text.rstrip("?.!")
    return rng.choice(
        [f"Hey Annie, {text}, please?", f"{text}, if you don't mind?", f"Annie: {text}", f"Quick question: {text}?"]
    )


def reorder(text: str, rng: Random) -> str:
    """Clauses in another order, or two neighbours swapped."""
    clauses = [part for part in re.split(r"(?<=[.,?!;])\s+", text) if part]
    if len(clauses) > 1:
        rng.shuffle(clauses)
        return " ".join(clauses)
    words = text.split()
    place = rng.randrange(len(words) - 1)
    words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words)


def synonym(text: str, rng: Random) -> str:
    """Replace one word, or two of a longer text, by synonyms."""
    words = text.split()
    places = [i for i, word in enumerate(words) if re.sub(r"\W+$", "", word).lower() in _SYNONYMS]
    rng.shuffle(places)
    for place in places[: 1 if len(words) < 8 else 2]:
        bare = re.sub(r"\W+$", "", words[place])
        words[place] = _SYNONYMS[bare.lower()] + words[place][len(bare) :]
    return " ".join(words)


def drop(text: str, rng: Random) -> str:
    """Without its articles and possessives."""
    return re.sub(r"\b(?:the|a|an|my|our)\b ", "", text, flags=re.IGNORECASE)


def embed(text: str, rng: Random) -> str:
    return rng.choice(
        [f"I'm in a hurry. {text} Thanks a lot.", f"{text} My sister wants to know.", f"It's late already, but {text}"]
    )


def slip(text: str, rng: Random) -> str:
    """One letter of one longer word left out, doubled or swapped."""
    words = text.split()
    places = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if places:
        place = rng.choice(places)
        word = words[place]
        at = rng.randrange(1, len(word) - 2)
        doubled, swapped = word[:at] + word[at] + word[at:], word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        words[place] = rng.choice([word[:at] + word[at + 1 :], doubled, swapped])
    return " ".join(words)


def unseen(text: str, rng: Random) -> str:
    """With zero-width characters, odd spaces, or letters of another script that look the same."""
    return rng.choice(
        [
            text.replace(" ", "\u00a0").replace("e", "e\u200b"),
            text.replace("a", "\u0430").replace("o", "\u043e"),
            text.replace("o", "ooo", 1),
        ]
    )


ALL: dict[str, Callable[[str, Random], str]] = {
    "case": case, "marks": marks, "filler": filler, "polite": polite, "reorder": reorder, "synonym": synonym,
    "drop": drop, "embed": embed, "slip": slip, "unseen": unseen,
}  # fmt: skip
UNKNOWN = {
    "bread": "loaf", "today": "at present", "old": "elderly", "capital": "chief city", "opposite": "contrary", "link": "pointer",
    "table": "grid", "heading": "title", "eat": "consume", "umbrella": "brolly", "many": "numerous", "live": "dwell", "joke": "gag",
    "steps": "stages", "bold": "strong", "person": "human", "garden": "yard", "window": "pane", "evening": "night", "morning": "dawn",
    "heavier": "weightier", "recipe": "formula", "open": "unlocked", "train": "railway", "news": "headlines", "bored": "dull",
}  # fmt: skip


def unknown(text: str, rng: Random) -> str:
    """Replace one word by a synonym that the comparison does not know."""
    words = text.split()
    for place, word in enumerate(words):
        bare = re.sub(r"\W+$", "", word)
        if bare.lower() in UNKNOWN:
            words[place] = UNKNOWN[bare.lower()] + word[len(bare) :]
            break
    return " ".join(words)


PAIRS = [("synonym", "filler"), ("reorder", "case"), ("synonym", "reorder"), ("polite", "synonym"), ("drop", "filler")]

# Written by hand: freer than the methods above.
REWORDED = [
    (
        "What's the weather like in Oslo today?",
        [
            "How's the weather in Oslo today?",
            "Tell me the weather in Oslo for today",
            "Could you look up today's weather in Oslo?",
            "oslo weather today please",
            "What is the weather in Oslo like this morning?",
            "How is the weather today in Oslo?",
        ],
    ),
    (
        "Set a timer for 15 minutes, the pizza is in.",
        [
            "The pizza is in, set a timer for fifteen minutes.",
            "Start a 15 minute timer please, pizza's in the oven",
            "Please set a 15-minute timer because the pizza is in",
            "timer for a quarter of an hour, the pizza is in",
        ],
    ),
    (
        "Where did I leave my reading glasses?",
        [
            "Do you know where I left my reading glasses?",
            "where have I put my reading glasses",
            "Any idea where my reading glasses are?",
            "My reading glasses, where did I leave them?",
        ],
    ),
    (
        "Give me a bulleted list of five fruits.",
        [
            "Write five fruits as a bulleted list",
            "Please list 5 fruits in bullets",
            "Can you give me five fruits in a bullet list?",
            "five fruits, bulleted list please",
        ],
    ),
    (
        "Tell me a long story about a bear and a bee.",
        [
            "I want a long story about a bee and a bear",
            "Please tell a really long tale of a bear and a bee",
            "story about a bear and a bee, make it long",
        ],
    ),
    (
        "How many months are there in a year?",
        ["How many months does a year have?", "a year has how many months", "In a year, how many months are there?"],
    ),
    (
        "I have two apples and buy three more. How many do I have now?",
        [
            "If I have 2 apples and I buy 3 more, how many apples do I have?",
            "I've got two apples, then I buy three more, how many now?",
        ],
    ),
]
