"""Detects the language of a text from function words and script, to find teachers that mix languages."""

import re
import unicodedata
from functools import lru_cache

from annie_data.words import words

# Frequent words that no other of these languages has; words that also exist in English are left out.
_WORDS = {
    "English": "the is are you what and of to it your please my how do for with that have where can which",
    "German": "der das wo hat wer denn dein mein kein und ist nicht ein eine einen ich du wie mit auf für den bitte",
    "French": "le les des est une je vous et dans pour pas que qui sur avec mon votre ne ce cette où quelle elle",
    "Spanish": "el los las es una que y en por para con qué cómo dónde está mi tu se del gracias hay muy",
    "Italian": "il lo gli è una che di per non con sono della mio dove come questo grazie anche nella",
    "Portuguese": "o os um uma é não que em para com você meu minha onde está obrigado muito pelo",
    "Dutch": "het een van ik niet dat je met voor zijn hebt waar mijn ook maar kan deze",
}
_SETS = {name: frozenset(words(listed)) for name, listed in _WORDS.items()}
_LETTER = re.compile(r"[^\W\d_]")
_FEW = 3  # minimum number of function words to call a text foreign


@lru_cache(maxsize=4096)
def language(text: str) -> str:
    """The name of a text's language, or of its script if that is not Latin; "" if it cannot be detected."""
    letters = _LETTER.findall(text)
    other = [letter for letter in letters if not unicodedata.name(letter, "LATIN").startswith("LATIN")]
    if len(other) > 0.3 * len(letters):
        return unicodedata.name(other[0], "other").split()[0].title()
    found = words(text)
    counts = {name: sum(word in known for word in found) for name, known in _SETS.items()}
    best = max(counts, key=lambda name: counts[name])
    if best == "English":
        return best if counts[best] else ""
    return best if counts[best] >= _FEW and counts[best] > 1.5 * counts["English"] else ""
