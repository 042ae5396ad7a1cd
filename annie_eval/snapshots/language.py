"""Detects the language of a short text by its script and its function words. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

# Script (first word of a letter's Unicode name) -> the language that is most often written in it.
_SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "ARABIC": "ar",
    "HEBREW": "he",
    "GREEK": "el",
    "DEVANAGARI": "hi",
    "THAI": "th",
    "GEORGIAN": "ka",
}
_WORDS = {
    "en": "the a is are and of to in it you i that for on with what your my can will have there i'm it's not do be at",
    "de": "der die das ist und ein eine nicht ich du sie es mit auf für den dem zu sind im von auch wie kann wird",
    "fr": "le la les est et un une des je vous il elle ne pas pour dans que qui sur avec du c'est au ce sont",
    "es": "el los las es y un una que de en no por para con se lo su está son hay del al qué tu yo",
    "it": "il lo gli è e un una che di in non per con si sono ho del della al ci tu io anche questo",
    "nl": "de het een is en van in niet ik je dat op te voor met zijn er aan wat maar kan",
    "pt": "o os as é e um uma que de em não por para com se do da eu você está são no na",
    "pl": "jest i w nie na się z do to że jak po co ale dla są",
    "cs": "je a v na se že to si s do jsem jako pro ale který jsou",
    "tr": "bir ve bu için ne da de çok var mı olarak ile en",
    "sv": "och är det en ett att som på jag du inte med för av har till den",
}
_VOTES = {
    word: [code for code, words in _WORDS.items() if word in words.split()]
    for word in " ".join(_WORDS.values()).split()
}
UNDETERMINED = "und"


def language(text: str) -> str:
    """ISO 639-1 code, or `und` if the language cannot be detected."""
    scripts = Counter(unicodedata.name(letter, "").split(" ")[0].split("-")[0] for letter in text if letter.isalpha())
    if not scripts:
        return UNDETERMINED
    if scripts["HIRAGANA"] + scripts["KATAKANA"] > 0 and scripts["CJK"] + scripts["HIRAGANA"] > scripts["LATIN"]:
        return "ja"
    most = scripts.most_common(1)[0][0]
    if most != "LATIN":
        return _SCRIPTS.get(most, UNDETERMINED)
    votes: Counter[str] = Counter()
    for word in re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text.casefold()):
        for code in _VOTES.get(word.replace("’", "'"), ()):
            votes[code] += 1
    first, second, *_ = [*votes.most_common(2), (UNDETERMINED, 0), (UNDETERMINED, 0)]
    return first[0] if first[1] > second[1] else UNDETERMINED
