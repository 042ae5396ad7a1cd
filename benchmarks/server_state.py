"""Measures how often the gate `server_state` names a planted fault, and how often it fails a server without one.

    python -m benchmarks.server_state [--runs 100] [--profile annie-smol]

Each run uses a simulated server in this process (tests/servers/state_server.py) with new random rounding. A fault
counts as named if the gate's detail has the probe and the setting of the table. A server with a fault is checked by
the probes that can find it, a server without one by all probes.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

from annie_eval.gates.server_state import AGAIN, GREEDY, ProbeResult, summary
from annie_eval.profile.load import load
from annie_eval.profile.types import PROBES, Profile, StateProbes
from annie_eval.state.ask import Asking
from annie_eval.stats.binomial import clopper_pearson
from tests.servers.state_server import StateServer

# What the first difference must say, by fault: the probe, and words of the setting.
NAMED: dict[str, tuple[str, str]] = {
    "other_prompt": ("warm_cold", "with a warm prefix cache"),
    "beyond_block": ("warm_cold", "prefix of 2200 tokens"),
    "many_tools": ("warm_cold", "with 50 tools"),
    "after_cancel": ("poison", "after requests that were cancelled"),
    "after_too_long": ("poison", "after requests that were too long"),
    "batch": ("load", "in a batch"),
    "one_in_a_thousand": ("", GREEDY),
    "one_in_a_thousand_told_likely": ("", AGAIN),
    "dropped_call": ("stream", "parser"),
}


_STATE = ("warm_cold", "poison", "load")
SERVERS = {
    "each answer rounded by 0.05": StateServer(),
    "each shape by 0.3": StateServer(rounding=0.0, shape_rounding=0.3),
}
"""How the toy servers round, in nats of each logit."""


def probes_for(fault: str) -> tuple[str, ...]:
    """The probes that look at what the fault is in; all for no fault."""
    if not fault:
        return PROBES
    return {"": ("greedy",), "stream": ("stream",)}.get(NAMED[fault][0], _STATE)


async def ask(server: StateServer, profile: Profile, probes: tuple[str, ...] = PROBES) -> list[ProbeResult]:
    """All probes, one after the other, as a run asks them."""
    asking = Asking(server, profile, "toy", batch=16, token_ids=server.token_ids)
    await asking.learn_context()
    return [await asking.probe(name) for name in probes]


def named(fault: str, rows: list[ProbeResult]) -> bool:
    """Whether the first difference is the fault's own, and everything could be asked."""
    probe, setting = NAMED[fault]
    result = summary(rows, ()).result
    if result is None or result.cause != "server" or any(row.error for row in rows):
        return False
    # The gate's detail is "PASSED/N, needs N: PROBE differs SETTING".
    cause = result.detail.partition(": ")[2]
    return cause.startswith(probe) and setting in cause


def main() -> None:
    """Ask, keep what came out of each run, and print a row for each server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--profile", default="annie-smol")
    parser.add_argument("--only", nargs="*", default=None, metavar="WORD", help="servers whose name has one of these")
    parser.add_argument("--keep", type=Path, default=None, metavar="FILE", help="go on from here, and write here")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of CPU time, after which no run is begun")
    options = parser.parse_args()
    profile = load(options.profile)
    profile = dataclasses.replace(profile, state=StateProbes(prefix_tokens=(600, 2200), tools=(50,)))
    servers: dict[str, StateServer] = {}
    for told, how in SERVERS.items():
        servers |= {f"{name or 'clean'}, {told}": dataclasses.replace(how, fault=name) for name in ("", *NAMED)}
    lines = options.keep.read_text().splitlines() if options.keep is not None and options.keep.exists() else []
    done: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
    for line in lines:
        done[json.loads(line)["server"]].append(json.loads(line))
    for name, template in servers.items():
        for seed in range(len(done[name]), options.runs):
            if options.only and not any(word in name for word in options.only):
                break
            if time.process_time() > options.seconds:
                break
            server = dataclasses.replace(template, seed=seed, _seen={})
            rows = asyncio.run(ask(server, profile, probes_for(server.fault)))
            result = summary(rows, ()).result
            failed = result is None or result.verdict != "PASS"
            right = bool(server.fault) and named(server.fault, rows)
            one = {"server": name, "seed": seed, "named": right, "failed": failed, "requests": server.asked}
            done[name].append(one)
            if options.keep is not None:
                with options.keep.open("a") as file:
                    print(json.dumps(one), file=file)
    print(f"{'server':58} {'named':>9} {'failed':>9} {'95 % interval':>16} {'requests':>9}")
    for name, runs in done.items():
        if runs:
            right, failed = (sum(one[key] for one in runs) for key in ("named", "failed"))
            low, high = clopper_pearson(right if servers[name].fault else failed, len(runs), 0.95)
            shown = f"{right}/{len(runs)}" if servers[name].fault else "-"
            print(
                f"{name:58} {shown:>9} {f'{failed}/{len(runs)}':>9} {f'{100 * low:.1f}-{100 * high:.1f}':>16} "
                f"{sum(one['requests'] for one in runs) / len(runs):9.0f}"
            )


if __name__ == "__main__":
    main()
