"""Generated prompts have all listed features, and are the same in every process."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from annie_eval.probes import draw, prompts, tools
from annie_eval.probes.example import Example
from annie_eval.profile.load import load
from tests.support.triggers import TRIGGERS

EXPLORED = 150  # half of the default budget


@pytest.fixture(scope="module")
def drawn() -> list[Example]:
    profile = load("annie")
    return draw.batches(lambda size: prompts.spoken(profile, size), EXPLORED, 0)


@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=TRIGGERS)
def test_every_trigger_is_met(trigger: Callable[[str], bool], drawn: list[Example]) -> None:
    assert any(trigger(example.prompt) for example in drawn)


def test_no_prompt_is_blank_or_beyond_measure(drawn: list[Example]) -> None:
    assert len(drawn) == EXPLORED
    for example in drawn:
        assert example.prompt.strip()
        assert len(example.prompt) <= prompts.LONGEST
        example.prompt.encode()  # no half of a surrogate pair


def test_all_ways_of_sending_are_used(drawn: list[Example]) -> None:
    assert {(e.stream, e.thinking) for e in drawn} == {(s, t) for s in (True, False) for t in ("on", "off", "unset")}
    assert {bool(e.history) for e in drawn} == {True, False}


def test_another_seed_draws_others(drawn: list[Example]) -> None:
    profile = load("annie")
    other = draw.batches(lambda size: prompts.spoken(profile, size), EXPLORED, 1)
    assert len({e.prompt for e in drawn} & {e.prompt for e in other}) < EXPLORED / 3


def test_a_large_budget_is_drawn_in_batches() -> None:
    profile = load("annie")
    assert len(draw.batches(lambda size: prompts.spoken(profile, size), 450, 0)) == 450


SCRIPT = """
import hashlib, sys
for name in sys.argv[1:]:
    __import__(name)
from annie_eval.probes import draw, prompts, tools
from annie_eval.profile.load import load
profile = load("annie")
drawn = draw.batches(lambda size: prompts.spoken(profile, size), 40, 0)
drawn += draw.examples(tools.offers(profile), 10, 0)
print(hashlib.sha256(repr(drawn).encode()).hexdigest())
"""


def test_whatever_is_imported_the_same_is_drawn() -> None:
    """hypothesis mixes constants of loaded modules in; a worker has loaded others than its controller."""
    profile = load("annie")
    here = draw.batches(lambda size: prompts.spoken(profile, size), 40, 0) + draw.examples(
        tools.offers(profile), 10, 0
    )
    command = [sys.executable, "-c", SCRIPT, "annie_eval.detectors.markdown", "annie_eval.timing.gates"]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert there == hashlib.sha256(repr(here).encode()).hexdigest()
