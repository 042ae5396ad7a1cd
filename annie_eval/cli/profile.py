"""`annie-eval profile check`: everything that is wrong with a profile, its scenarios and its examples, at once."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile


def add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("check",), help="check: all mistakes at once, the examples judged")
    parser.add_argument("profile", metavar="FILE", help="a profile's file or name")
    parser.set_defaults(command=profile)


def profile(arguments: argparse.Namespace) -> int:
    """Exit status 0 for a sound profile, 1 where something is to be fixed."""
    from annie_eval.profile.load import find_mistakes
    from annie_eval.text import printable

    found, mistakes = find_mistakes(arguments.profile)
    if found is not None:
        mistakes += _examples(found, sound=not mistakes)
    for mistake in mistakes:
        print(printable(mistake))
    if mistakes or found is None:
        print(f"{len(mistakes)} to fix" if len(mistakes) > 1 else "1 to fix", file=sys.stderr, flush=True)
        return 1
    print("\n".join(_summary(found)), flush=True)
    return 0


def _examples(profile: Profile, *, sound: bool) -> list[str]:
    from annie_eval.run.examples import example_mistakes

    if sound:
        return list(example_mistakes(profile))
    mistakes: list[str] = []
    with suppress(Exception):  # where something else is wrong, a detector may meet what it cannot read
        mistakes.extend(example_mistakes(profile))
    return [mistake for mistake in mistakes if "cannot judge its example" not in mistake]


def _summary(profile: Profile) -> list[str]:
    """What the profile asks, and how much of it has an example."""
    from annie_eval.text import aligned, printable

    rows = [["gate", "samples", "needs", "detectors"]]
    for gate in profile.gates.values():
        n = sum(len(one.variants) for one in profile.gate_scenarios(gate))
        needs = n if gate.required is None else gate.required
        detectors = ", ".join((*gate.detectors, *(f"{name} (elsewhere)" for name in gate.elsewhere)))
        rows.append([printable(gate.name), str(n), str(needs), detectors])
    shown = sum(any(turn.example is not None for turn in one.turns) for one in profile.scenarios)
    samples = sum(len(one.variants) for one in profile.scenarios)
    return [
        *aligned(rows),
        "",
        f"{printable(profile.name)}: {len(profile.scenarios)} scenarios, {samples} samples;"
        f" {shown} have an example, which passes its gates",
        f"annie-eval gates {printable(str(profile.path))} says how much each gate can see",
    ]
