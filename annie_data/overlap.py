"""Finds texts that copy or lightly paraphrase a prompt of a scenario.

The complete text and each of its sentences are compared. Both sides are reduced to significant words
(`annie_data.words.comparable`) and compared in five ways; the first that applies is the reason of a hit:

    verbatim    equal, ignoring case, punctuation and white space
    same words  equal in any order, also ignoring fillers, contractions, spelling variants and synonyms
    near        the weighted Jaccard index of the words is at least `NEAR` (function words have a fifth of the weight)
    contained   a part of a longer text, as long as the prompt, has an index of at least `CONTAINED`
    n-gram      eight words in a row are the same (as in the usual decontamination of training sets, but shorter)

A text without one of the prompt's numbers is not similar: "six plus four" is another question than "six plus five".
For prompts of fewer than three content words, only an equal text is a hit: "Good morning" is common, but it must not
be a training prompt if a scenario has exactly that.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annie_data.conversation import Line
from annie_data.scenario_prompts import Prompt
from annie_data.words import FILLERS, STOPWORDS, comparable, key, numbers, weight, words

NEAR = 0.64
CONTAINED = 0.85
GRAM = 8
_LONG = 5  # minimum length of a word in which a typing error is corrected
_WHOLE = 3  # minimum number of words of a sentence that is compared separately
_SENTENCE = re.compile(r"(?<=[.?!…])\s+|\n+|\s+[-–—]\s+")


@dataclass(frozen=True, slots=True)
class Hit:
    """A text that is too similar to a scenario."""

    scenario: str
    prompt: str
    reason: str
    similarity: float


@dataclass(frozen=True, slots=True)
class _Entry:
    prompt: Prompt
    words: tuple[str, ...]
    bag: Counter[str]
    weight: float
    numbers: Counter[str]


def _mass(bag: Counter[str]) -> float:
    return sum(weight(word) * count for word, count in bag.items())


class Overlap:
    """Prompts that must not be copied, indexed by their words."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self._verbatim: dict[str, Prompt] = {}
        self._bags: dict[tuple[str, ...], Prompt] = {}
        self._grams: dict[tuple[str, ...], Prompt] = {}
        self._entries: list[_Entry] = []
        self._words = set(STOPWORDS | FILLERS)
        self._spelled: dict[str, set[str]] = defaultdict(set)
        self._by_word: dict[str, list[int]] = defaultdict(list)
        for prompt in prompts:
            found = comparable(prompt.text)
            bag = Counter(found)
            mass = _mass(bag)
            for word in words(prompt.text):
                self._words.add(word)
                if len(word) >= _LONG:
                    for short in _deletions(word):
                        self._spelled[short].add(word)
            if prompt.asked or len(found) >= 5:  # "Thanks!" in a history does not count as a prompt
                self._verbatim.setdefault(key(prompt.text), prompt)
                self._bags.setdefault(tuple(sorted(found)), prompt)
            if sum(weight(word) >= 1 for word in bag) < 3 and len(found) < 5:
                continue
            for start in range(len(found) - GRAM + 1):
                self._grams.setdefault(found[start : start + GRAM], prompt)
            self._entries.append(_Entry(prompt, found, bag, mass, Counter(numbers(found))))
        frequency = Counter(word for entry in self._entries for word in entry.bag)
        for index, entry in enumerate(self._entries):
            for word in _prefix(entry, frequency):
                self._by_word[word].append(index)

    def find(self, text: str) -> Hit | None:
        """The scenario that a text, or one of its sentences, is too similar to; None if there is none.

        A word that differs by one letter from a word of a prompt is also compared as that word (typing error).
        """
        hit = self._find(text)
        if hit is None and (corrected := self._corrected(text)) is not None:
            hit = self._find(corrected)
        return hit

    def _corrected(self, text: str) -> str | None:
        """The text with typing errors corrected to words of the prompts; None if there are none."""
        found = words(text)
        corrected = list(found)
        for place, word in enumerate(found):
            short = re.sub(r"(.)\1{2,}", r"\1\1", word)  # "sooo"
            if short != word and (single := re.sub(r"(.)\1{2,}", r"\1", word)) in self._words:
                corrected[place] = single
                continue
            if len(word) < _LONG - 1 or word in self._words or not word.isalpha():
                continue
            near = {one for form in (short, *_deletions(short)) for one in self._spelled.get(form, ())}
            if near:
                corrected[place] = min(near, key=lambda one: (abs(len(one) - len(short)), one))
        return " ".join(corrected) if corrected != found else None

    def _find(self, text: str) -> Hit | None:
        found = comparable(text)
        hit = self._same(text, found) or self._nearest(found)
        if hit is not None:
            return hit
        sentences = [part for part in _SENTENCE.split(text) if part.strip()]
        for sentence in sentences if len(sentences) > 1 else ():
            found = comparable(sentence)
            if len(found) >= _WHOLE and (hit := self._same(sentence, found) or self._nearest(found)):
                return hit
        return None

    def _same(self, text: str, found: tuple[str, ...]) -> Hit | None:
        if prompt := self._verbatim.get(key(text)):
            return Hit(prompt.scenario, prompt.text, "verbatim", 1.0)
        if prompt := self._bags.get(tuple(sorted(found))):
            return Hit(prompt.scenario, prompt.text, "same words", 1.0)
        for start in range(len(found) - GRAM + 1):
            if prompt := self._grams.get(found[start : start + GRAM]):
                return Hit(prompt.scenario, prompt.text, f"{GRAM}-gram", 1.0)
        return None

    def find_copy(self, text: str) -> Hit | None:
        """Like `find`, for other messages: only complete copies count, because a reply may repeat a part of its
        question.
        """
        hit = self._same(text, comparable(text))
        return hit if hit is not None and len(comparable(hit.prompt)) >= GRAM - 2 else None

    def _nearest(self, found: tuple[str, ...]) -> Hit | None:
        bag = Counter(found)
        mass = _mass(bag)
        given = Counter(numbers(found))
        best: Hit | None = None
        for index in dict.fromkeys(index for word in bag for index in self._by_word.get(word, ())):
            entry = self._entries[index]
            prompt = entry.prompt
            if entry.numbers and entry.numbers - given:
                continue
            common = sum(weight(word) * min(count, bag[word]) for word, count in entry.bag.items() if word in bag)
            near = common / (mass + entry.weight - common)
            if near >= NEAR and (best is None or near > best.similarity):
                best = Hit(prompt.scenario, prompt.text, "near", near)
            elif best is None and common >= CONTAINED * entry.weight and len(found) > len(entry.words):
                inside = _window(found, entry)
                if inside >= CONTAINED:
                    best = Hit(prompt.scenario, prompt.text, "contained", inside)
        return best


