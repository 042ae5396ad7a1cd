"""Whole rows of timing gates for made-up measurements: verdict, number, interval, points and every note.

The expected rows are in stored_rows.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.timing import verdict as rule
from annie_eval.timing.confirm import outside_ms
from annie_eval.timing.gates import evaluate
from annie_eval.timing.measurement import Measurement
from annie_eval.timing.prompts import Capabilities
from annie_eval.timing.roofline import Bounds, Model
from annie_eval.timing.server_metrics import LEAST_TOKENS, ServerMetrics
from tests.support.stored_table import expect
from tests.unit.timing.conftest import plan

TABLE = Path(__file__).with_name("stored_rows.json")
EVERYTHING = Capabilities("m", token_prompts=True, fixed_length=True, metrics=True)
BOUNDS = Bounds(Model(5.93e9, 6.92e9, 32768.0, 32768.0, "fp4", 248_320), 273e9, 500e12)
SHORT = Measurement(
    "short", 0, None, 70, 64, 0, "length", None, 90.0, 90.0, None, 1980.0, None, 33.0, "usage", (30.0,) * 63
)
SLOW = replace(SHORT, ttft_ms=200.0)
TOOL = replace(SHORT, source="tool", call_ms=900.0)
STREAM = replace(SHORT, source="streams", ttft_ms=300.0, rate=20.0)

Change = Callable[[int, Measurement], Measurement]


def rounded(value: Any) -> Any:
    """Numbers with seven digits, so that another machine's last bits are no difference."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def series(base: Measurement, n: int = 15, change: Change = lambda _, s: s) -> list[Measurement]:
    """n measurements with noise of 2 %, each changed by its number."""
    draw = random.Random(7)
    made = []
    for i in range(n):
        noise = 1 + draw.gauss(0, 0.02)
        times = {name: getattr(base, name) for name in ("ttft_ms", "content_ms", "last_ms", "rate", "call_ms")}
        made.append(change(i, replace(base, **{k: v * noise for k, v in times.items() if v is not None})))
    return made


def curve(
    ttft: Callable[[int], float], contexts: Sequence[int] = (512, 1024, 2048, 4096), n: int = 11, **changes: Any
) -> list[Measurement]:
    """Cold answers of several lengths, in rounds."""
    draw = random.Random(8)
    made = []
    for _ in range(n):
        for context in contexts:
            ms = ttft(context) * (1 + draw.gauss(0, 0.01))
            cold = replace(SHORT, source="cold", context=context, prompt_tokens=context + 1, ttft_ms=ms)
            made.append(replace(cold, **changes))
    return made


def some(which: Callable[[int], bool], **fields: Any) -> Change:
    return lambda i, s: replace(s, **fields) if which(i) else s


def all_(**fields: Any) -> Change:
    return some(lambda _: True, **fields)


def metrics(ttft: float = 90.0, decode: float = 1890.0, **more: Any) -> ServerMetrics:
    return ServerMetrics(1, prompt_tokens=70, ttft_ms=ttft, decode_ms=decode, **more)


def gaps(*values: float) -> dict[str, Any]:
    return {"gaps_ms": values}


def warm(n: int = 11, cached: int | None = 500, at: Callable[[int], float] = lambda c: 30.0) -> list[Measurement]:
    made = curve(at, n=n, source="warm")
    return [replace(s, cached_tokens=cached and min(cached, s.context)) for s in made]


