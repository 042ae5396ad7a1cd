"""Rows of timing gates: what the server's metrics and other load make of a verdict, and each field of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from annie_eval.profile.types import Verdict
from annie_eval.timing import TimingResult
from annie_eval.timing.confirm import GateEstimate, Pairs, against, confirm_gate, error_row
from annie_eval.timing.measurement import Measurement
from annie_eval.timing.prompts import Capabilities
from annie_eval.timing.server_metrics import ServerMetrics
from annie_eval.timing.verdict import Estimate
from tests.unit.timing.conftest import plan

EVERYTHING = Capabilities("m", token_prompts=True, fixed_length=True, metrics=True)
PLAN = plan("http://x/v1")
ONE = Measurement("short", 0, prompt_tokens=70, ttft_ms=90.0)
KNOWN = replace(ONE, server_metrics=ServerMetrics(2))
"""Its doubts stay as they are: two requests finished."""


def judged(pairs: Pairs) -> GateEstimate:
    """PASS if no value is over 100, FAIL if all are."""
    values = [value for _, value in pairs]
    estimate = Estimate(values[0], min(values), max(values), len(values))
    return GateEstimate(estimate.against(100.0, at_most=True), estimate, ("judged",), 0.5)


@pytest.mark.parametrize(
    ("counts", "values", "verdict", "said"),
    [
        # unknown to the server, confirmed, doubted; the client's number and the server's
        pytest.param((20, 0, 0), (90, 150), "PASS", "", id="no metrics"),
        pytest.param((0, 20, 0), (90, 150), "PASS", "the server confirms 20 of 20", id="confirmed"),
        pytest.param((5, 15, 0), (150, 90), "FAIL", "the server confirms 15 of 20", id="a confirmed miss"),
        pytest.param(
            (0, 19, 1), (90, 150), "INCONCLUSIVE",
            "the server confirms 19 of 20. first doubt: a. PASS by the client alone, INCONCLUSIVE by the server's"
            " metrics",
            id="one doubt that the verdict hangs on",
        ),
        pytest.param(
            (0, 9, 11), (90, 95), "PASS", "the server confirms 9 of 20. first doubt: a",
            id="doubts that change no pass",
        ),
        pytest.param(
            (0, 9, 11), (90, None), "PASS", "the server confirms 9 of 20. first doubt: a",
            id="doubts without a number",
        ),
        pytest.param(
            (3, 7, 10), (150, 160), "FAIL", "the server confirms 7 of 20. first doubt: a", id="half of a miss"
        ),
        pytest.param(
            (9, 0, 11), (150, 160), "INCONCLUSIVE",
            "the server confirms 0 of 20. first doubt: a. FAIL by the client alone, FAIL by the server's metrics",
            id="most of a miss",
        ),
        pytest.param(
            (0, 0, 20), (150, 90), "INCONCLUSIVE",
            "the server confirms 0 of 20. first doubt: a. FAIL by the client alone, PASS by the server's metrics",
            id="a miss of the client alone",
        ),
    ],
)  # fmt: skip
def test_a_verdict_needs_the_numbers_of_the_client_and_those_of_the_server(
    counts: tuple[int, int, int], values: tuple[float, float | None], verdict: Verdict, said: str
) -> None:
    unknown, confirmed, doubted = counts
    made = [replace(ONE, doubts=("nobody counted",)) for _ in range(unknown)]
    made += [replace(KNOWN) for _ in range(confirmed)]
    made += [replace(KNOWN, doubts=(each, "later")) for each in "abcdefghijklmnopqrst"[:doubted]]
    client, server = values
    found = confirm_gate("decode_flat", PLAN, EVERYTHING, [(s, client) for s in made], judged, lambda _: server)
    assert (found.verdict, found.detail) == (verdict, ". ".join(filter(None, ("judged", said))))


@pytest.mark.parametrize("verdict", ["INCONCLUSIVE", "ERROR"])
def test_doubts_decide_nothing_that_is_open_or_an_error(verdict: Verdict) -> None:
    def judge(pairs: Pairs) -> GateEstimate:
        return GateEstimate("PASS" if pairs[0][1] == 1.0 else verdict, None)

    pairs = [(replace(KNOWN, doubts=("x",)), 90.0)] * 2
    found = confirm_gate("decode_flat", PLAN, EVERYTHING, pairs, judge, lambda _: 1.0)
    assert (found.verdict, found.detail) == (verdict, "the server confirms 0 of 2. first doubt: x")


@pytest.mark.parametrize(
    ("n", "busy", "value", "verdict"),
    [
        (40, 0, 150.0, "FAIL"),
        (40, 4, 150.0, "FAIL"),
        (40, 5, 150.0, "INCONCLUSIVE"),
        (20, 2, 150.0, "FAIL"),
        (20, 3, 150.0, "INCONCLUSIVE"),
        (20, 20, 90.0, "PASS"),
    ],
)
def test_a_miss_with_more_than_a_tenth_under_load_of_others_is_open(
    n: int, busy: int, value: float, verdict: Verdict
) -> None:
    pairs = [(replace(ONE, busy=int(i < busy)), value) for i in range(n)]
    found = confirm_gate("decode_flat", PLAN, EVERYTHING, pairs, judged, lambda _: None)
    said = f"judged. {busy} measured under load of others" if busy else "judged"
    assert (found.verdict, found.detail) == (verdict, said)


def outside(us: float, lengths: Sequence[int]) -> Pairs:
    """A client that waits so many microseconds a prompt token longer than the server says."""
    return [
        (replace(ONE, prompt_tokens=n, ttft_ms=100 + n * us / 1e3, server_metrics=ServerMetrics(1, ttft_ms=100.0)), 1)
        for n in lengths * 6
    ]


@pytest.mark.parametrize(
    ("us", "lengths", "said"),
    [
        (1.0, (100, 200, 490), ""),  # 0.49 ms
        (1.0, (100, 200, 550), "1.00 us a prompt token, 0.6 ms at 550 tokens"),
        (5.0, (100, 200, 250), ""),  # at most 2 us a token count: 0.5 ms
        (5.0, (100, 200, 251), "2.00 us a prompt token, 0.5 ms at 251 tokens"),
        (0.0, (100, 200, 4000), ""),
    ],
)
def test_work_outside_of_the_server_s_stamps_is_said_beyond_half_a_millisecond(
    us: float, lengths: Sequence[int], said: str
) -> None:
    pairs = outside(us, lengths)
    found = confirm_gate("decode_flat", PLAN, EVERYTHING, pairs, judged, lambda _: None)
    if said:
        each, _, longest = said.partition(", ")
        said = f". {each} pass outside the server's own stamps, as in its detokeniser: {longest}"
    assert found.detail == f"judged. the server confirms 18 of 18{said}"


def test_a_doubt_that_is_the_growth_with_the_prompt_is_none() -> None:
    pairs = [(replace(s, doubts=("TTFT",)), value) for s, value in outside(1.0, (1000, 8000, 16000))]
    found = confirm_gate("decode_flat", PLAN, EVERYTHING, pairs, judged, lambda _: None)
    assert found.detail == (
        "judged. the server confirms 18 of 18. 1.00 us a prompt token pass outside the server's own stamps, as in its"
        " detokeniser: 16.0 ms at 16000 tokens"
    )


def test_every_field_of_a_row() -> None:
    pairs = [(ONE, 90.0), (ONE, 95.0), (ONE, 85.0)]
    points = ((512.0, 1.0, 0.9, 1.1, 3.0),)
    poor = Capabilities("m", token_prompts=True, fixed_length=False, metrics=False)
    noted = replace(PLAN, notes=("no roofline",))
    found = confirm_gate("ttft_warm", noted, poor, pairs, judged, lambda _: None, points, ("one", "two"))
    assert found == TimingResult(
        name="ttft_warm",
        verdict="PASS",
        median=90.0,
        interval=(85.0, 95.0),
        n=3,
        limit=1.25,
        unit="x",
        roofline=0.5,
        detail="judged. one. two. not checked: the server's own metrics (no vLLM /metrics); fixed answer lengths (no"
        " ignore_eos); no roofline",
        hardware="dgx-spark",
        points=points,
    )


def test_a_row_without_an_estimate_has_no_number() -> None:
    found = confirm_gate(
        "decode", PLAN, EVERYTHING, [(ONE, 9.0)], lambda _: GateEstimate("ERROR", None), lambda _: None
    )
    assert found == TimingResult("decode", "ERROR", None, None, 1, 25, "tok/s", None, "", "dgx-spark")


@pytest.mark.parametrize(
    ("limits", "value", "verdict", "said"),
    [
        ({}, 90.0, "INCONCLUSIVE", "no limit warm_slope_us_per_token, warm_ratio"),
        ({"warm_ratio": 1.0}, 150.0, "INCONCLUSIVE", "no limit warm_slope_us_per_token"),
        ({"warm_ratio": 1.0, "warm_slope_us_per_token": 1.0}, 150.0, "FAIL", ""),
    ],
)
def test_a_row_that_lacks_a_limit_is_open(limits: dict[str, float], value: float, verdict: Verdict, said: str) -> None:
    limited = replace(PLAN, limits=limits)
    found = confirm_gate("ttft_warm", limited, EVERYTHING, [(ONE, value)], judged, lambda _: None)
    assert (found.verdict, found.detail) == (verdict, ". ".join(filter(None, ("judged", said))))
    assert found.limit == limits.get("warm_ratio")
    broken = confirm_gate(
        "ttft_warm", limited, EVERYTHING, [(ONE, value)], lambda _: GateEstimate("ERROR", None), lambda _: None
    )
    assert (broken.verdict, broken.detail) == ("ERROR", said)


ALIKE = [90.0] * 60 + [91.0] * 60
"""Two levels: the rank of a sample is that of the one before, but once."""


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("ttft_short", ALIKE, True),
        ("decode", ALIKE, True),
        ("ttft_cold", ALIKE, False),
        ("goodput", ALIKE, False),
        ("ttft_short", [90.0, 91.0] * 60, False),
    ],
)
def test_samples_in_order_that_are_alike_are_said_where_the_interval_is_one_of_them(
    name: str, values: list[float], said: bool
) -> None:
    pairs = [(ONE, value) for value in values]
    found = confirm_gate(name, PLAN, EVERYTHING, pairs, judged, lambda _: None)
    assert ("samples that follow each other are alike, so that the interval is" in found.detail) == said


def test_an_interval_that_is_a_sixth_wider_is_said() -> None:
    """Six changes of level in fourteen samples: an autocorrelation of 1 - 2 * 6 / 14 = 0.14, where 1.64 / sqrt(238) is
    0.11. With its bias it is 0.149, and sqrt(1.149 / 0.851) is 1.16.
    """
    levels = [level % 2 for _ in range(17) for level, run in enumerate((2, 2, 3, 3, 2, 2)) for _ in range(run)]
    pairs = [(ONE, 90.0 + level) for level in levels]
    found = confirm_gate("ttft_short", PLAN, EVERYTHING, pairs, judged, lambda _: None)
    wider = "samples that follow each other are alike, so that the interval is 1.2 times as wide"
    assert found.detail == f"judged. {wider}"


def test_a_row_without_a_measurement() -> None:
    said: dict[str, Any] = {"median": None, "interval": None, "roofline": None, "points": (), "hardware": "dgx-spark"}
    assert error_row("decode", PLAN, "it broke") == TimingResult(
        name="decode", verdict="ERROR", n=0, limit=25, unit="tok/s", detail="it broke", **said
    )
    assert error_row("ttft_warm", PLAN, "no answer", 7, "INCONCLUSIVE") == TimingResult(
        name="ttft_warm", verdict="INCONCLUSIVE", n=7, limit=1.25, unit="x", detail="no answer", **said
    )
    assert error_row("decode", replace(PLAN, limits={}), "it broke").limit is None


@pytest.mark.parametrize(
    ("name", "limit", "unit"),
    [
        ("ttft_short", 120, "ms"),
        ("ttft_cold", 240, "ms/1k tokens"),
        ("ttft_warm", 1.25, "x"),
        ("decode", 25, "tok/s"),
        ("decode_flat", 0.9, "x"),
        ("stalls", 60, "ms"),
        ("tool_call", 2500, "ms"),
        ("goodput", 0.9, "share"),
    ],
)
def test_the_limit_and_the_unit_that_a_row_shows(name: str, limit: float, unit: str) -> None:
    found = error_row(name, PLAN, "")
    assert (found.limit, found.unit) == (limit, unit)


@pytest.mark.parametrize(
    ("limit", "at_most", "verdict"),
    [
        ("ttft_short_ms", True, "PASS"),  # 120
        ("ttft_short_ms", False, "FAIL"),
        ("stalled_share", True, "FAIL"),  # 0.1
        ("stalled_share", False, "PASS"),
        ("unknown", True, "INCONCLUSIVE"),
    ],
)
def test_an_estimate_is_held_against_a_limit_of_the_plan(limit: str, at_most: bool, verdict: Verdict) -> None:
    assert against(Estimate(90.0, 80.0, 100.0, 15), PLAN, limit, at_most=at_most) == verdict
