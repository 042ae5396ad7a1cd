"""Simulates how often timing gates are wrong and how many samples they need, with the real decision rule.

Run: .venv/bin/python benchmarks/timing_operating_curve.py [--servers 200] [--output docs/perf-operating-curve.md]

Each simulated server has a true median at a given share of the limit, and noise of a given kind. The decision rule
(annie_eval.timing.verdict) takes samples until it has decided or reached its maximum. With --output the tables are
written as Markdown, and the curve as SVG.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annie_eval.profile.types import Verdict
from annie_eval.report.charts import Series, chart
from annie_eval.timing import verdict as rule

LIMIT = 120.0  # ms; only ratios matter
RATIOS = (0.85, 0.90, 0.95, 0.97, 0.98, 0.99, 1.00, 1.01, 1.02, 1.03, 1.05, 1.10, 1.15)
GROUP_RATIOS = (0.85, 0.95, 1.00, 1.05, 1.15)
QUADRATIC_RATIOS = (0.0, 0.5, 1.0, 1.5, 2.0)  # as a share of the limit: a linear curve has 0, a 9B model 0.5
SHARE_RATIOS = {False: (0.91, 0.95, 1.00, 1.05, 1.15, 1.30), True: (0.0, 0.5, 0.95, 1.00, 1.05, 2.0, 4.0)}
CONTEXTS = (512, 1024, 2048, 4096, 8192, 16384)

Judge = Callable[[rule.Groups], Verdict]
Curve = Callable[[float], float]
Noise = Callable[[random.Random], Callable[[], float]]


def sequential(draw: Callable[[], float], limit: float, *, at_most: bool = True) -> tuple[Verdict, rule.Estimate]:
    """Take samples until the median is decided against the limit, or until the maximum: the rule of timing gates."""
    values: list[float] = []
    for look in rule.LOOKS:
        values += [draw() for _ in range(look - len(values))]
        estimate = rule.median_in_order(values)
        verdict = estimate.against(limit, at_most=at_most)
        if verdict != "INCONCLUSIVE":
            break
    return verdict, estimate


def wrong_verdict_rate(looks: Sequence[int] = rule.LOOKS, below: float = 0.5) -> float:
    """The exact probability of PASS at any test if each sample is below the limit with probability `below`.

    For independent samples of any continuous distribution; `below` is 0.5 if the median equals the limit. By dynamic
    programming over the number of samples below the limit; `looks` must be odd.
    """
    paths, seen, passed = {0: 1.0}, 0, 0.0
    for n in looks:
        steps = n - seen
        seen = n
        grown: dict[int, float] = {}
        for k, weight in paths.items():
            for more in range(steps + 1):
                chance = math.comb(steps, more) * below**more * (1 - below) ** (steps - more)
                grown[k + more] = grown.get(k + more, 0.0) + weight * chance
        # The interval of 1..n consists of its ranks: those that `median_of` needs for PASS or FAIL.
        top = int(rule.median_of(range(1, n + 1)).high)
        passed += sum(weight for k, weight in grown.items() if k >= top)
        paths = {k: weight for k, weight in grown.items() if k < top and n - k < top}
    return passed


def stragglers(sigma: float, share: float) -> Noise:
    """Lognormal noise, and a share of requests that take 1.3 to 3 times as long. A factor around 1."""

    def make(rng: random.Random) -> Callable[[], float]:
        def draw() -> float:
            late = rng.uniform(1.3, 3.0) if rng.random() < share else 1.0
            return rng.lognormvariate(0.0, sigma) * late

        return draw

    return make


def drifting(sigma: float, memory: float) -> Noise:
    """Correlated noise: an AR(1) process of the logarithm, like from other load that comes and goes."""

    def make(rng: random.Random) -> Callable[[], float]:
        state = rng.gauss(0.0, sigma)

        def draw() -> float:
            nonlocal state
            state = memory * state + rng.gauss(0.0, sigma * (1 - memory**2) ** 0.5)
            return math.exp(state)

        return draw

    return make


def two_speeds(slower: float, share: float) -> Noise:
    """2 % noise around two speeds, like from different caches or cores."""

    def make(rng: random.Random) -> Callable[[], float]:
        return lambda: (slower if rng.random() < share else 1.0) * rng.lognormvariate(0.0, 0.02)

    return make


def pauses(every: int, factor: float) -> Noise:
    """3 % noise, and a pause at regular intervals, like from a garbage collector."""

    def make(rng: random.Random) -> Callable[[], float]:
        count = itertools.count(rng.randrange(every))
        return lambda: rng.lognormvariate(0.0, 0.03) * (factor if next(count) % every == 0 else 1.0)

    return make


def heavy_tail(share: float) -> Noise:
    """4 % noise, and unbounded stragglers: Pareto with exponent 1.1, which has infinite variance."""

    def make(rng: random.Random) -> Callable[[], float]:
        return lambda: (
            rng.lognormvariate(0.0, 0.04) * (1.0 + (rng.paretovariate(1.1) if rng.random() < share else 0.0))
        )

    return make


NOISES: Mapping[str, Noise] = {
    "4 % noise, 5 % stragglers": stragglers(0.04, 0.05),
    "10 % noise, 10 % stragglers": stragglers(0.10, 0.10),
    "4 % noise, 5 % unbounded stragglers": heavy_tail(0.05),
    "two speeds 12 % apart, 60 to 40": two_speeds(1.12, 0.4),
    "a pause of twice the time at every ninth": pauses(9, 2.0),
    "4 % noise that drifts (AR 0.5)": drifting(0.04, 0.5),
    "4 % noise that drifts slowly (AR 0.9)": drifting(0.04, 0.9),
}

DRAWN = ("4 % noise, 5 % stragglers", "10 % noise, 10 % stragglers", "4 % noise that drifts (AR 0.5)")


@dataclass(frozen=True)
class Outcome:
    """The results of many servers: share by verdict, and median number of samples."""

    shares: Mapping[str, float]
    samples: float

    @classmethod
    def of(cls, results: Sequence[tuple[Verdict, int]]) -> Outcome:
        counts = Counter(verdict for verdict, _ in results)
        shares = {v: counts[v] / len(results) for v in ("PASS", "FAIL", "INCONCLUSIVE")}
        return cls(shares, statistics.median(n for _, n in results))


def true_median(noise: Noise) -> float:
    """The median of the noise factor, from many draws: stragglers increase it, and ratios refer to the true median."""
    draw = noise(random.Random(1))
    return statistics.median(draw() for _ in range(200_001))


def medians(noise: Noise, ratio: float, servers: int) -> Outcome:
    """One limit on a median, like for TTFT and decode."""
    scale = ratio * LIMIT / true_median(noise)
    results = []
    for server in range(servers):
        draw = noise(random.Random(f"{ratio}-{server}"))
        verdict, estimate = sequential(lambda draw=draw: scale * draw(), LIMIT)  # type: ignore[misc]
        results.append((verdict, estimate.n))
    return Outcome.of(results)


def grouped(
    judge: Callable[[rule.Groups], Verdict], at: Callable[[float], float], noise: Noise, servers: int, seed: str
) -> Outcome:
    """A rule over several context lengths, with the real schedule of tests.

    `at` is the true value at a context length.
    """
    results: list[tuple[Verdict, int]] = []
    for server in range(servers):
        draw = noise(random.Random(f"{seed}-{server}"))
        groups: dict[float, list[float]] = {float(c): [] for c in CONTEXTS}
        verdict: Verdict = "INCONCLUSIVE"
        for look in rule.GROUP_LOOKS:
            while len(groups[float(CONTEXTS[0])]) < look:
                for context, values in groups.items():
                    values.append(at(context) * draw())
            verdict = judge(groups)
            if verdict != "INCONCLUSIVE":
                break
        results.append((verdict, look))
    return Outcome.of(results)


def shares(limit: float, looks: Sequence[int], ratio: float, servers: int, *, at_most: bool) -> Outcome:
    """A limit on a share of requests, like for goodput (at least) and stalled answers (at most)."""
    true = limit * ratio if at_most else limit / ratio
    results: list[tuple[Verdict, int]] = []
    for server in range(servers):
        rng = random.Random(f"{limit}-{ratio}-{server}")
        good = n = 0
        verdict: Verdict = "INCONCLUSIVE"
        for look in looks:
            good, n = good + sum(rng.random() < true for _ in range(look - n)), look
            verdict = rule.share_of(good, n).against(limit, at_most=at_most)
            if verdict != "INCONCLUSIVE":
                break
        results.append((verdict, n))
    return Outcome.of(results)


def group_rules() -> Mapping[
    str, tuple[Callable[[rule.Groups], Verdict], Callable[[float], Callable[[float], float]]]
]:
    """Name -> (judge, share of the limit -> true curve)."""
    end, start = CONTEXTS[-1], CONTEXTS[0]

    def quadratic(share: float) -> Curve:
        # 60 ms + b n + c n^2 with c n^2 the given share of the value at the longest context.
        linear = 60 + 0.12 * end
        c = share * linear / (1 - share) / end**2
        return lambda n: 60 + 0.12 * n + c * n * n

    return {
        "cold slope <= 240 ms per 1000": (
            lambda g: rule.slope_of(g).against(0.240, at_most=True),
            lambda ratio: lambda n: 60 + 0.240 * ratio * n,
        ),
        "warm ratio <= 1.25": (
            lambda g: rule.ratio_of(g).against(1.25, at_most=True),
            lambda ratio: lambda n: 80 * (1 + (1.25 * ratio - 1) * (n - start) / (end - start)),
        ),
        "warm slope <= 2 us per token": (
            lambda g: rule.slope_of(g).against(0.002, at_most=True),
            lambda ratio: lambda n: 80 + 0.002 * ratio * n,
        ),
        "decode ratio >= 0.9": (
            lambda g: rule.ratio_of(g).against(0.9, at_most=False),
            lambda ratio: lambda n: 33 * (1 + (0.9 / ratio - 1) * (n - start) / (end - start)),
        ),
        "quadratic share <= 15 %": (
            lambda g: rule.shape_of(g, 0.15).verdict,
            lambda ratio: quadratic(0.15 * ratio),
        ),
    }


def bent(start: float, slope: float, share: float, end: int, floor: float = 0.0) -> Curve:
    """start + slope n, with a quadratic share at the longest prompt; never below the floor."""
    c = share / (1 - share) * (start + slope * end) / end**2
    return lambda n: max(floor, start + slope * n + c * n * n)


SMALL, LARGE = (513, 1025, 2049, 4097, 8033), (545, 1089, 2177, 4081, 8161, 16321)
SHAPES: Mapping[str, tuple[Sequence[int], Curve]] = {
    "135M: linear": (SMALL, bent(27, 0.0016, 0.0, 8033)),
    "135M: 30 % of the longest quadratic": (SMALL, bent(27, 0.0016, 0.3, 8033)),
    "135M: 50 % of the longest quadratic": (SMALL, bent(27, 0.0016, 0.5, 8033)),
    "135M: linear, 17 ms + 4.2 ms per 1000": (SMALL, bent(17, 0.0042, 0.0, 8033)),
    "the same, reads 4096 tokens at most": (SMALL, lambda n: 17 + 0.0042 * min(n, 4096)),
    "the same, reads 1024 tokens at most": (SMALL, lambda n: 17 + 0.0042 * min(n, 1024)),
    "9B: linear above 78 ms": (LARGE, bent(0, 0.027, 0.0, 16321, 78)),
    "9B: above 78 ms, 7 % of the longest quadratic": (LARGE, bent(0, 0.025, 0.07, 16321, 78)),
    "9B: above 78 ms, 40 % of the longest quadratic": (LARGE, bent(0, 0.025, 0.4, 16321, 78)),
    "9B: above 78 ms, reads 8192 tokens at most": (LARGE, lambda n: max(78.0, 0.027 * min(n, 8192))),
}
SHAPE_NOISES = {  # noise of each request, and noise shared by all requests of a round
    "10 %": (0.1, 0.0),
    "27 %": (0.27, 0.0),
    "10 %, and 25 % that rounds share": (0.1, 0.25),
}


def fast_cards(servers: int) -> list[str]:
    """Verdicts on the shape of TTFT curves like those measured on an H100 (docs/perf-vllm-h100.md)."""
    looks = rule.GROUP_LOOKS + rule.FURTHER_LOOKS
    lines = [
        f"### The shape of cold TTFT on a fast card, quadratic share from -25 to 25 %, {servers} servers",
        "",
        "135M: 27 ms + 1.6 ms per 1000 tokens, if nothing else is said. 9B: 25 to 27 ms per 1000 tokens, and never "
        f"under 78 ms. Lognormal noise, looked at after {', '.join(map(str, looks))} samples of each length:",
        "",
        "| TTFT | noise | PASS | FAIL | ERROR | INCONCLUSIVE | samples a context (median) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (lengths, curve) in SHAPES.items():
        for noise, (own, shared) in SHAPE_NOISES.items():
            found: Counter[Verdict] = Counter()
            taken = []
            for server in range(servers):
                rng = random.Random(f"{name}-{noise}-{server}")
                groups: dict[float, list[float]] = {float(n): [] for n in lengths}
                for look in looks:
                    while len(groups[lengths[0]]) < look:
                        together = rng.lognormvariate(0, shared)
                        for n, values in groups.items():
                            values.append(curve(n) * together * rng.lognormvariate(0, own))
                    verdict = rule.shape_of(groups, 0.25).verdict
                    if verdict != "INCONCLUSIVE":
                        break
                found[verdict] += 1
                taken.append(look)
            verdicts: tuple[Verdict, ...] = ("PASS", "FAIL", "ERROR", "INCONCLUSIVE")
            cells = " | ".join(f"{found[verdict] / servers:.0%}" for verdict in verdicts)
            lines.append(f"| {name} | {noise} | {cells} | {statistics.median(taken):g} |")
    return [*lines, ""]


def table(head: str, rows: Mapping[float, Outcome], unit: str) -> list[str]:
    lines = [
        f"### {head}",
        "",
        f"| truth / limit | PASS | FAIL | INCONCLUSIVE | {unit} (median) |",
        "|---|---|---|---|---|",
    ]
    for ratio, outcome in rows.items():
        shares = " | ".join(f"{outcome.shares[v]:.1%}" for v in ("PASS", "FAIL", "INCONCLUSIVE"))
        lines.append(f"| {ratio:.0%} | {shares} | {outcome.samples:g} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=200, help="simulated servers for each cell (default: 200)")
    parser.add_argument("--output", type=Path, help="write Markdown here, and the curve beside it as SVG")
    options = parser.parse_args()
    lines = [
        "# Operating curve of the timing gates",
        "",
        f"Written by `benchmarks/timing_operating_curve.py --servers {options.servers}`.",
        "",
        f"Looks after {', '.join(map(str, rule.LOOKS))} samples, interval of the median at {rule.CONFIDENCE:.1%}. For "
        f"independent samples of any distribution the exact chance of a PASS is {wrong_verdict_rate():.2%} with "
        "the true median on the limit, and so is that of a FAIL; it falls from there.",
        "",
    ]
    curves: list[Series] = []
    for name, noise in NOISES.items():
        outcomes = {ratio: medians(noise, ratio, options.servers) for ratio in RATIOS}
        lines += table(f"A median under {name}", outcomes, "samples")
        for verdict in ("PASS", "FAIL") if name in DRAWN else ():
            points = [(ratio * 100, outcomes[ratio].shares[verdict] * 100) for ratio in RATIOS]
            curves.append(Series(f"{verdict}, {name}", points))
    for name, limit, looks, at_most in (
        ("Goodput >= 90 %", 0.9, rule.STREAM_LOOKS, False),
        ("Stalled answers <= 10 %", 0.1, rule.LOOKS, True),
    ):
        found = {r: shares(limit, looks, r, options.servers, at_most=at_most) for r in SHARE_RATIOS[at_most]}
        lines += table(f"{name}, looked at after {', '.join(map(str, looks))}", found, "samples")
    noise = NOISES["4 % noise, 5 % stragglers"]
    lines += [
        f"Rules over contexts, looked at after {', '.join(map(str, rule.GROUP_LOOKS))} samples of each:",
        "",
    ]
    for name, (judge, curve) in group_rules().items():
        slow = name.startswith("quadratic")
        servers, ratios = (options.servers // 2, QUADRATIC_RATIOS) if slow else (options.servers, GROUP_RATIOS)
        found = {r: grouped(judge, curve(r), noise, servers, f"{name}-{r}") for r in ratios}
        lines += table(f"{name}, {servers} servers", found, "samples a context")
    lines += fast_cards(max(20, options.servers // 4))
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if options.output is not None:
        svg = options.output.with_suffix(".svg")
        svg.write_text(chart("Verdicts on a median", "truth / limit, %", "servers, %", curves), "utf-8")
        options.output.write_text(text + f"\n![Operating curve]({svg.name})\n", "utf-8")


if __name__ == "__main__":
    main()
