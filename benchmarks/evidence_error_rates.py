"""How often the gate's bounds and its stopping rule are wrong, by simulation at the asked rate itself.

    .venv/bin/python -m benchmarks.evidence_error_rates [--runs 2000] [--seed 1]

Kinds of prompts: `equal` (each passes with the same chance), `differ` (chances drawn from a beta distribution), `dead`
(some prompts never pass, the others always), `copies` (the samples of one prompt in one round are one outcome),
`half` (each sample of a prompt is a copy of that prompt's shared outcome with chance 1/2, else drawn again).

Columns: `lower` and `upper`, runs in which a one-sided 95 % bound lay beyond the truth (5 % at most is promised);
`PASS` and `FAIL` of `--until-decided` at a threshold that equals the true rate (5 % at most together); samples asked.
`plain` is what `lower` would be if all samples counted as independent. Status 1 where a promised rate is surely
exceeded: its exact one-sided 99.9 % lower bound lies above 5 %.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass

from annie_eval.stats import binomial, clusters, sequential

PROMISED, ALPHA = 0.05, 0.001


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


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    options = parser.parse_args()
    runs, broken = options.runs, []

    def share(wrong: int) -> str:
        return f"{wrong / runs:6.1%}"

    def judge(name: str, wrong: int) -> None:
        if binomial.lower_bound(wrong, runs, 1 - ALPHA) > PROMISED:
            broken.append(f"{name}: wrong in {wrong} of {runs} runs, {PROMISED:.0%} is promised")

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
    for line in broken:
        print(line)
    return int(bool(broken))


if __name__ == "__main__":
    raise SystemExit(main())
