"""What the parts of the detectors read in many short texts: numbers, sentences, statements, circles, tags, codes.

readings.jsonl has a line for each text. The texts are those of the other tests' answers and numbers in many forms.
Nobody has judged the readings: a changed one may be right, and `ANNIE_UPDATE_TABLES=1 pytest FILE` stores it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from annie_eval.detectors.call_text import find_call_text
from annie_eval.detectors.degeneration import find_circle
from annie_eval.detectors.english.answering import Clauses
from annie_eval.detectors.english.assertion import Speech
from annie_eval.detectors.english.matter import Matter
from annie_eval.detectors.english.polar import last_said
from annie_eval.detectors.english.sentences import count_words, is_finished, split_sentences
from annie_eval.detectors.english.spoken_numbers import numbers
from annie_eval.detectors.english.units import singular, unit_of
from annie_eval.detectors.languages import foreign, of_words
from annie_eval.detectors.tag_remnants import remnants
from annie_eval.detectors.tags import scan, without_thoughts
from annie_eval.detectors.undecoded import find_undecoded
from annie_eval.detectors.untagged_reasoning.find import find_prose
from tests.support.make_sample import TOOLS
from tests.support.stored_table import UPDATE

FILE = Path(__file__).with_name("readings.jsonl")
LINES: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def words(text: str) -> list[tuple[int, int]]:
    """Each word of a text, and each pair of neighbours."""
    spans, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        spans.append((start, at))
    return spans + [(one[0], two[1]) for one, two in pairwise(spans)]


def bits(text: str, of: Callable[[tuple[int, int]], bool]) -> str:
    """Yes or no for each word."""
    return "".join("01"[of(span)] for span in words(text))


def said(text: str) -> list[Any]:
    speech = Speech(text)
    each = [bits(text, of) for of in (speech.asserts, speech.denies, speech.cited, speech.retracted)]
    ends = "".join("01"[speech.correction_between(0, end)] for _, end in words(text))
    return [*each, ends, last_said(speech)]


def found(text: str) -> str:
    """How often each word, and each pair of neighbours, is found in the text."""
    speech = Speech(text)
    return "".join(str(min(9, len(speech.find(text[start:end])))) for start, end in words(text))


def counted(text: str) -> list[Any]:
    """The unit behind each word where there is one, and each word whose singular is another."""
    spans = words(text)[: len(text.split())]
    units = [
        [place, unit] for place, span in enumerate(spans) if (unit := unit_of(text, *span)) not in (None, "thing")
    ]
    return [*units, *({word: singular(word) for word in text.split() if singular(word) != word}.items())]


QUESTION = "What is the capital of the land, and how many live in it?"
READ: dict[str, Callable[[str], Any]] = {
    "numbers": lambda text: [astuple(each) for each in numbers(text)],
    "numbers elsewhere": lambda text: [astuple(n) for n in numbers(text, english=False) if n not in numbers(text)],
    "sentences": lambda text: [split_sentences(text), count_words(text), is_finished(text)],
    "said": said,
    "found": found,
    "counted": counted,
    "circle": find_circle,
    "undecoded": lambda text: [find_undecoded(text), find_undecoded(text, escapes=False)],
    "tags": lambda text: [[astuple(tag) for tag in scan(text)], [astuple(tag) for tag in scan(text, escapes=True)]],
    "remnants": lambda text: [list(each) for each in remnants(text)],
    "without thoughts": lambda text: without_thoughts(text) if without_thoughts(text) != text else None,
    "foreign": lambda text: [foreign(text, "What is it?", code) for code in ("en", "de", "ja")] + [of_words(text)],
    "call": lambda text: (call := find_call_text(text, TOOLS)) and astuple(call),
    "prose": lambda text: (prose := find_prose(text, question="What is it?")) and astuple(prose),
    "answers": lambda text: bits(text, Clauses(text, Matter(QUESTION, ("Rome", "Paris"))).answers),
}


def slow(text: str) -> bool:
    """Too many words for a reading of each."""
    return len(text) > 160


@pytest.mark.parametrize("reading", READ)
def test_texts_are_read_as_stored(reading: str) -> None:
    changed = []
    for line in LINES:
        if reading in ("said", "found", "counted", "answers") and slow(line["text"]):
            continue
        read = json.loads(json.dumps(READ[reading](line["text"])))
        if not read or (isinstance(read, list) and not any(read)):
            read = None
        if read != line.get(reading):
            changed.append((line["text"], line.get(reading), read))
            line[reading] = read
    if os.environ.get(UPDATE):
        kept = ({key: value for key, value in line.items() if value is not None} for line in LINES)
        FILE.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept), encoding="utf-8")
        return
    assert changed == []
