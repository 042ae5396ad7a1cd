"""The statistics' results at many arguments, refusals of bad ones among them, and their defaults.

Other tests compare with scipy and simulate; these find every other change, in seconds. The expected results are in
stored_numbers.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import inspect
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from annie_eval.stats import binomial, clusters, distributions, medians, nights, paired, relabel, sequential, trend
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("stored_numbers.json")
ALL = (binomial, clusters, distributions, medians, nights, paired, relabel, sequential, trend)


def rounded(value: Any) -> Any:
    """Numbers with eight digits, so that another machine's last bits are no difference."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def result(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    try:
        return rounded(function(*arguments))
    except ValueError as error:
        return f"ValueError: {error}"


def noise(n: int, seed: int = 1, digits: int = 3) -> list[float]:
    draw = random.Random(seed)
    return [round(draw.gauss(10, 2), digits) for _ in range(n)]


NAN, INF = math.nan, math.inf
COUNTS = [(0, 0), (0, 1), (1, 1), (0, 25), (3, 10), (5, 10), (10, 10), (59, 60), (150, 300), (-1, 2), (3, 2), (0, -1)]
CONFIDENCES = [0.5, 0.9, 0.99, 0.0, 1.0, 95]
SHARES: list[tuple[list[int], list[int]]] = [
    ([1, 0, 1], [1, 1, 1]),
    ([2, 1, 0, 3], [3, 3, 3, 3]),
    ([0, 0], [2, 2]),
    ([2, 2], [2, 2]),
    ([1], [2]),
    ([1, 2, 3], [2, 3, 4]),
    ([5, 9, 10, 10, 10, 10, 10, 10], [10] * 8),
    ([0, 1], [1, 4]),
    ([], []),
    ([1], [1, 1]),
    ([3], [2]),
    ([-1], [2]),
    ([0], [0]),
]
BETAS = [
    (1, 1),
    (2, 5),
    (0.5, 0.5),
    (1, 30),
    (30, 1),
    (300, 2),
    (40, 60),
    (5000, 7000),
    (1e-3, 1),
    (0, 1),
    (1, 0),
    (INF, 1),
]
SAMPLES: list[list[float]] = [
    [1.0],
    [1.0, 2.0],
    [3.0, 1.0, 2.0],
    [1.0, 1.0, 2.0, 2.0],
    noise(7),
    noise(10),
    noise(15),
    noise(24, digits=0),
    noise(31),
    [],
    [1.0, NAN],
    [INF, 1.0],
]
LINES: list[tuple[list[float], list[float]]] = [
    ([1, 2], [1, 3]),
    ([1, 2, 3, 4], [1, 2, 3, 4]),
    (list(range(10)), noise(10)),
    (list(range(12)), noise(12, digits=0)),
    ([1, 1, 2, 2, 3, 3], noise(6)),
    ([1.0] * 3 + [2.0] * 3, [5.0] * 6),
    (list(range(8)), [5.0] * 8),
    ([1, 1], [1, 2]),
    ([1], [1]),
    ([1, 2], [1]),
    ([1, 2, 3], [1, 2]),
    ([1, NAN], [1, 2]),
    ([1, 2], [1, INF]),
]
FLIPS = [
    [],
    [0, 0],
    [1, 1, 1],
    [1, -1, 1],
    [2, 2, 1],
    [2, -1, 3, 0, 1],
    [-2, -1],
    [1] * 12,
    [3, 3, -3],
    [2] * 9 + [-1],
]
RUNS = [
    [],
    [[1]],
    [[0, 1]],
    [[1, 1], [0, 2]],
    [[0, 1, 2], [1, 1], [0, 3, 3, 3]],
    [[2, 0], [1, 0]],
    [[]],
    [[5, 0, 0, 0]] * 3,
]
LOSSES = [
    (worse, better, n, margin)
    for worse, better, n in [
        (0, 0, 1),
        (0, 0, 5),
        (0, 0, 29),
        (1, 0, 60),
        (3, 0, 60),
        (0, 9, 60),
        (5, 5, 40),
        (30, 5, 300),
        (10, 0, 10),
        (0, 10, 10),
    ]
    for margin in (0.05, 0.1, 0.3, 0.9)
] + [(0, 0, 0, 0.1), (-1, 0, 5, 0.1), (0, -1, 5, 0.1), (3, 3, 5, 0.1), (0, 0, 5, 0.0), (0, 0, 5, 1.0)]
TABLES = [
    (0, 0, 0, 0),
    (3, 5, 1, 5),
    (5, 5, 0, 5),
    (0, 5, 5, 5),
    (10, 12, 3, 40),
    (1, 2, 1, 2),
    (3, 0, 0, 2),
    (3, 2, 1, 1),
    (1, 2, -1, 2),
    (0, 2, 3, 2),
]
LOOKS = [
    (7, 10, 0.6),
    (10, 10, 0.6),
    (0, 10, 0.6),
    (30, 60, 0.5),
    (45, 60, 0.6),
    (20, 60, 0.6),
    (6.5, 10, 0.6),
    (0, 0, 0.6),
    (300, 300, 0.99),
]
DISTANCES = [[abs(a - b) for b in (0.0, 0.5, 1.0, 7.0, 8.0)] for a in (0.0, 0.5, 1.0, 7.0, 8.0)]
EVEN = [[0.0 if a == b else 1.0 for b in range(4)] for a in range(4)]
RISING = [float(i) for i in range(40)]

