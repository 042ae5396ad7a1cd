"""Texts of a folder with thoughts.jsonl, answers.jsonl and speech.jsonl: one JSON object a line, with `text`.

Their text is measured on and never copied. Thoughts have `after_tool` (they follow a tool result; many of those read
like plain speech, so they are counted apart) and `model`; speech has `source`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.detector_sets.rows import Item, answer_line

# What can be heard in a plain answer. `brevity` and `silence` ask for a finished sentence, which a phrase is not.
HEARD = ("thinking", "restraint", "markdown", "degeneration", "speakable")
# Sources that are no tags of languages: the name of a set.
_ENGLISH = ("tm",)
_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]{0,2}\s+|(?<=[。！？])|\n+")


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    """The objects of one file, those without text left out."""
    lines = (folder / name).read_bytes().splitlines()  # bytes: a text may hold U+2028
    return [one for one in map(json.loads, lines) if one["text"].strip()]


def first_sentences(text: str, count: int = 3) -> str:
    """The text up to the end of its first `count` sentences, by punctuation and line breaks alone."""
    ends = [match.start() for match in _SENTENCE.finditer(text.strip())]
    return text.strip()[: ends[count - 1]] if len(ends) >= count else text.strip()


def items(folder: Path) -> Iterator[Item]:
    """Every line of speech for each detector, every answer for all, every thought by its beginning and whole."""
    for detector in HEARD:
        for one in read(folder, "speech.jsonl"):
            language = one["source"] if len(one["source"]) == 2 and one["source"] not in _ENGLISH else "en"
            which = "speech" if language == "en" else "speech in other languages"
            yield Item(f"{which}: {detector}", "nothing", answer_line(one["text"]), (detector,), language=language)
    for detector in HEARD:
        for one in read(folder, "answers.jsonl"):
            yield Item(f"answers, unlabelled: {detector}", "nothing", answer_line(one["text"]), (detector,))
    for when, after in (("before any tool result", False), ("after a tool result", True)):
        for one in read(folder, "thoughts.jsonl"):
            if one["after_tool"] is after:
                beginning = first_sentences(one["text"])
                yield Item(f"thoughts {when}, three sentences", "something", answer_line(beginning), ("thinking",))
                yield Item(f"thoughts {when}, whole", "something", answer_line(one["text"]), ("thinking",))
