"""Maps collected tests to the samples they judge, by the marks `gate` and `perf` and the profile."""

from __future__ import annotations

from functools import cache

import pytest

from annie_eval.plugin.collection import gate_module
from annie_eval.profile.types import Profile
from annie_eval.resources import GATE_TESTS

GATE, PERF, STATE = "gate", "perf", "server_state"
PROFILE = "annie_profile"  # on a user's test
# Pseudo-gate for samples of tests that belong to no gate.
WANTED = pytest.StashKey[list[str]]()


@cache
def named_gates() -> frozenset[str]:
    """The gates that have a test of their own in tests/behavior; the mark `gate("*")` means all others."""
    marks = (
        mark
        for file in (GATE_TESTS / "behavior").glob("test_*.py")
        for test in vars(gate_module(file)).values()
        for mark in getattr(test, "pytestmark", ())
    )
    return frozenset(mark.args[0] for mark in marks if mark.name == GATE and mark.args[0] != "*")


def samples_of(profile: Profile, name: str) -> list[tuple[str, str]]:
    """(gate, sample key) of all samples of a test with the mark `gate(name)`."""
    if name == "*":
        gates = [gate for gate in profile.gates.values() if gate.name not in named_gates()]
    else:
        gates = [profile.gates[name]] if name in profile.gates else []
    return [
        (gate.name, key)
        for gate in gates
        for scenario in profile.gate_scenarios(gate)
        for key in scenario.sample_keys()
    ]


def sample_of(item: pytest.Item) -> tuple[str, str] | None:
    """(gate, sample key) of a collected test; None for a test without one."""
    callspec = getattr(item, "callspec", None)
    if item.get_closest_marker(GATE) is None or callspec is None or "judged" not in callspec.params:
        return None
    pair = callspec.params["judged"]
    return pair if isinstance(pair, tuple) else None  # pytest's own mark for an empty list of samples


def names_of(item: pytest.Item) -> list[str]:
    """The names of the gate that judges a collected test: also the probe's of the server's state."""
    if (pair := sample_of(item)) is not None:
        return [pair[0]]
    return [mark.args[0] for kind in (PERF, STATE) for mark in item.iter_markers(kind)]


def all_names(profile: Profile) -> list[str]:
    """The names by which `-k` finds the tests of a profile's gates."""
    from annie_eval.timing.result import ROWS

    state = () if profile.state is None else (STATE, *profile.state.probes)
    return [*profile.gates, *ROWS, *state]