def _deletions(word: str) -> set[str]:
    """A word, and the word without each of its letters.

    Two words that share one of these differ by one letter or a swap.
    """
    return {word, *(word[:place] + word[place + 1 :] for place in range(len(word)))}


def _prefix(entry: _Entry, frequency: Counter[str]) -> list[str]:
    """The rarest words of a prompt. Every similar text contains at least one of them.

    A similar text shares at least NEAR of the prompt's weight, and the remaining words have less weight than that
    together (prefix filtering; Chaudhuri, Ganti and Kaushik, ICDE 2006).
    """
    left, chosen = entry.weight, []
    for word in sorted(entry.bag, key=lambda word: (frequency[word], word)):
        if left < NEAR * entry.weight - 1e-9:
            break
        chosen.append(word)
        left -= weight(word) * entry.bag[word]
    return chosen


def _window(found: tuple[str, ...], entry: _Entry) -> float:
    """The best weighted Jaccard index of the prompt with a part of the text that has as many words."""
    length = len(entry.words)
    best = 0.0
    for start in range(len(found) - length + 1):
        bag = Counter(found[start : start + length])
        common = _mass(bag & entry.bag)
        best = max(best, common / (_mass(bag) + entry.weight - common))
    return best


def _parts(content: Any) -> list[str]:
    """The texts of content that is a list of parts, which OpenAI's format allows."""
    parts = content if isinstance(content, list) else []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def contamination(line: Line, overlap: Overlap) -> tuple[str, Hit] | None:
    """The first field of a conversation that is too similar to a scenario, and the scenario; None if there is none."""
    texts: list[tuple[str, str]] = []
    if isinstance(line.get("text"), str):
        texts.append(("text", line["text"]))
    for index, message in enumerate(line.get("messages") or []):
        if isinstance(message, dict) and message.get("role") != "system":
            for field in ("content", "reasoning_content"):
                value = message.get(field)
                for text in [value] if isinstance(value, str) else _parts(value):
                    texts.append((f"messages.{index}.{field}", text))
    for field, text in texts:
        asked = field == "text" or line["messages"][int(field.split(".")[1])].get("role") == "user"
        hit = overlap.find(text) if asked else overlap.find_copy(text)
        if hit is not None:
            return field, hit
    return None
