"""How often the gate's bounds and its stopping rule are wrong, by simulation at the asked rate itself.

    .venv/bin/python -m benchmarks.evidence_error_rates [--runs 2000] [--histories 200] [--seed 1]

Kinds of prompts: `equal` (each passes with the same chance), `differ` (chances drawn from a beta distribution), `dead`
(some prompts never pass, the others always), `copies` (the samples of one prompt in one round are one outcome),
`half` (each sample of a prompt is a copy of that prompt's shared outcome with chance 1/2, else drawn again).

Columns: `lower` and `upper`, runs in which a one-sided 95 % bound lay beyond the truth (5 % at most is promised);
`plain` is what `lower` would be if all samples counted as independent; `PASS` and `FAIL` of `--until-decided` at a
threshold that equals the true rate (5 % at most together); samples asked.

Nights are those of one baseline and `nights.HORIZON` nights of a server that did not change, with the gates of `annie`
and of `annie-strict` but those over every sample. `alarm`: histories with a FAIL on any night (5 % at most is
promised); `once`: nights that would FAIL if each were the only comparison, `worst`: their share with the unluckiest
baseline; `gate`: nights on which the gate alone does not PASS. Replicas: runs in which a paired test says that equal
servers differ (1 % at most).

Status 1 where a promised rate is surely exceeded: its exact one-sided 99.9 % lower bound lies above it.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from annie_eval.detectors.finding import Finding
from annie_eval.gates import replicas
from annie_eval.gates.decide import decide
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.load import load
from annie_eval.profile.types import Gate, Profile
from annie_eval.stats import binomial, clusters, nights, sequential
from annie_eval.stats.paired import lowest

PROMISED, ALPHA = 0.05, 0.001
MISS = (Finding("markdown", "bold text"),)


@dataclass(frozen=True, slots=True)
class Kind:
    """How prompts are made, and how the samples of one prompt hang together.

    `copies` is the chance that a sample of a prompt in one round is the prompt's shared outcome of that round.
    """

    name: str
    spread: float = 0.0
    dead: bool = False
    copies: float = 0.0

    def rates(self, draw: random.Random, mean: float, prompts: int) -> list[float]:
        if self.dead:
            return [float(draw.random() < mean) for _ in range(prompts)]
        if self.spread == 0.0:
            return [mean] * prompts
        return [draw.betavariate(mean / self.spread, (1 - mean) / self.spread) for _ in range(prompts)]

    def ask(self, draw: random.Random, rates: Sequence[float], ways: int) -> list[int]:
        """Passed samples of each prompt in one round of `ways` samples."""
        found = []
        for rate in rates:
            shared = draw.random() < rate
            found.append(sum(shared if draw.random() < self.copies else draw.random() < rate for _ in range(ways)))
        return found


KINDS = (
    Kind("equal"),
    Kind("differ", spread=0.5),
    Kind("dead", dead=True),
    Kind("copies", copies=1.0),
    Kind("half", copies=0.5),
)


def bounds(
    kind: Kind, mean: float, prompts: int, rounds: int, ways: int, runs: int, seed: int
) -> tuple[int, int, int]:
    """Runs in which the lower bound, the upper bound and the lower bound of independent samples were wrong."""
    draw, low, high, plain = random.Random(seed), 0, 0, 0
    for _ in range(runs):
        rates = kind.rates(draw, mean, prompts)
        asked = [kind.ask(draw, rates, ways) for _ in range(rounds)]
        passed, sizes = list(map(sum, zip(*asked, strict=True))), [rounds * ways] * prompts
        low += clusters.lower_bound(passed, sizes) > mean
        high += clusters.upper_bound(passed, sizes) < mean
        plain += binomial.lower_bound(sum(passed), sum(sizes)) > mean
    return low, high, plain


def until_decided(
    kind: Kind, mean: float, prompts: int, most: int, ways: int, runs: int, seed: int
) -> tuple[int, int, float]:
    """Runs that decided above and below the true rate over these prompts, and the mean number of samples."""
    draw, above, below, samples = random.Random(seed), 0, 0, 0
    for _ in range(runs):
        rates = kind.rates(draw, mean, prompts)
        truth = sum(rates) / prompts
        if not 0.0 < truth < 1.0:
            continue
        passed, n = 0.0, 0
        for _ in range(most):
            passed, n = passed + sum(kind.ask(draw, rates, ways)) / ways, n + prompts
            side = sequential.decides(passed, n, truth)
            if side is not None or sequential.hopeless(passed, n, prompts * most, truth):
                break
        above, below, samples = above + (side == "above"), below + (side == "below"), samples + n * ways
    return above, below, samples / runs


@dataclass(frozen=True, slots=True)
class Nights:
    """What a number of histories came to; `worst` is the largest share of `once` of one history."""

    alarms: int
    once: float
    worst: float
    gate: float


@cache
def one_night(worse: int, better: int, prompts: int) -> float:
    return nights.one_night(worse, better, [1] * prompts)


mcnemar = cache(binomial.mcnemar)


def histories(kind: Kind, mean: float, gates: Sequence[Gate], sizes: Sequence[int], runs: int, seed: int) -> Nights:
    """Baselines with the nights after them, each prompt asked once a night."""
    draw, alarms, shares, open_ = random.Random(seed), 0, [], 0

    @cache
    def holds(place: int, passed: int) -> bool:
        given = [Judgement(gates[place].name, str(i), () if i < passed else MISS) for i in range(sizes[place])]
        return decide(gates[place], given, sizes[place]).verdict == "PASS"

    for _ in range(runs):
        rates = [kind.rates(draw, mean, size) for size in sizes]
        missed = [[[1 - asked] for asked in kind.ask(draw, of, 1)] for of in rates]
        start = [sum(counts[0] for counts in of) for of in missed]
        alarm, failed = False, 0
        for night in range(1, nights.HORIZON + 1):
            adjusted, plain, whole = [], [], True
            for place, (of, counts) in enumerate(zip(rates, missed, strict=True)):
                for each, asked in zip(counts, kind.ask(draw, of, 1), strict=True):
                    each.append(1 - asked)
                worse = sum(each[-1] > each[0] for each in counts)
                better = sum(each[-1] < each[0] for each in counts)
                plain.append(mcnemar(worse, better))
                if not alarm:
                    tonight, since = one_night(worse, better, len(of)), 1.0
                    # With as many misses as are to be expected, half of all baselines have no more: no evidence.
                    if sum(map(sum, counts)) > start[place] * (night + 1):
                        since = lowest(counts)
                    adjusted.append(nights.adjusted(tonight, since, start[place], len(sizes)))
                whole = whole and holds(place, len(of) - sum(each[-1] for each in counts))
            alarm = alarm or min(adjusted) <= PROMISED
            failed += min(binomial.holm(plain)) <= PROMISED
            open_ += not whole
        alarms += alarm
        shares.append(failed / nights.HORIZON)
    return Nights(alarms, sum(shares) / runs, max(shares), open_ / runs / nights.HORIZON)


def equal_replicas(kind: Kind, mean: float, servers: int, profile: Profile, runs: int, seed: int) -> int:
    """Runs in which a paired test says that one of some equal servers passes less often."""
    draw, wrong = random.Random(seed), 0
    gates = {gate.name: profile.gate_scenarios(gate) for gate in profile.gates.values() if not gate.every_sample}
    of_sample: dict[str, list[str]] = {}
    for gate, scenarios in gates.items():
        for scenario in scenarios:
            for key in scenario.sample_keys():
                of_sample.setdefault(key, []).append(gate)
    for _ in range(runs):
        rates = kind.rates(draw, mean, len(of_sample))
        given = [
            replicas.Answered(
                server,
                key,
                server == 0,
                tuple(Judgement(gate, key, () if draw.random() < rate else MISS) for gate in of),
            )
            for server in range(servers)
            for (key, of), rate in zip(of_sample.items(), rates, strict=True)
        ]
        found = replicas.compare_replicas(profile, [f"http://{place}" for place in range(servers)], given)
        wrong += any(row["verdict"] == "FAIL" and row["adjusted"] is not None for row in found["gates"])
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000, metavar="N")
    parser.add_argument("--histories", type=int, default=200, metavar="N", help="of annie, of 90 nights each")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    options = parser.parse_args()
    runs, broken = options.runs, []

    def share(wrong: int) -> str:
        return f"{wrong / runs:6.1%}"

    def judge(name: str, wrong: int, runs: int = runs, promised: float = PROMISED) -> None:
        if binomial.lower_bound(wrong, runs, 1 - ALPHA) > promised:
            broken.append(f"{name}: wrong in {wrong} of {runs} runs, {promised:.0%} is promised")

    print(f"{runs} runs each, seed {options.seed}\n")
    print("bounds     rate  prompts x samples   lower   upper   plain")
    for kind in KINDS:
        for mean, prompts, rounds, ways in ((0.9, 15, 5, 1), (0.95, 60, 1, 2), (0.6, 10, 10, 1), (0.8, 5, 3, 2)):
            low, high, plain = bounds(kind, mean, prompts, rounds, ways, runs, options.seed)
            shares = "  ".join(map(share, (low, high, plain)))
            print(f"{kind.name:<9}  {mean:.2f}  {prompts:>3} x {rounds * ways:<3}        {shares}")
            judge(f"{kind.name} {mean} {prompts} x {rounds * ways} lower", low)
            judge(f"{kind.name} {mean} {prompts} x {rounds * ways} upper", high)
    print("\nuntil decided, at most 20 rounds   PASS    FAIL  samples")
    for kind in KINDS:
        for mean, prompts, ways in ((0.8, 15, 1), (0.8, 15, 2), (0.6, 10, 3)):
            above, below, samples = until_decided(kind, mean, prompts, 20, ways, runs, options.seed)
            sides = f"{share(above)}  {share(below)}"
            print(f"{kind.name:<9}  {mean:.2f}  {prompts:>3} x {ways} ways   {sides}  {samples:7.0f}")
            judge(f"{kind.name} {mean} {prompts} x {ways} ways until decided", above + below)
    print("\nnights of an unchanged server   histories   alarm    once   worst    gate")
    # A history of annie-strict costs five of annie.
    for name, several in (("annie", options.histories), ("annie-strict", -(-options.histories // 5))):
        gates = [gate for gate in load(name).gates.values() if not gate.every_sample]
        sizes = [sum(len(scenario.variants) for scenario in load(name).gate_scenarios(gate)) for gate in gates]
        for kind in KINDS[:3]:
            for mean in (0.99, 0.8):
                found = histories(kind, mean, gates, sizes, several, options.seed)
                told = (found.alarms / several, found.once, found.worst, found.gate)
                shares = "  ".join(f"{each:6.1%}" for each in told)
                print(f"{kind.name:<9}  {mean:.2f}  {name:<12}  {several:>10}  {shares}", flush=True)
                judge(f"{kind.name} {mean} {name} nights", found.alarms, several)
    several = -(-options.histories // 2)
    print(f"\nequal replicas, {several} runs of annie   differ")
    for kind in KINDS[:3]:
        for mean in (0.99, 0.8):
            for servers in (2, 3):
                wrong = equal_replicas(kind, mean, servers, load("annie"), several, options.seed)
                print(
                    f"{kind.name:<9}  {mean:.2f}  {servers} servers               {wrong / several:6.1%}", flush=True
                )
                judge(f"{kind.name} {mean} {servers} replicas", wrong, several, replicas.ALPHA)
    for line in broken:
        print(line)
    return int(bool(broken))


if __name__ == "__main__":
    raise SystemExit(main())
