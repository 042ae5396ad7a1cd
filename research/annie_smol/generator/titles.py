"""Made-up titles of books, films and songs: rare words that a call has to copy letter by letter, from a large stock.

4-bit weights break the copying of rare words first, and a short list of them would be learnt by heart instead.
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
