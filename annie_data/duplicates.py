"""Finds conversations that are exactly or nearly the same: MinHash over words and word pairs, then the Jaccard index.

Conversations with other numbers or other calls are never duplicates of each other.

MinHash and banding after Broder (1997) and Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3: 60
hashes in 20 bands of 3 miss a pair of Jaccard index 0.9 with a probability of (1 - 0.9^3)^20 = 5e-12.
"""

import json
import zlib
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from annie_data.conversation import Line, calls
from annie_data.words import numbers, words

NEAR = 0.9
_BANDS, _ROWS = 20, 3
_PRIME = np.uint64((1 << 31) - 1)
_random = np.random.Generator(np.random.PCG64(430))
_A = _random.integers(1, int(_PRIME), _BANDS * _ROWS, dtype=np.uint64)
_B = _random.integers(0, int(_PRIME), _BANDS * _ROWS, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Twin:
    """An earlier conversation that is exactly or nearly the same."""

    index: int
    similarity: float


def spoken_words(line: Line) -> list[str]:
    """The words of all messages, calls, results and reasoning of a conversation, without the system message."""
    found: list[str] = []
    for message in line["messages"]:
        if message["role"] == "system":
            continue
        found.append(f"{message['role']}:")
        found += words(message.get("content") or "")
        found += words(message.get("reasoning_content") or "")
        for call in message.get("tool_calls") or []:
            found += words(json.dumps([call["function"]["name"], call["function"]["arguments"]], ensure_ascii=False))
    return found


def _shingles(found: list[str]) -> frozenset[int]:
    pairs = (f"{a} {b}" for a, b in pairwise(found))
    return frozenset(zlib.crc32(text.encode()) for text in [*found, *pairs])


class Duplicates:
    """The conversations so far; `add` returns whether one is a duplicate of an earlier one."""

    def __init__(self, near: float = NEAR) -> None:
        self._near = near
        self._shingles: list[frozenset[int]] = []
        self._marks: list[tuple[str, ...]] = []
        self._bands: dict[tuple[int, bytes], list[int]] = defaultdict(list)

    def add(self, line: Line) -> Twin | None:
        """Add a conversation. If an earlier one is a duplicate, return that and do not add."""
        found = spoken_words(line)
        shingles = _shingles(found)
        marks = tuple(sorted([*numbers(found), *(call["function"]["arguments"] for call in calls(line["messages"]))]))
        hashes = np.fromiter(shingles, dtype=np.uint64, count=len(shingles)) % _PRIME
        signature = ((hashes[:, None] * _A + _B) % _PRIME).min(axis=0).astype(np.uint32).reshape(_BANDS, _ROWS)
        keys = [(band, signature[band].tobytes()) for band in range(_BANDS)]
        best: Twin | None = None
        for candidate in sorted({index for key in keys for index in self._bands[key]}):
            other = self._shingles[candidate]
            similarity = len(shingles & other) / len(shingles | other)
            if marks != self._marks[candidate]:
                continue
            if similarity >= self._near and (best is None or similarity > best.similarity):
                best = Twin(candidate, similarity)
        if best is not None:
            return best
        for key in keys:
            self._bands[key].append(len(self._shingles))
        self._shingles.append(shingles)
        self._marks.append(marks)
        return None
