"""Generates invented titles of books, films and songs, from a large vocabulary of rare words.

A call has to copy them letter by letter, which 4-bit weights damage first. A short list of titles would be memorised.
"""

from random import Random

from research.annie_smol.generator.phrases import table

_TABLES = table("titles")
_LOOKS: list[str] = _TABLES["looks"]
_THINGS: list[str] = _TABLES["things"]
_TOWNS: list[str] = _TABLES["towns"]
_PATTERNS: tuple[str, ...] = tuple(_TABLES["patterns"])


def title(rng: Random) -> str:
    """One of tens of thousands, of two to four words."""
    pattern = rng.choice(_PATTERNS)
    made = pattern.format(look=rng.choice(_LOOKS), thing=rng.choice(_THINGS), town=rng.choice(_TOWNS))
    return f"An {made[2:]}" if made.startswith("A ") and made[2] in "AEIOU" else made