UNLIMITED: dict[str, Any] = {"limits": {}}
ROWS: dict[str, tuple[str, list[Measurement], dict[str, Any]]] = {
    "short": ("ttft_short", series(SHORT), {}),
    "short, too slow": ("ttft_short", series(SHORT, change=all_(ttft_ms=150.0)), {}),
    "short, near the limit": ("ttft_short", series(replace(SHORT, ttft_ms=120.0)), {}),
    "short, no limit": ("ttft_short", series(SHORT), UNLIMITED),
    "short, roofline": ("ttft_short", series(SHORT), {"bounds": BOUNDS}),
    "short, no count": ("ttft_short", series(SHORT, change=all_(prompt_tokens=None)), {"bounds": BOUNDS}),
    "short, notes": ("ttft_short", series(SHORT), {"notes": ("one thing", "another")}),
    "short, reasoning": (
        "ttft_short", series(SHORT, change=all_(content_ms=500.0, sentence_ms=700.0, role_ms=20.0)), {}
    ),
    "short, all at once": ("ttft_short", series(SHORT, change=all_(content_ms=90.9, ttft_ms=90.0, role_ms=89.1)), {}),
    "short, half in one piece": ("ttft_short", series(SHORT, 16, some(lambda i: i < 8, last_ms=91.0)), {}),
    "short, mostly in one piece": ("ttft_short", series(SHORT, 16, some(lambda i: i < 9, last_ms=91.0)), {}),
    "short, broken": ("ttft_short", series(SHORT, change=some(lambda i: i in (3, 5), error="it broke")), {}),
    "short, some not proven cold": (
        "ttft_short", series(SHORT, change=some(lambda i: i < 4, cached_tokens=None)), {}
    ),
    "short, confirmed": ("ttft_short", series(SHORT, change=all_(server_metrics=metrics())), {}),
    "short, doubted": (
        "ttft_short",
        series(SHORT, change=all_(server_metrics=metrics(300.0, 1000.0), doubts=("the server says 300",))), {},
    ),
    "short, half doubted": (
        "ttft_short",
        series(SLOW, 16, some(lambda i: i < 8, server_metrics=metrics(50.0, 900.0), doubts=("x",))),
        {},
    ),
    "short, more than half doubted": (
        "ttft_short",
        series(SLOW, 16, some(lambda i: i < 9, server_metrics=metrics(190.0, 900.0), doubts=("x",))),
        {},
    ),
    "short, busy and slow": (
        "ttft_short", series(replace(SHORT, ttft_ms=200.0), 20, some(lambda i: i < 3, busy=1)), {}
    ),
    "short, a tenth busy and slow": (
        "ttft_short", series(replace(SHORT, ttft_ms=200.0), 20, some(lambda i: i < 2, busy=1)), {}
    ),
    "short, busy and fast": ("ttft_short", series(SHORT, 20, some(lambda i: i < 3, busy=1)), {}),
    "short, drifting": (
        "ttft_short", series(SHORT, 21, lambda i, s: replace(s, ttft_ms=80.0 + i)), {}
    ),
    "cold, linear": ("ttft_cold", curve(lambda c: 20 + 0.1 * c, contexts=(512, 1024, 2048)), {}),
    "cold, four lengths": ("ttft_cold", curve(lambda c: 20 + 0.1 * c), {}),
    "cold, with a floor": ("ttft_cold", curve(lambda c: max(150.0, 0.1 * c)), {}),
    "cold, quadratic": ("ttft_cold", curve(lambda c: 20 + 0.02 * c + 4e-5 * c * c), {}),
    "cold, flat": ("ttft_cold", curve(lambda _: 100.0), {}),
    "cold, flat and not proven": ("ttft_cold", curve(lambda _: 100.0, cached_tokens=None), {}),
    "cold, cut short": ("ttft_cold", curve(lambda c: 20 + 0.1 * min(c, 2048)), {}),
    "cold, too steep": ("ttft_cold", curve(lambda c: 20 + 0.4 * c), {}),
    "cold, roofline": ("ttft_cold", curve(lambda c: 20 + 0.1 * c), {"bounds": BOUNDS}),
    "cold, no limits": ("ttft_cold", curve(lambda c: 20 + 0.1 * c), UNLIMITED),
    "cold, the server's growth": (
        "ttft_cold",
        [
            replace(
                s,
                server_metrics=ServerMetrics(
                    1, prompt_tokens=s.prompt_tokens, ttft_ms=(s.ttft_ms or 0) - s.context / 1e3
                ),
            )
            for s in curve(lambda c: 20 + 0.1 * c)
        ],
        {},
    ),
    "warm": ("ttft_warm", warm(), {}),
    "warm, growing": ("ttft_warm", warm(at=lambda c: 30 + c / 100), {}),
    "warm, off": ("ttft_warm", warm(cached=0), {}),
    "warm, not proven": ("ttft_warm", warm(cached=None), {}),
    "warm, beside cold": ("ttft_warm", warm() + curve(lambda c: 20 + 0.1 * c), {}),
    "decode": ("decode", series(SHORT), {}),
    "decode, too slow": ("decode", series(replace(SHORT, rate=20.0)), {}),
    "decode, roofline": ("decode", series(SHORT), {"bounds": BOUNDS}),
    "decode, beyond": ("decode", series(replace(SHORT, rate=60.0)), {"bounds": BOUNDS}),
    "decode, half rated": ("decode", series(SHORT, 16, some(lambda i: i < 8, rate=None)), {}),
    "decode, less than half rated": ("decode", series(SHORT, 16, some(lambda i: i < 9, rate=None)), {}),
    "decode, no usage": ("decode", series(SHORT, change=all_(completion_tokens=None)), {}),
    "decode, guessed": ("decode", series(SHORT, change=all_(counting="guessed")), {}),
    "decode, some short": (
        "decode", series(SHORT, change=some(lambda i: i < 3, completion_tokens=LEAST_TOKENS - 1)), {}
    ),
    "decode, just long": ("decode", series(SHORT, change=all_(completion_tokens=LEAST_TOKENS)), {}),
    "decode, some in one piece": ("decode", series(SHORT, change=some(lambda i: i < 3, last_ms=91.0)), {}),
    **{
        f"decode, counted by {how}": ("decode", series(SHORT, change=some(lambda i: i % 2 == 0, counting=how)), {})
        for how in ("chunks", "asked", "pair", "share", "unknown")
    },
    "decode, drafts": (
        "decode", series(SHORT, change=all_(server_metrics=metrics(tokens_per_step=1.5))), {"bounds": BOUNDS}
    ),
    "decode, pairs of tokens": ("decode", series(SHORT, change=all_(gaps_ms=(60.0,) * 20)), {"bounds": BOUNDS}),
    "decode, few gaps": ("decode", series(SHORT, change=all_(gaps_ms=(1.0,) * 70)), {"bounds": BOUNDS}),
    "decode, no gaps": ("decode", series(SHORT, change=all_(gaps_ms=())), {"bounds": BOUNDS}),
    "flat": ("decode_flat", curve(lambda c: 20 + 0.1 * c), {}),
    "flat, roofline": ("decode_flat", curve(lambda c: 20 + 0.1 * c), {"bounds": BOUNDS}),
    "flat, falling": (
        "decode_flat", [replace(s, rate=33 - s.context / 500) for s in curve(lambda c: 20 + 0.1 * c)], {}
    ),
    "flat, beyond": ("decode_flat", curve(lambda c: 20 + 0.1 * c, rate=60.0), {"bounds": BOUNDS}),
    "flat, one length": ("decode_flat", curve(lambda c: 20 + 0.1 * c, contexts=(512,)), {}),
    "flat, two lengths": ("decode_flat", curve(lambda c: 20 + 0.1 * c, contexts=(512, 1024)), {}),
    "flat, no usage": ("decode_flat", curve(lambda c: 20.0, completion_tokens=None), {}),
    "flat, too short": ("decode_flat", curve(lambda c: 20.0, completion_tokens=LEAST_TOKENS - 1), {}),
    "stalls, none": ("stalls", series(SHORT), {}),
    "stalls, two of 15": (
        "stalls", series(SHORT, change=some(lambda i: i in (2, 9), **gaps(*[30.0] * 62, 600.0))), {}
    ),
    "stalls, at the limit": ("stalls", series(SHORT, change=all_(**gaps(*[30.0] * 62, 500.0))), {}),
    "stalls, all": ("stalls", series(SHORT, change=all_(**gaps(*[30.0] * 62, 600.0))), {}),
    "stalls, slow": ("stalls", series(SHORT, change=all_(**gaps(*[100.0] * 63))), {}),
    "stalls, percentiles": (
        "stalls", series(SHORT, change=lambda i, s: replace(s, gaps_ms=tuple(float(k + i) for k in range(20)))), {}
    ),
    "stalls, 21 gaps": (
        "stalls", series(SHORT, change=lambda i, s: replace(s, gaps_ms=tuple(float(k + i) for k in range(21)))), {}
    ),
    "stalls, few gaps": ("stalls", series(SHORT, change=all_(**gaps(10.0, 20.0))), {}),
    "stalls, three gaps": ("stalls", series(SHORT, change=all_(**gaps(10.0, 20.0, 30.0))), {}),
    "stalls, 24 answers of three gaps": ("stalls", series(SHORT, 24, all_(**gaps(10.0, 20.0, 30.0))), {}),
    "stalls, one gap": ("stalls", series(SHORT, change=all_(**gaps(10.0))), {}),
    "stalls, short answers": (
        "stalls", series(SHORT, change=some(lambda i: i < 5, completion_tokens=LEAST_TOKENS - 1)), {}
    ),
    "stalls, answers just long": ("stalls", series(SHORT, change=all_(completion_tokens=LEAST_TOKENS)), {}),
    "stalls, no count": ("stalls", series(SHORT, change=all_(completion_tokens=None)), {}),
    "stalls, in one piece": ("stalls", series(SHORT, change=some(lambda i: i < 5, last_ms=91.0)), {}),
    "stalls, no limits": ("stalls", series(SHORT), UNLIMITED),
    "stalls, and cold ones": ("stalls", series(SHORT) + curve(lambda c: 20 + 0.1 * c), {}),
    "tool": ("tool_call", series(TOOL), {}),
    "tool, no count": ("tool_call", series(TOOL, change=all_(prompt_tokens=None)), {}),
    "tool, some without": ("tool_call", series(TOOL, change=some(lambda i: i < 4, call_ms=None)), {}),
    "tool, none": ("tool_call", series(TOOL, change=all_(call_ms=None)), {}),
    "tool, doubted": (
        "tool_call",
        series(TOOL, change=all_(server_metrics=metrics(2500.0, 1000.0), doubts=("the server says 2500",))), {},
    ),
    "tool, doubted without its time": (
        "tool_call",
        series(TOOL, change=all_(server_metrics=ServerMetrics(1, prompt_tokens=70), doubts=("x",))), {},
    ),
    "tool, doubted and some without": (
        "tool_call",
        series(TOOL, change=lambda i, s: replace(
            s, server_metrics=metrics(80.0, 9.0), doubts=("x",), call_ms=None if i < 4 else 3000.0
        )), {},
    ),
    "goodput": ("goodput", series(STREAM, 60), {}),
    "goodput, some slow": ("goodput", series(STREAM, 60, some(lambda i: i < 9, ttft_ms=600.0)), {}),
    "goodput, at the limits": ("goodput", series(STREAM, 60, all_(ttft_ms=500.0, rate=12.0)), {}),
    "goodput, beyond one": ("goodput", series(STREAM, 60, all_(ttft_ms=500.5)), {}),
    "goodput, below the other": ("goodput", series(STREAM, 60, all_(rate=11.9)), {}),
    "goodput, below and guessed": ("goodput", series(STREAM, 60, all_(rate=11.9, counting="guessed")), {}),
    "goodput, no rate": ("goodput", series(STREAM, 60, all_(rate=None)), {}),
    "goodput, some without a token": ("goodput", series(STREAM, 60, some(lambda i: i < 20, ttft_ms=None)), {}),
    "goodput, no limits": ("goodput", series(STREAM, 60), UNLIMITED),
    "goodput, no limit of TTFT": (
        "goodput",
        series(STREAM, 60, some(lambda i: i < 5, ttft_ms=None)),
        {"limits": {"goodput_share": 0.9, "goodput_decode_tok_s": 12}},
    ),
    "goodput, no limit of decode": (
        "goodput", series(STREAM, 60, all_(rate=1.0)), {"limits": {"goodput_share": 0.9, "goodput_ttft_ms": 500}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_a_row_is_the_stored_one(case: str) -> None:
    name, measurements, changes = ROWS[case]
    found = evaluate(name, measurements, plan("http://x/v1", name, **changes), EVERYTHING)
    expect(TABLE, f"row: {case}", rounded(asdict(found)))


def test_what_a_server_does_not_tell_is_in_its_row() -> None:
    nothing = Capabilities("m", token_prompts=False, fixed_length=False, metrics=False)
    for name, measurements in (("ttft_cold", curve(lambda c: 20 + 0.1 * c)), ("ttft_warm", warm())):
        found = evaluate(name, measurements, plan("http://x/v1", name), nothing)
        expect(TABLE, f"row of a silent server: {name}", rounded(asdict(found)))


def outside(us: float, lengths: Sequence[int], **changes: Any) -> list[Measurement]:
    return [
        replace(
            SHORT,
            prompt_tokens=n,
            ttft_ms=100.0 + n * us / 1e3 + i % 2 / 1e3,
            server_metrics=ServerMetrics(1, prompt_tokens=n, ttft_ms=100.0),
            **changes,
        )
        for i, n in enumerate(lengths)
    ]


@pytest.mark.parametrize(
    ("us", "lengths", "found"),
    [
        (1.0, (512, 1024, 2048, 4096) * 6, 1e-3),
        (5.0, (512, 1024, 2048, 4096) * 6, 2e-3),
        (1.0, (512, 1024) * 6, 0.0),
        (1.0, (512, 1024, 2048) * 6, 1e-3),
        (-1.0, (512, 1024, 2048, 4096) * 6, 0.0),
        (0.0, (512, 1024, 2048, 4096) * 6, 0.0),
    ],
)
def test_work_outside_of_the_server_s_stamps_grows_with_the_prompt(
    us: float, lengths: Sequence[int], found: float
) -> None:
    assert outside_ms(outside(us, lengths)) == pytest.approx(found, rel=1e-3)


def groups(values: Callable[[int], float], noise: float, n: int = 11, lengths: int = 5, seed: int = 1) -> rule.Groups:
    draw = random.Random(seed)
    return {
        float(x): [values(x) * (1 + draw.gauss(0, noise)) for _ in range(n)]
        for x in [512 << i for i in range(lengths)]
    }


SHAPES: dict[str, Callable[[int], float]] = {
    "linear": lambda x: 20 + 0.05 * x,
    "in proportion": lambda x: 0.05 * x,
    "quadratic": lambda x: 10 + 0.01 * x + 1e-5 * x * x,
    "slightly quadratic": lambda x: 10 + 0.05 * x + 1e-6 * x * x,
    "steep at the end": lambda x: 50 + 4e-6 * x * x,
    "floor": lambda x: max(120.0, 0.05 * x),
    "long floor": lambda x: max(300.0, 0.05 * x),
    "root": lambda x: 3 * math.sqrt(x),
    "falling": lambda x: 400 - 0.04 * x,
    "cut short": lambda x: 20 + 0.05 * min(x, 2048),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lengths", [3, 4, 5])
@pytest.mark.parametrize("noise", [0.002, 0.05])
def test_shape_slope_and_ratio_are_the_stored_ones(shape: str, lengths: int, noise: float) -> None:
    made = groups(SHAPES[shape], noise, lengths=lengths)
    found = {
        "shape": asdict(rule.shape_of(made, 0.15)),
        "without a limit": rule.shape_of(made, None).verdict,
        "slope": asdict(rule.slope_of(made)),
        "ratio": asdict(rule.ratio_of(made)),
    }
    expect(TABLE, f"shape: {shape}, {lengths} lengths, noise {noise}", rounded(found))


def test_lengths_with_different_numbers_of_samples_are_drawn_apart() -> None:
    made = dict(groups(SHAPES["linear"], 0.03, n=12))
    made[512.0] = list(made[512.0])[:11]
    expect(TABLE, "shape: one sample less", rounded(asdict(rule.shape_of(made, 0.15))))
    expect(TABLE, "shape: even numbers", rounded(asdict(rule.shape_of(groups(SHAPES["linear"], 0.03, n=12), 0.15))))


@pytest.mark.parametrize("n", [14, 15, 16, 21, 61])
@pytest.mark.parametrize("memory", [0.0, 0.4, 0.7, 0.95])
def test_an_interval_in_time_order_is_the_stored_one(n: int, memory: float) -> None:
    found = []
    for seed in range(6):
        draw, level, values = random.Random(seed), 0.0, []
        for _ in range(n):
            level = memory * level + draw.gauss(0, 1)
            values.append(100 + level)
        found.append([rule.widening(values), asdict(rule.median_in_order(values)), asdict(rule.median_of(values))])
    expect(TABLE, f"in order: {n} values, memory {memory}", rounded(found))


def test_a_rising_series_is_as_alike_as_can_be() -> None:
    rising = [float(i) for i in range(15)]
    expect(TABLE, "in order: rising", rounded([rule.widening(rising), asdict(rule.median_in_order(rising))]))
    assert rule.widening([1.0] * 15) == 1.0


def test_a_percentile_is_the_nearest_rank() -> None:
    assert rule.percentile([float(i) for i in range(1, 101)], 0.95) == 95.0
    assert rule.percentile([float(i) for i in range(1, 74)], 0.95) == 70.0
    assert rule.percentile([1.0] * 72, 0.95) == 1.0
    assert rule.percentile([1.0] * 71, 0.95) is None


def test_the_looks_and_levels_are_those_of_the_documents() -> None:
    """Another number of looks or another level needs the error rates in docs/perf.md computed anew."""
    names = (
        "LOOKS", "GROUP_LOOKS", "FURTHER_LOOKS", "CONCAVE", "GROWS", "STREAM_LOOKS", "CONFIDENCE", "P95_NEEDS",
    )  # fmt: skip
    expect(TABLE, "looks and levels", rounded({name: getattr(rule, name) for name in names}))
