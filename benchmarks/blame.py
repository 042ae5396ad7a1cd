"""Measures how often `annie-eval blame` names a planted cause, and how often it names a wrong one.

    python -m benchmarks.blame [--runs 100] [--only NAME ...]

The real search (annie_eval/blame/search.py) runs on simulated servers. A prompt passes if its random number is below
the pass rate of the configuration: `SOUND`, or `BROKEN` while the planted cause is present. A prompt has the same
number in all configurations, except for rounding: in each of them a share of the prompts draws another number. A
restarted, unchanged server repeats its answers. Each search begins, like the command, with a run in which the gate
failed. tests/e2e/test_blame.py runs the search on started servers.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from annie_eval.blame.evidence import Outcomes, holds
from annie_eval.blame.factors import Factor, Kind
from annie_eval.blame.search import Opinion, Question, search
from annie_eval.stats.binomial import clopper_pearson

SOUND, BROKEN = 0.97, 0.25

_KINDS: tuple[tuple[str, Kind], ...] = (
    ("template", "template"),
    ("weights", "weights"),
    ("speculation", "server"),
    ("prefix_cache", "server"),
    ("kernel", "server"),
    ("kv_cache", "server"),
    ("batching", "server"),
)
FACTORS = tuple(Factor(name, name, name, name, kind) for name, kind in _KINDS)


@dataclass(frozen=True, slots=True)
class Plant:
    """A simulated server.

    Attributes:
        causes: the changes that are all needed to make the gate pass; empty for a server without a planted cause.
        rate: pass rate while the cause is present.
        rounding: share of the prompts that draw another random number in each configuration.
        prompts, required: number of prompts of the gate, and how many must pass.
    """

    causes: frozenset[str] = frozenset()
    rate: float = BROKEN
    rounding: float = 0.1
    prompts: int = 60
    required: int = 48


PLANTS: dict[str, Plant] = {
    **{name: Plant(frozenset({name})) for name in ("weights", "template", "speculation", "prefix_cache", "kernel")},
    "batching": Plant(frozenset({"batching"})),
    "prefix_cache, 15 prompts": Plant(frozenset({"prefix_cache"}), prompts=15, required=12),
    "prefix_cache, 10 prompts": Plant(frozenset({"prefix_cache"}), prompts=10, required=6),
    "weights, rounding 0.3": Plant(frozenset({"weights"}), rounding=0.3),
    "speculation and prefix_cache": Plant(frozenset({"speculation", "prefix_cache"})),
    "clean, bad model": Plant(rate=0.5),
    "clean, rounding 0.3": Plant(rate=0.7, rounding=0.3),
    "clean, at the limit, all again": Plant(rate=0.8, rounding=1.0),
    "clean, at the limit, 15 prompts": Plant(rate=0.8, rounding=1.0, prompts=15, required=12),
    "clean, at the limit, 10 prompts": Plant(rate=0.6, rounding=1.0, prompts=10, required=6),
}


@dataclass(slots=True)
class Simulated:
    """A bench in which a server is a pass rate."""

    plant: Plant
    seed: int
    starts: int = 0
    asked: int = 0
    luck: dict[str, float] = field(default_factory=dict)

    def ask(
        self,
        name: str,
        factors: Sequence[Factor],
        chunks: Sequence[Sequence[str]],
        enough: Callable[[Outcomes], bool],
    ) -> Outcomes:
        """As `annie_eval.blame.search.Bench` says."""
        self.starts += 1
        configuration = "+".join(sorted(factor.name for factor in factors))
        fixed = self.plant.causes and self.plant.causes <= {factor.name for factor in factors}
        rate = SOUND if fixed else self.plant.rate
        outcomes: dict[str, bool | None] = {}
        for chunk in chunks:
            for key in chunk:
                own = random.Random(f"{self.seed} {key}")
                luck, fresh = own.random(), random.Random(f"{self.seed} {key} {configuration}")
                outcomes[key] = (fresh.random() if fresh.random() < self.plant.rounding else luck) < rate
            self.asked += len(chunk)
            if enough(outcomes):
                break
        return outcomes

    def reparsed(self) -> Outcomes | str:
        """No parser has a part in this."""
        return "not simulated"

    def referee(self) -> Opinion | None:
        """None is asked."""
        return None


def run(plant: Plant, seed: int) -> tuple[frozenset[str], int, int]:
    """The causes that one search names, and how many servers were started and prompts asked."""
    prompts = [[f"p{number}"] for number in range(plant.prompts)]
    share = plant.required / plant.prompts
    for attempt in range(10_000):  # until the gate fails, as it must have for anybody to search
        bench = Simulated(plant, seed * 10_000 + attempt)
        served = bench.ask("served", (), [[key for keys in prompts for key in keys]], lambda seen: False)
        if not holds(sum(map(bool, served.values())), len(served), share):
            break
    found = search(Question("gate", share, prompts, served, FACTORS), bench)
    return frozenset(found.causes), bench.starts, bench.asked


def main() -> None:
    """Print a row for each plant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--only", nargs="*", default=None)
    options = parser.parse_args()
    print(
        f"{'planted':32} {'right':>8} {'wrong':>8} {'95 % of wrong':>14} {'starts':>7} {'prompts':>8} {'s a run':>8}"
    )
    for name, plant in PLANTS.items():
        if options.only and name not in options.only:
            continue
        began = time.perf_counter()
        runs = [run(plant, seed) for seed in range(options.runs)]
        right = sum(causes == plant.causes for causes, _, _ in runs)
        wrong = sum(bool(causes) and causes != plant.causes for causes, _, _ in runs)
        low, high = clopper_pearson(wrong, options.runs, 0.95)
        starts = sum(starts for _, starts, _ in runs) / options.runs
        asked = sum(asked for _, _, asked in runs) / options.runs
        seconds = (time.perf_counter() - began) / options.runs
        print(
            f"{name:32} {f'{right}/{options.runs}':>8} {f'{wrong}/{options.runs}':>8}"
            f" {f'{100 * low:.1f}-{100 * high:.1f}':>14} {starts:7.1f} {asked:8.0f} {seconds:8.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
