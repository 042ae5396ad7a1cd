"""`annie-eval profile check` lists all mistakes of a profile; `profile show` prints what its model is given."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile


def add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("check", "show"),
        help="check: list all mistakes and judge the examples; show: print the system prompt and the tools as a line "
        "of JSON, the beginning of a conversation to calibrate or train with",
    )
    parser.add_argument("profile", metavar="FILE", help="file or name of the profile")
    parser.set_defaults(command=profile)


def profile(arguments: argparse.Namespace) -> int:
    """Run the command. Returns 0 if the profile has no mistake, else 1. `show` raises UsageError for a mistake."""
    from annie_eval.profile.load import find_mistakes, load
    from annie_eval.text import printable

    if arguments.action == "show":
        shown = load(arguments.profile)
        messages = [{"role": "system", "content": shown.system_prompt}]
        print(json.dumps({"messages": messages, "tools": list(shown.tools.values())}), flush=True)
        return 0
    found, mistakes = find_mistakes(arguments.profile)
    if found is not None:
        mistakes += _examples(found, sound=not mistakes)
    for mistake in mistakes:
        print(printable(mistake))
    if mistakes or found is None:
        print(f"{len(mistakes)} to fix" if len(mistakes) > 1 else "1 to fix", file=sys.stderr, flush=True)
        return 1
    print("\n".join([*_summary(found), *_warnings(found)]), flush=True)
    return 0


def _examples(profile: Profile, *, sound: bool) -> list[str]:
    from annie_eval.run.examples import example_mistakes

    if sound:
        return list(example_mistakes(profile))
    mistakes: list[str] = []
    with suppress(Exception):  # after another mistake, a detector may fail on an example
        mistakes.extend(example_mistakes(profile))
    return [mistake for mistake in mistakes if "cannot judge its example" not in mistake]


def _warnings(profile: Profile) -> list[str]:
    """What is no mistake, but stops the gate for some targets."""
    if not profile.tools or profile.serving.tool_parser:
        return []
    from annie_eval.serving.tool_parsers import LIST

    return [
        "warning: tools and no serving.tool_parser: enough for a server at a URL, but `annie-eval gate DIR` refuses"
        f" it and names the value that fits the checkpoint ({LIST})"
    ]


def _summary(profile: Profile) -> list[str]:
    """Summary of the profile: its gates, and how many samples have an example."""
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
        f"annie-eval gates {printable(str(profile.path))} prints how often each gate passes models of a "
        "given pass rate",
    ]