CALLS: dict[Callable[..., Any], Sequence[Sequence[Any]]] = {
    binomial.binomial_tail: [
        (k, n, r)
        for k, n in [(0, 5), (1, 5), (3, 5), (5, 5), (6, 5), (1, -1), (0, 0), (1, 0)]
        for r in (0.0, 0.3, 1.0, 1.5, -0.1)
    ],
    binomial.lower_bound: COUNTS + [(3, 10, c) for c in CONFIDENCES],
    binomial.upper_bound: COUNTS + [(3, 10, c) for c in CONFIDENCES],
    binomial.clopper_pearson: COUNTS + [(3, 10, c) for c in CONFIDENCES],
    binomial.rules_out: COUNTS + [(3, 10, c) for c in CONFIDENCES],
    binomial.pass_hat_k: [(p, n, k) for p, n in COUNTS for k in (0, 1, 2, 10)],
    binomial.mcnemar: [(0, 0), (1, 0), (0, 1), (5, 0), (7, 1), (3, 3), (-1, 0), (0, -1)],
    binomial.holm: [
        ([],),
        ([0.01],),
        ([0.01, 0.02, 0.03],),
        ([0.03, 0.01, 0.02],),
        ([0.5, 0.6],),
        ([0.0, 1.0],),
        ([1.1],),
        ([-0.1],),
    ],
    clusters.lower_bound: [*SHARES, *[(*SHARES[1], c) for c in CONFIDENCES]],
    clusters.upper_bound: [*SHARES, *[(*SHARES[1], c) for c in CONFIDENCES]],
    clusters.interval: [*SHARES, *[(*SHARES[1], c) for c in CONFIDENCES]],
    clusters.pass_hat_k: [(*share, k) for share in SHARES for k in (1, 2, 3)],
    distributions.beta_cdf: [(x, a, b) for a, b in BETAS for x in (0.0, 1e-6, 0.01, 0.3, 0.5, 0.9, 0.999, 1.0)]
    + [(-0.1, 1, 1), (1.1, 1, 1)],
    distributions.beta_quantile: [(q, a, b) for a, b in BETAS for q in (1e-9, 0.001, 0.025, 0.5, 0.6, 0.975)]
    + [(0.0, 1, 1), (1.0, 1, 1)],
    distributions.normal_quantile: [(0.025,), (0.5,), (0.975,)],
    medians.median: [(values,) for values in SAMPLES],
    medians.median_interval: [(values,) for values in SAMPLES] + [(noise(15), c) for c in (*CONFIDENCES, 0.998)],
    medians.median_ratio_interval: [(one, other) for one in SAMPLES for other in SAMPLES[3:8:2]]
    + [([1.0], []), ([1.0], [NAN]), ([0.0, 1.0], [1.0]), ([1.0], [0.0, 1.0]), ([1.0], [-1.0])]
    + [(noise(9), noise(8, 2), c) for c in (*CONFIDENCES, 0.998)],
    medians.theil_sen: [*LINES, *[(*LINES[2], c) for c in CONFIDENCES]],
    nights.one_night: [
        (w, b, [s] * n)
        for w, b, n in [(0, 0, 5), (1, 0, 5), (5, 0, 10), (4, 1, 20), (3, 3, 6), (0, 5, 5), (8, 2, 30)]
        for s in (1, 2, 5)
    ]
    + [(-1, 0, [1]), (0, -1, [1]), (2, 1, [1, 1]), (0, 0, [0]), (2, 0, [1, 3, 2])],
    nights.adjusted: [
        (0.001, 0.001, 0, 1),
        (1e-6, 1e-4, 3, 2),
        (0.5, 1e-7, 5, 8),
        (1.0, 1.0, 0, 1),
        (1e-9, 1.0, 2, 3),
    ],
    paired.sign_flip: [(each,) for each in FLIPS],
    paired.lowest: [(each,) for each in RUNS],
    paired.tango: LOSSES,
    paired.noninferiority: LOSSES,
    paired.default_margin: [(n,) for n in (0, 1, 2, 5, 10, 28, 29, 60)] + [(10, 0.01), (10, 0.5)],
    paired.pairs_to_decide: [
        (worse, better, n, margin, tests, 0.05)
        for worse, better, n in [(1, 0, 10), (3, 0, 60), (2, 1, 20), (1, 1, 5)]
        for margin in (None, 0.2)
        for tests in (1, 10)
    ]
    + [(1, 0, 10, None, 10, 0.05, 79), (30, 5, 500, 0.1, 1, 0.05)],
    paired.fisher: TABLES,
    relabel.within: [(DISTANCES, [0, 1, 2]), (DISTANCES, [3, 4]), (DISTANCES, [2])],
    relabel.apart: [(DISTANCES, [3, 4]), (DISTANCES, [1]), (DISTANCES, [0, 4])],
    relabel.p_value: [([(DISTANCES, 2)],), ([(DISTANCES, 1)] * 3,), ([(EVEN, 2)] * 2,), ([(DISTANCES, 2)] * 4,)],
    sequential.log_evidence: [*LOOKS, (-1, 3, 0.5), (4, 3, 0.5), (1, 3, 0.0), (1, 3, 1.0)],
    sequential.interval: [(k, n) for k, n, _ in LOOKS] + [(7, 10, c) for c in CONFIDENCES],
    sequential.decides: [*LOOKS, *[(9, 10, 0.5, c) for c in (0.5, 0.9, 0.999)]],
    sequential.hopeless: [(k, n, most, 0.6) for k, n, _ in LOOKS for most in (60, 70, 100, 400)]
    + [(0, 0, 0, 0.6), (55, 100, 120, 0.6), *[(k, 100, 300, 0.6) for k in range(40, 80, 2)]]
    + [(70, 100, 300, 0.6, c) for c in (0.5, 0.999)],
    sequential.operating: [
        (t, p, r, rate)
        for t, p, r in [(0.6, 10, 6), (0.9, 5, 10), (0.5, 1, 40)]
        for rate in (0.0, 0.4, 0.6, 0.95, 1.0)
    ]
    + [(0.6, 10, 6, 0.4, 0.8)],
    sequential.fixed_size: [
        (0.6, 0.8),
        (0.8, 0.6),
        (0.5, 0.9),
        (0.6, 0.8, 0.8),
        (0.6, 0.8, 0.95, 0.5),
        (0.6, 0.6),
        (0.9, 0.95),
    ],
    sequential.table: [(0.6, 10, 12, [0.1, 0.3, 0.59, 0.6, 0.7, 0.8, 1.0])],
    trend.kendall: [(noise(12),), (noise(12, digits=0),), ([1.0, 1.0],), ([3.0, 2.0, 1.0],), ([1.0],), ([],)],
    trend.crossing: [(x, n) for x in (0.0, 1.0, 2.0, 2.5, 3.0, 5.0) for n in (1, 2, 3, 4, 10, 30)] + [(3.0,)],
    trend.limit: [(0.05, 20), (0.5, 10), (0.04,), (0.0,), (1.0,)],
    trend.alarm: [
        (values, 0.05)
        for values in (
            RISING,
            RISING[::-1],
            noise(60),
            [1.0] * 20,
            noise(30) + [20 + v for v in noise(30, 2)],
            noise(60) + RISING * 3,
            [],
        )
    ]
    + [(RISING, 0.001)],
}


@pytest.mark.parametrize("function", CALLS, ids=lambda f: f"{f.__module__.rpartition('.')[2]}.{f.__name__}")
def test_results_are_the_stored_ones(function: Callable[..., Any]) -> None:
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    found = [[rounded(list(arguments)), result(function, arguments)] for arguments in CALLS[function]]
    expect(TABLE, name, json.loads(json.dumps(found)))


def test_every_statistic_has_stored_results() -> None:
    checks = {distributions.check_counts, distributions.check_open, distributions.check_values}
    functions = {
        each
        for module in ALL
        for name, each in inspect.getmembers(module, inspect.isfunction)
        if each.__module__ == module.__name__ and not name.startswith("_")
    } - checks
    stored = {inspect.unwrap(each) for each in CALLS}
    assert {each.__name__ for each in functions - stored} == set()


def test_the_default_confidence_is_95_percent_everywhere() -> None:
    for module in ALL:
        for name, each in inspect.getmembers(module, callable):
            if getattr(each, "__module__", "") == module.__name__ and not inspect.isclass(each):
                parameters = inspect.signature(each).parameters
                if "confidence" in parameters and not name.startswith("_"):
                    assert parameters["confidence"].default == 0.95, name
