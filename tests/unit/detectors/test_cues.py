"""The cues of untagged reasoning: what is skipped without a match, and how a cue's weight follows from counts.

The expected hints are in cues.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from annie_eval.detectors.untagged_reasoning.languages import LANGUAGES, _cues, _hints
from annie_eval.detectors.untagged_reasoning.weights import Counts, log_odds, weights
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("cues.json")


@pytest.mark.parametrize("language", sorted({cue.language for cue in LANGUAGES}))
def test_the_cues_of_other_languages_are_the_stored_ones(language: str) -> None:
    cues = [[cue.name, cue.where, list(cue.hints), list(cue.also)] for cue in LANGUAGES if cue.language == language]
    expect(TABLE, language, cues)


@pytest.mark.parametrize(
    ("pattern", "hints"),
    [
        ("Nutzer", ("nutzer",)),
        ("der Nutzer(?:in)? will", ("der nutzer",)),
        ("der Nutzers? will", ("der nutzer",)),
        ("der Nutzers* will", ("der nutzer",)),
        (r"a\bbc", ("bc",)),
        (r"ab\wc", ("ab",)),
        ("ab[cdefg]h", ("ab",)),
        ("ab.cd+efg", ("efg",)),
        ("(?:der|die)", ("der", "die")),
        ("a(?:der|die)", ("der", "die")),
        ("ab(?:der|die)", ("ab",)),
        ("(?:ein|eine) (?:Wort|Satz)", ("wort", "satz")),
    ],
)
def test_a_hint_is_the_longest_text_that_a_match_must_hold(pattern: str, hints: tuple[str, ...]) -> None:
    assert _hints([pattern]) == hints
    assert _hints(["one", pattern]) == ("one", *hints)


def test_a_language_has_the_cues_that_its_words_make() -> None:
    words = {"user": ["Nutzer"], "asks": ["fragt", "will"]}
    assert [(cue.name, cue.pattern, cue.where, cue.hints, cue.also) for cue in _cues("de", words)] == [
        (
            "other: user asks",
            r"\b(?:Nutzer)\b[^.!?\n。！？।]{0,60}?\b(?:fragt|will)",
            "inside",
            ("nutzer",),
            ("fragt", "will"),
        ),
        ("other: user", r"\b(?:Nutzer)\b", "inside", ("nutzer",), ()),
        ("other: user quoted", r"\b(?:Nutzer)\b\s?[:：]\s?[\"“«„「『]", "inside", ("nutzer",), (":", "：")),
    ]
    (asks, user, quoted) = _cues("ar", words)
    gap = r"[^.!?\n。！？।]{0,60}?"
    assert asks.pattern == f"(?:Nutzer){gap}(?:fragt|will)|(?:fragt|will){gap}(?:Nutzer)"
    assert {cue.language for cue in (asks, user, quoted)} == {"ar"}


def test_every_cue_has_a_weight() -> None:
    stored = weights()
    assert all(isinstance(weight, float) and math.isfinite(weight) for weight in stored.values())


OF = Counts(thoughts=99, speech=999, answers=199, leaks=49, plain=149)


@pytest.mark.parametrize(
    ("seen", "other", "rate", "false"),
    [
        (Counts(0, 0, 0, 0, 0), False, (0.5 / 100 + 0.5 / 50) / 2, 0.5 / 1000),
        (Counts(10, 0, 0, 5, 0), False, (10.5 / 100 + 5.5 / 50) / 2, 0.5 / 1000),
        (Counts(10, 0, 0, 5, 0), True, 5.5 / 50, 0.5 / 1000),
        (Counts(10, 7, 0, 5, 0), False, (10.5 / 100 + 5.5 / 50) / 2, 7.5 / 1000),
        (Counts(10, 7, 4, 5, 3), False, (10.5 / 100 + 5.5 / 50) / 2, None),
    ],
)
def test_a_weight_is_the_logarithm_of_two_rates(seen: Counts, other: bool, rate: float, false: float | None) -> None:
    wrong = 7.5 / 1000 + 0.1 * (3 / 150 + 4 / 200) if false is None else false
    assert log_odds(seen, OF, other=other) == pytest.approx(math.log(rate / wrong))
