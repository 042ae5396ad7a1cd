"""`annie-eval gates`: prints how often each gate of a profile passes models of a given pass rate."""

from __future__ import annotations

import argparse

from annie_eval.errors import UsageError


def add_gates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", metavar="PROFILE", help="a profile's name or file")
    parser.add_argument(
        "--until-decided", type=int, metavar="N", help="compute it for pytest's --until-decided with at most N rounds"
    )
    parser.set_defaults(command=gates)


def gates(arguments: argparse.Namespace) -> int:
    """Run the command. Returns 0; raises UsageError for an invalid number of rounds."""
    from annie_eval.profile.load import is_builtin, load
    from annie_eval.profile.types import STATE_GATE
    from annie_eval.report import adaptive, operating_curves
    from annie_eval.run.examples import check_examples

    profile = load(arguments.profile)
    if not is_builtin(profile):
        check_examples(profile)
    if arguments.until_decided is None:
        lines = operating_curves.lines(profile)
    elif arguments.until_decided < 2:
        raise UsageError(f"--until-decided {arguments.until_decided}: must be at least 2 rounds")
    else:
        lines = adaptive.lines(profile, arguments.until_decided)
    if profile.state is not None:
        what = "judges no samples, but whether the server answers the same in every state"
        lines += ["", f"{STATE_GATE} {what}: {', '.join(profile.state.probes)}."]
    print("\n".join(lines), flush=True)
    return 0
