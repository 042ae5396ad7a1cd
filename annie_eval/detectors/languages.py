"""Identifies the language of a sentence by its script and its most frequent words, without a library.

A library for language identification would know more languages, but takes 80 ms to import and often mistakes a short
sentence for a related language. Here a sentence counts as foreign if it has at least three more of the most frequent
words of one other language than of the expected one, or two if it has none of the expected one.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from annie_eval.text import WORD, word_set

# Short, frequent words that are rare in related languages.
_COMMON = {
    "en": "the and is are was of to in that it you for on with this have not be at what there i m don your can"
    " my a will how would like do",
    "de": "der die das und ist nicht ein eine ich du sie es mit auf für den dem im zu von sind wie auch noch"
    " kann wir hat dann bis zur zum nach bei aus oder wenn"
    " was wo wer wann warum gibt mir mein meine heute",
    "fr": "le la les l et est un une des du d que qu qui pas n ne dans pour vous je j il elle nous on si y sur"
    " avec ce c au sont plus votre mais jamais ton son tu tous tout quelle quand pourquoi après"
    " quel où comment combien mon ma",
    "es": "el la los las y es un una de que no en por para con se lo está son muy pero como hay su más tu qué"
    " usted del dónde cuándo cuánto cómo cuál mi",
    "it": "il la lo gli e è un una di che non in per con sono si del della ma come più ho questo anche hai al nel dove"
    " quando quanto qual mi mio mia da",
    "pt": "o a os as e é um uma de que não em por para com se do da são mais mas como você está no na seu muito",
    "nl": "de het een en is niet van ik je dat in op te zijn voor met die er ook maar wat hij aan kan heb naar"
    " waar wanneer hoe mijn",
    "pl": "i w nie na jest się to że z do co jak o za ale czy tak są przez dla po już może mam",
    "sv": "och är det en ett att jag du som på för inte med har av den till kan om så vad var i vi",
    "da": "og er det en et at jeg du som på for ikke med har af den til kan om så hvad var i vi vil",
    "cs": "je a se na v že to si do s by co jak ale za po tak pro jsem máte jsou nebo není",
    "tr": "bir ve bu için ne çok var mi mı da de ben sen o ile daha gibi değil olarak",
    "ru": "и в не на что я с это как но по вы у за он все так мне есть для мы ты из",
    "uk": "і в не на що я з це як але по ви у за він все так мені є для ми ти та",
}
_STOP_WORDS = {language: word_set(words) for language, words in _COMMON.items()}
_SCRIPTS = {
    "Han": "\u3400-\u4dbf\u4e00-\u9fff",
    "kana": "\u3041-\u30ff",
    "Hangul": "\uac00-\ud7a3",
    "Cyrillic": "\u0400-\u04ff",
    "Greek": "\u0391-\u03c9",
    "Arabic": "\u0620-\u06ff",
    "Hebrew": "\u05d0-\u05ea",
    "Devanagari": "\u0904-\u0939",
    "Thai": "\u0e01-\u0e2e",
}
_SCRIPT = {name: re.compile(f"[{letters}]{{2,}}") for name, letters in _SCRIPTS.items()}
_OWN = {
    "zh": {"Han"}, "ja": {"Han", "kana"}, "ko": {"Hangul", "Han"}, "yue": {"Han"}, "el": {"Greek"}, "he": {"Hebrew"},
    "th": {"Thai"}, **{name: {"Cyrillic"} for name in ("ru", "uk", "bg", "sr", "mk", "be", "mn", "kk")},
    **{name: {"Arabic"} for name in ("ar", "fa", "ur")}, **{name: {"Devanagari"} for name in ("hi", "ne", "mr")},
}  # fmt: skip
_WORD = re.compile(f"[{WORD}]+")
_SENTENCE = re.compile(r"[^.!?…。！？\n]+")
_CLAUSE = re.compile(r"[^.!?…。！？\n,;:—–]+")
_LATIN = re.compile(r"[A-Za-z]{2,}")
# The user asks about another language, so the answer may contain it.
_ABOUT = re.compile(
    r"\b(?:translat\w*|languages?|say \S.* in [A-Z]|(?:in|into|auf|en|em|på|po) (?:[A-Z]\w+(?:ese|ish|ian|ic|an)"
    r"|french|german|english|greek|dutch|czech|thai|deutsch|englisch|[a-zé]+isch|español|anglais|allemand|espagnol|inglés"
    r"|inglese|inglês|engelska|engelsk|engels|angielsku)|spell|pronounc\w*|übersetz\w*|tradui\w*|traduc\w*|heißt"
    r"|mean(?:s|ing)?)\b"
    r"|翻译|怎么说|語で|语|何と言|번역|по-\w+ски|перев[ео]д",
    re.IGNORECASE,
)


def foreign(text: str, asked: str, language: str) -> tuple[int, int] | None:
    """Return where a text is in another language than the user's; None if it is not, or if the user asked for one."""
    primary = language.split("-")[0].casefold()
    if _ABOUT.search(asked):
        return None
    own = _OWN.get(primary, set())
    for name, pattern in _SCRIPT.items():
        if name not in own and not pattern.search(asked) and (match := pattern.search(text)):
            return match.span()
    if _otherwise_written(text, asked):
        return 0, len(text)
    question = of_words(asked)
    # English is what a scenario has that names no language.
    expected = {question or primary} if primary == "en" else {primary, question or primary}
    if not expected & _STOP_WORDS.keys():
        return None
    for part, least in ((_SENTENCE, 2), (_CLAUSE, 3)):
        for sentence in part.finditer(text):
            spoken = of_words(sentence.group(), expected, least)
            if spoken is not None and spoken not in expected:
                return sentence.span()
    return None


def _otherwise_written(text: str, asked: str) -> bool:
    """Whether a sentence in Latin letters answers a question that has none."""
    return len(_LATIN.findall(text)) > 3 and not _LATIN.search(asked) and _written(asked) and not _written(text)


def _written(text: str) -> bool:
    """Whether a text has letters of a script other than Latin."""
    return any(pattern.search(text) for pattern in _SCRIPT.values())


def writes_ordinals_with_a_stop(text: str) -> bool:
    """Return whether a text has frequent words of a language that writes ordinals as `1.`, and none of English."""
    words = {word.casefold() for word in _WORD.findall(text[:400])}
    return words.isdisjoint(_STOP_WORDS["en"]) and any(
        words & _STOP_WORDS[name] for name in ("de", "da", "cs", "pl", "tr")
    )


def of_words(sentence: str, expected: Collection[str] = (), least: int = 2) -> str | None:
    """The language whose commonest words a sentence has; None where too few of them tell it from the next.

    Args:
        expected: languages that it should be in; another needs three words more than it has of these, or two of a
            sentence that has none.
        least: so many of its words, and two words more in all.
    """
    every = [word.casefold() for word in _WORD.findall(sentence)]
    if len(every) < least + 2:
        return None
    words = set(every)
    counts = {name: sum(word in stop for word in words) for name, stop in _STOP_WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    most = counts[best]
    rest = max((count for name, count in counts.items() if name != best), default=0)
    hoped = max((counts[name] for name in expected if name in counts and name != best), default=0)
    enough = most >= 3 + hoped or (most >= least and not hoped and expected)
    return best if enough and most * 4 >= len(words) and (most > rest if expected else most >= 2 * rest) else None
