"""Relatives of the kinds of answers that were once judged wrongly: faults are found, and their like in speech is not.

The texts are made up (benchmarks/detector_sets/relatives.jsonl). A new kind of mistake gets a dozen of them there.
"""

from __future__ import annotations

from collections import Counter

import pytest

from annie_eval.detectors import detect
from benchmarks.detector_sets import cases
from benchmarks.detector_sets.judging import sample_of
from benchmarks.detector_sets.rows import Item

RELATIVES = tuple(cases.items(cases.RELATIVES))
# Judged wrongly still, and why nothing in the text tells it.
KNOWN = {
    "k01-71": "a search for an assistant",
    "k02-11": "plans the search for a tool, as a thought does",
    "k05-27": "jokes are told so",
    "k05-39": "may answer a riddle",
    "k06-51": "what somebody said",
    "k09-14": "may be what the neighbours want",
    "k09-27": "may be what a form asks",
    "k09-28": "may be the draft of a letter",
    "k09-43": "labels, as a form has them",
    "k09-54": "a note may be anybody's",
    "k09-72": "needs no tool, as one may say of a shelf",
    "k09-83": "needs no tool, as one may say of a shelf",
    "k09-88": "the same in French",
    "k09-91": "the same in Spanish",
    "k10-13": "Chinese without its last full stop, as an answer that was cut off",
    "k13-60": "two labelled lines: markdown finds them",
}


@pytest.mark.parametrize("item", RELATIVES, ids=lambda item: item.note)
def test_a_relative_is_judged_as_its_kind(item: Item) -> None:
    sample = sample_of(item)
    found = [finding for detector in item.detectors for finding in detect(detector, sample)]
    right = bool(found) == (item.want == "something")
    assert right != (item.note in KNOWN), found


def test_there_are_enough_of_each_kind() -> None:
    kinds = Counter(item.row.split()[1].rstrip(",") for item in RELATIVES)
    assert min(kinds.values()) >= 15, kinds
    assert KNOWN.keys() <= {item.note for item in RELATIVES}
