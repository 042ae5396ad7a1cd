"""Timing rows from synthetic measurements: impossible numbers, missing calls, the table and the plots."""

from __future__ import annotations

import io
import itertools
import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.cli.main import main
from annie_eval.cli.perf import Bar, render
from annie_eval.report.charts import Series, chart, rows_chart
from annie_eval.timing import Plan, TimingResult
from annie_eval.timing import verdict as verdict_rule
from annie_eval.timing.gates import evaluate
from annie_eval.timing.measurement import Measurement, impossible, pair_rate
from annie_eval.timing.prompts import Capabilities, Prepared
from annie_eval.timing.roofline import Bounds, Model
from annie_eval.timing.server_metrics import ServerMetrics

Make = Callable[..., Plan]
EVERYTHING = Capabilities("m", token_prompts=True, fixed_length=True, metrics=True)
GOOD = Measurement(
    "short", 0, prompt_tokens=70, completion_tokens=64, cached_tokens=0, finish_reason="length", ttft_ms=90.0,
    content_ms=90.0, last_ms=1980.0, rate=33.0, counting="usage", gaps_ms=(30.0,) * 63,
)  # fmt: skip
LIMITS = {"ttft_slope_ms_per_1k": 240.0, "ttft_quadratic_share": 0.25}
BOUNDS = Bounds(Model(5.93e9, 6.92e9, 32768.0, 32768.0, "fp4", 248_320), 273e9, 500e12)


def spread(measurement: Measurement, n: int = 15, **fields: float) -> list[Measurement]:
    """n measurements with a little noise on the named fields."""
    order = [i * 7 % n for i in range(n)]  # neighbours must not be alike
    return [replace(measurement, **{name: value * (1 + i / 1000) for name, value in fields.items()}) for i in order]  # type: ignore[arg-type]


def row(name: str, measurements: Sequence[Measurement], plan: Plan) -> TimingResult:
    return evaluate(name, measurements, plan, EVERYTHING)


def test_a_row_shows_the_share_of_the_roofline(make_plan: Make) -> None:
    plan = make_plan("http://x/v1", "decode", bounds=BOUNDS)
    found = row("decode", spread(GOOD, rate=33.0), plan)
    assert found.verdict == "PASS"
    assert found.roofline == pytest.approx(33 / 46, rel=0.02)
    ttft = row("ttft_short", spread(GOOD, ttft_ms=90.0), plan)
    assert ttft.roofline == pytest.approx(22 / 90, rel=0.05)


def test_a_rate_beyond_the_roofline_is_an_error(make_plan: Make) -> None:
    plan = make_plan("http://x/v1", "decode", bounds=BOUNDS)
    found = row("decode", spread(GOOD, rate=60.0), plan)
    assert found.verdict == "ERROR"
    assert found.roofline == pytest.approx(60 / 46, rel=0.02)
    assert "beats the physical ceiling" in found.detail


def test_speculative_decoding_lifts_the_ceiling(make_plan: Make) -> None:
    plan = make_plan("http://x/v1", "decode", bounds=BOUNDS)
    fast = replace(GOOD, server_metrics=ServerMetrics(1, prompt_tokens=70, tokens_per_step=2.0))
    assert row("decode", spread(fast, rate=60.0), plan).verdict == "PASS"


def test_tokens_that_came_together_may_be_of_one_step_where_nobody_counts_drafts(make_plan: Make) -> None:
    plan = make_plan("http://x/v1", "decode", bounds=BOUNDS)
    pairs = replace(GOOD, gaps_ms=(60.0,) * 32)
    assert row("decode", spread(pairs, rate=60.0), plan).verdict == "PASS"
    told = replace(pairs, server_metrics=ServerMetrics(1, prompt_tokens=70))
    assert row("decode", spread(told, rate=60.0), plan).verdict == "ERROR", "these counters show no drafts"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ttft_ms": 10.0}, "beats the physical floor"),
        ({"prompt_tokens": 16384, "ttft_ms": 90.0}, "TTFT 90.0 ms for 16384 tokens beats the physical floor of 4"),
        ({"cached_tokens": 64}, "64 of 70 prompt tokens of a cold prompt came out of the prefix cache"),
        ({"ttft_ms": None}, "brought no token"),
        ({"prompt_tokens": 40}, "a prompt of about 63 tokens counted as 40: the server truncates prompts"),
        ({"server_metrics": ServerMetrics(1, prompt_tokens=20)}, "usage says 70 prompt tokens, /metrics 20"),
        (
            {"cached_tokens": None, "server_metrics": ServerMetrics(1, cached_tokens=48)},
            "48 of 70 prompt tokens of a cold prompt",
        ),
    ],
)
def test_what_cannot_be_is_no_measurement(change: dict[str, Any], message: str) -> None:
    measurement = replace(GOOD, **change)
    assert message in (impossible(measurement, Prepared("/", {}, 63), BOUNDS) or "")


def test_a_chat_template_s_first_tokens_may_be_shared() -> None:
    assert impossible(replace(GOOD, cached_tokens=5), Prepared("/", {}), None) is None


def test_an_answer_without_a_call_counts_as_never(make_plan: Make) -> None:
    plan = make_plan("http://x/v1", "tool_call")
    called = replace(GOOD, source="tool", call_ms=900.0)
    some = spread(called, 15, call_ms=900.0)
    some[3] = some[9] = replace(called, call_ms=None)
    found = row("tool_call", some, plan)
    assert found.verdict == "PASS"
    assert "a complete call in 13 of 15 answers; the others count as 20 s" in found.detail
    most = [replace(called, call_ms=None)] * 15
    most[3] = most[9] = called
    assert row("tool_call", most, plan).verdict == "FAIL"
    none = row("tool_call", [replace(called, call_ms=None)] * 15, plan)
    assert (none.verdict, none.median) == ("INCONCLUSIVE", None)


def test_one_broken_request_makes_the_row_an_error(make_plan: Make) -> None:
    measurements = [*spread(GOOD, 14, ttft_ms=90.0), Measurement("short", 0, "HTTP status 500: boom")]
    found = row("ttft_short", measurements, make_plan("http://x/v1", "ttft_short"))
    assert (found.verdict, found.n) == ("ERROR", 15)
    assert "HTTP status 500: boom (1 of 15 requests)" in found.detail


def test_a_confirmed_miss_fails_and_a_few_doubts_do_not_save_it(make_plan: Make) -> None:
    slow = replace(GOOD, server_metrics=ServerMetrics(1, ttft_ms=149.0))
    measurements = spread(slow, ttft_ms=150.0)
    measurements[3] = replace(measurements[3], ttft_ms=170.0, doubts=("TTFT 170.0 ms, server 149.0 ms",))
    found = row("ttft_short", measurements, make_plan("http://x/v1", "ttft_short"))
    assert found.verdict == "FAIL"
    assert "the server confirms 14 of 15" in found.detail


@pytest.mark.parametrize(("doubted", "verdict"), [(0, "FAIL"), (7, "FAIL"), (8, "INCONCLUSIVE"), (15, "INCONCLUSIVE")])
def test_a_miss_that_the_server_doubts_in_most_samples_is_open(make_plan: Make, doubted: int, verdict: str) -> None:
    """Of 15 samples, though the server's own numbers miss the limit too."""
    slow = replace(GOOD, server_metrics=ServerMetrics(1, ttft_ms=149.0))
    measurements = spread(slow, ttft_ms=150.0)
    for i in [*range(0, 15, 2), *range(1, 15, 2)][:doubted]:  # in turn, so that neighbours are not alike
        late = measurements[i].ttft_ms + 20
        measurements[i] = replace(measurements[i], ttft_ms=late, doubts=(f"TTFT {late} ms, server 149.0 ms",))
    found = row("ttft_short", measurements, make_plan("http://x/v1", "ttft_short"))
    assert found.verdict == verdict
    assert ("FAIL by the client alone, FAIL by the server's metrics" in found.detail) == (verdict != "FAIL")


def test_samples_that_are_alike_say_how_much_wider_the_interval_is(make_plan: Make) -> None:
    rising = [replace(GOOD, ttft_ms=80.0 + i) for i in range(21)]
    found = row("ttft_short", rising, make_plan("http://x/v1", "ttft_short"))
    wider = verdict_rule.widening([80.0 + i for i in range(21)])
    assert f"the interval is {wider:.1f} times as wide" in found.detail
    assert "times as wide" not in row("ttft_short", spread(GOOD, ttft_ms=90.0), make_plan("http://x/v1")).detail


def test_a_client_faster_than_its_server_does_not_pass(make_plan: Make) -> None:
    """A stamp on something that is no token: the server's own figure decides."""
    early = replace(GOOD, server_metrics=ServerMetrics(1, ttft_ms=150.0), doubts=("TTFT 5.0 ms, server 150.0 ms",))
    found = row("ttft_short", spread(early, ttft_ms=5.0), make_plan("http://x/v1", "ttft_short"))
    assert found.verdict == "INCONCLUSIVE"
    assert "PASS by the client alone, FAIL by the server's metrics" in found.detail


def test_decode_that_sinks_with_context_fails(make_plan: Make) -> None:
    measurements = [
        measurement
        for context, rate in ((512, 33.0), (1024, 30.0), (2048, 24.0))
        for measurement in spread(replace(GOOD, source="cold", context=context, prompt_tokens=context), 11, rate=rate)
    ]
    found = row("decode_flat", measurements, make_plan("http://x/v1", "decode_flat"))
    assert found.verdict == "FAIL"
    assert [point[0] for point in found.points] == [512, 1024, 2048]


@pytest.mark.parametrize(("share", "verdict"), [(0.99, "PASS"), (1.0, "PASS"), (1.01, "ERROR"), (1.5, "ERROR")])
def test_decode_over_contexts_is_held_to_the_ceiling_of_the_longest(
    make_plan: Make, share: float, verdict: str
) -> None:
    """A longer context has a lower ceiling: its KV cache is read, too."""
    ceiling = BOUNDS.decode_ceiling(16384) or 0.0
    assert 1.05 * ceiling < (BOUNDS.decode_ceiling(512) or 0.0)
    measurements = [
        replace(one, rate=rate)
        for context in (512, 4096, 16384)
        for one in [replace(GOOD, source="cold", context=context, prompt_tokens=context)]
        for rate in [ceiling * share] * 11
    ]
    found = row("decode_flat", measurements, make_plan("http://x/v1", "decode_flat", bounds=BOUNDS))
    assert (found.verdict, found.roofline) == (verdict, pytest.approx(share))


def test_a_rate_at_the_roofline_is_none_beyond_it(make_plan: Make) -> None:
    ceiling = BOUNDS.decode_ceiling(70) or 0.0
    found = row("decode", [replace(GOOD, rate=ceiling)] * 15, make_plan("http://x/v1", "decode", bounds=BOUNDS))
    assert (found.verdict, found.roofline) == ("PASS", 1.0)


def test_decode_over_contexts_shows_the_share_at_the_longest(make_plan: Make) -> None:
    """Whose ceiling is that of its own prompts."""
    measurements = [
        replace(GOOD, source="cold", context=context, prompt_tokens=context, rate=rate)
        for _ in range(11)
        for context, rate in ((512, 60.0), (4096, 40.0), (16384, 39.0))
    ]
    limits = {"decode_flat_ratio": 0.6}
    found = row("decode_flat", measurements, make_plan("http://x/v1", "decode_flat", bounds=BOUNDS, limits=limits))
    assert (found.verdict, found.median) == ("PASS", 39 / 60)
    assert found.roofline == pytest.approx(39 / (BOUNDS.decode_ceiling(16384) or 0.0))
    assert found.detail == "decode rate at 16384 tokens over that at 512. tokens counted by continuous usage"


@pytest.mark.parametrize(
    ("rated", "verdict", "detail"),
    [
        (20, "PASS", "decode rate at 1024 tokens over that at 512. tokens counted by continuous usage"),
        (10, "PASS", "decode rate at 1024 tokens over that at 512. tokens counted by continuous usage"),
        (8, "INCONCLUSIVE", "12 of 20 answers under 16 tokens or in one piece"),
        (0, "INCONCLUSIVE", "20 of 20 answers under 16 tokens or in one piece"),
    ],
)
def test_decode_over_contexts_needs_a_rate_of_every_second_answer(
    rated: int, verdict: str, detail: str, make_plan: Make
) -> None:
    one = replace(GOOD, source="cold")
    made = [
        replace(one, context=512 << i % 2, prompt_tokens=512 << i % 2, completion_tokens=64 if i < rated else 15)
        for i in range(20)
    ]
    found = row("decode_flat", made, make_plan("http://x/v1", "decode_flat"))
    assert (found.verdict, found.detail, found.n) == (verdict, detail, rated if verdict == "PASS" else 20)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"content_ms": 91.0}, ""),
        ({"content_ms": 91.125}, ". the first spoken text comes 1 ms after the first token (reasoning first)"),
        ({"content_ms": 390.0}, ". the first spoken text comes 300 ms after the first token (reasoning first)"),
        ({"content_ms": None}, ""),
        ({"role_ms": 89.0}, ""),
        ({"role_ms": 88.875}, ". a role chunk without a token comes 1 ms before the first token"),
        ({"role_ms": 10.0}, ". a role chunk without a token comes 80 ms before the first token"),
        ({"sentence_ms": 400.0}, ". TTFS 400 ms: the first spoken sentence is complete"),
    ],
)
def test_what_a_short_question_says_of_its_answers(fields: dict[str, Any], said: str, make_plan: Make) -> None:
    found = row("ttft_short", [replace(GOOD, **fields)] * 15, make_plan("http://x/v1", "ttft_short"))
    assert found.detail == f"cold prompts of 70 tokens, all 15 proven cold, cached_tokens <= 0{said}"


def test_half_a_millisecond_for_a_thousand_tokens_is_growth(make_plan: Make) -> None:
    """A small model on a large card: its share of the roofline is shown, too."""
    made = cold(lambda x: 20 + 0.0005 * x, 1e-5, 11)
    found = row("ttft_cold", made, make_plan("http://x/v1", "ttft_cold", limits=LIMITS, bounds=BOUNDS))
    assert (found.verdict, found.median) == ("PASS", pytest.approx(0.5, rel=0.01))
    assert "TTFT is linear in the prompt: 0.5 ms per 1000 tokens" in found.detail
    assert found.roofline == pytest.approx(BOUNDS.slope_floor_ms() / 0.5, rel=0.01)


def cold(curve: Callable[[int], float], noise: float, n: int) -> list[Measurement]:
    """n cold measurements at each of five lengths, in turn, with lognormal noise."""
    rng = random.Random(1)
    lengths = (512, 1024, 2048, 4096, 8192)
    one = replace(GOOD, source="cold", cached_tokens=0)
    return [
        replace(one, context=x, prompt_tokens=x, ttft_ms=curve(x) * rng.lognormvariate(0, noise))
        for _ in range(n)
        for x in lengths
    ]


def truncated(most: int) -> Callable[[int], float]:
    """TTFT of a server that reads so many tokens of a prompt and no more."""
    return lambda x: 17 + 0.06 * min(x, most)


@pytest.mark.parametrize(
    ("curve", "noise", "n", "verdict", "message"),
    [
        (truncated(9000), 0.02, 11, "PASS", "TTFT is linear in the prompt"),
        (truncated(4096), 0.02, 11, "ERROR", "TTFT stops growing with the prompt"),
        (truncated(1500), 0.02, 11, "ERROR", "TTFT stops growing with the prompt"),
        (truncated(6000), 0.25, 11, "INCONCLUSIVE", "TTFT is not shown to be linear"),
        (truncated(9000), 0.25, 11, "INCONCLUSIVE", "TTFT is not shown to be linear"),
        (truncated(9000), 0.25, 241, "PASS", "TTFT is linear in the prompt"),
        (lambda _: 20.0, 0.01, 11, "PASS", "TTFT does not grow with the prompt"),
    ],
    ids=["linear", "truncated", "truncated-early", "bent-noisy", "linear-noisy", "linear-noisy-many", "flat"],
)  # fmt: skip
def test_linear_is_what_neither_bends_up_nor_down(
    make_plan: Make, curve: Callable[[int], float], noise: float, n: int, verdict: str, message: str
) -> None:
    found = row("ttft_cold", cold(curve, noise, n), make_plan("http://x/v1", "ttft_cold", limits=LIMITS))
    assert (found.verdict, message in found.detail) == (verdict, True), found.detail


def test_a_bend_that_the_upper_limit_allows_is_not_yet_linear() -> None:
    groups = {float(x): [17 + 0.06 * min(x, 7000)] * 10 for x in (1024, 2048, 4096, 8192)}
    rng = random.Random(2)
    noisy = {x: [value * rng.lognormvariate(0, 0.1) for value in values] for x, values in groups.items()}
    found = verdict_rule.shape_of(noisy, 0.25)
    assert found.excess.high < 0.25
    assert found.excess.low < verdict_rule.CONCAVE < found.excess.high
    assert found.verdict == "INCONCLUSIVE"


def test_shorter_prompts_on_a_floor_leave_the_rest_linear(make_plan: Make) -> None:
    found = row("ttft_cold", cold(lambda x: max(78, 0.05 * x), 0.02, 61), make_plan("http://x/v1", limits=LIMITS))
    start = "TTFT is linear in the prompt from 2048 tokens on, and shorter ones lie on a floor: 5"
    assert (found.verdict, found.detail[: len(start)]) == ("PASS", start)
    assert "over the three longest alone" not in found.detail
    assert found.median == pytest.approx(50, rel=0.02)


@pytest.mark.parametrize(("lengths", "said"), [(3, False), (4, True), (5, True)])
def test_the_three_longest_alone_are_shown_where_there_are_more(lengths: int, said: bool, make_plan: Make) -> None:
    made = [s for s in cold(lambda x: 20 + 0.05 * x, 0.3, 11) if s.context < 512 << lengths]
    found = row("ttft_cold", made, make_plan("http://x/v1", limits=LIMITS))
    assert (found.verdict, "over the three longest alone" in found.detail) == ("INCONCLUSIVE", said)


@pytest.mark.parametrize(("unproven", "verdict"), [(0, "PASS"), (1, "INCONCLUSIVE"), (55, "INCONCLUSIVE")])
def test_a_flat_curve_passes_if_every_prompt_is_proven_cold(unproven: int, verdict: str, make_plan: Make) -> None:
    made = cold(lambda _: 20.0, 0.0, 11)
    made[:unproven] = [replace(s, cached_tokens=None) for s in made[:unproven]]
    found = row("ttft_cold", made, make_plan("http://x/v1", limits=LIMITS, bounds=BOUNDS))
    assert (found.verdict, found.median, found.roofline) == (verdict, 0.0, None)


@pytest.mark.parametrize(
    ("cached", "note"),
    [
        ((500, 500, 500), "at most 12 tokens of a prompt computed again"),
        ((500, 0, 490), "at most 512 tokens of a prompt computed again"),
        ((500, None, 490), "at most 22 tokens of a prompt computed again"),
        ((0, None, 0), "0 tokens came out of the prefix cache: prefix caching is off"),
        ((None, None, None), "not proven warm: the server reports no cached_tokens"),
    ],
)
def test_what_came_out_of_the_prefix_cache(cached: tuple[int | None, ...], note: str, make_plan: Make) -> None:
    """Of prompts of 512 tokens; for those of 1024 the server does not say."""
    one = replace(GOOD, source="warm", context=512, prompt_tokens=512)
    warm = [replace(one, cached_tokens=each) for each in cached * 4]
    warm += [replace(one, context=1024, prompt_tokens=1024, cached_tokens=None)] * 12
    assert f". {note}" in row("ttft_warm", warm, make_plan("http://x/v1")).detail


@pytest.mark.parametrize(("n", "rank"), [(2, 2), (19, 19), (20, 19), (21, 20), (60, 57), (101, 96), (200, 190)])
def test_the_p95_of_an_answer_s_gaps_is_the_nearest_rank(n: int, rank: int, make_plan: Make) -> None:
    gaps = tuple(float(n - i) for i in range(n))
    found = row("stalls", [replace(GOOD, gaps_ms=gaps)] * 15, make_plan("http://x/v1"))
    assert found.median == rank


@pytest.mark.parametrize(("server", "verdict"), [(1600.0, "PASS"), (1700.0, "INCONCLUSIVE")])
def test_a_doubted_tool_call_counts_from_the_server_s_first_token(
    server: float, verdict: str, make_plan: Make
) -> None:
    """Of 2500 ms: 810 ms pass between the first token and the call."""
    called = replace(
        GOOD, source="tool", call_ms=900.0, server_metrics=ServerMetrics(1, ttft_ms=server), doubts=("x",)
    )
    assert row("tool_call", [called] * 15, make_plan("http://x/v1")).verdict == verdict


ONE_PER_CHUNK = "one token per chunk, confirmed by usage"
ASKED = "one token per chunk, and max_tokens in total: the server reports no usage"
PAIR = "several tokens a chunk, uncounted: those of the first from answers of two lengths"
SHARE = "several tokens a chunk, uncounted: those of the first chunk estimated by its share of the text"


@pytest.mark.parametrize(
    ("counting", "note"),
    [
        (("usage",), "tokens counted by continuous usage"),
        (("chunks",), ONE_PER_CHUNK),
        (("usage", "chunks"), ONE_PER_CHUNK),
        (("asked",), ASKED),
        (("usage", "asked"), ASKED),
        (("usage", "chunks", "asked"), ASKED),
        (("pair",), PAIR),
        (("usage", "share", "pair"), PAIR),
        (("share",), SHARE),
        (("usage", "share"), SHARE),
    ],
)
def test_how_tokens_were_counted(counting: tuple[Any, ...], note: str, make_plan: Make) -> None:
    made = [replace(GOOD, counting=each) for each in counting * 15]
    assert row("decode", made, make_plan("http://x/v1")).detail == f"answers of 64 tokens. {note}"


def test_a_prompt_of_unknown_length_has_the_ceiling_of_the_weights(make_plan: Make) -> None:
    found = row("decode", [replace(GOOD, prompt_tokens=None)] * 15, make_plan("http://x/v1", bounds=BOUNDS))
    assert found.roofline == pytest.approx(33 / (273e9 / 5.93e9), rel=1e-12)


def test_shots_survive_the_file() -> None:
    measurement = replace(GOOD, server_metrics=ServerMetrics(1, ttft_ms=89.0), doubts=("x",))
    assert Measurement.from_dict(measurement.as_dict()) == measurement


@pytest.mark.parametrize(("longest", "verdict"), [(70.0, "PASS"), (300.0, "FAIL")])
def test_a_warm_ttft_may_grow_with_the_prompt_by_its_limit_alone(
    longest: float, verdict: str, make_plan: Make
) -> None:
    """The longest prompt over the shortest, with a slope that is far below its own limit."""
    ends = ((512, 60.0), (1024, 60.0), (8192, longest))
    warm = [
        one
        for context, ttft in ends
        for one in spread(replace(GOOD, source="warm", context=context, prompt_tokens=context), ttft_ms=ttft)
    ]
    plan = make_plan("http://x/v1", "ttft_warm", limits={"warm_slope_us_per_token": 1e6, "warm_ratio": 2.0})
    found = row("ttft_warm", warm, plan)
    assert (found.verdict, round(found.median or 0)) == (verdict, round(longest / 60))


def test_the_table_names_gate_verdict_limit_and_detail(make_plan: Make) -> None:
    text = render([row("decode", spread(GOOD, rate=33.0), make_plan("http://x/v1", "decode"))])
    assert text.splitlines()[0].split() == ["gate", "verdict", "measured", "interval", "limit", "n", "of", "roofline"]
    assert "decode  PASS     33.23 tok/s" in text
    assert "limits: dgx-spark" in text
    assert "decode: answers of 64 tokens" in text


def test_plots_are_written_for_rows_with_points(tmp_path: Path) -> None:
    points = ((512.0, 60.0, 58.0, 62.0, 11.0), (1024.0, 110.0, 108.0, 111.0, 11.0))
    rows = [
        TimingResult(name, "PASS", 1.0, None, 22, 1.0, "x", None, "", "cpu", points)
        for name in ("ttft_cold", "ttft_warm", "decode_flat")
    ]
    written = rows_chart(rows, tmp_path)
    assert [path.name for path in written] == ["ttft.svg", "decode.svg"]
    for path in written:
        root = ElementTree.fromstring(path.read_text())
        assert len(root.findall(".//{http://www.w3.org/2000/svg}polyline")) == (2 if path.name == "ttft.svg" else 1)
    assert rows_chart([], tmp_path) == []


def test_a_chart_needs_nothing_to_be_drawn() -> None:
    for text in (chart("<a & b>", "x", "y", []), chart("t", "x", "y", [Series("one", [(1.0, 0.0)])])):
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"


def test_the_bar_is_quiet_off_a_terminal() -> None:
    stream = io.StringIO()
    bar = Bar(stream)
    bar({"event": "progress", "rounds": 3, "next_look": 15, "pending": ["decode"]})
    bar({"event": "row", "verdict": "PASS", "name": "decode"})
    bar.close()
    assert stream.getvalue() == "PASS         decode\n"


def test_the_bar_is_one_line_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    Bar(stream)({"event": "progress", "rounds": 3, "next_look": 15, "pending": ["decode"]})
    assert "[####................] 3/15 samples: decode" in stream.getvalue()
    assert "\n" not in stream.getvalue()


def test_bad_usage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["perf", "--base-url", "http://127.0.0.1:9", "--hardware", "tpu"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "--hardware tpu: unknown" in message


def test_the_command_needs_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["perf"])
    assert stop.value.code == 2


def test_the_command_measures_and_leaves_its_results(
    truth: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = truth(ttft_ms=10, itl_ms=1)
    status = main(
        ["perf", "--base-url", url, "-k", "ttft_short", "--hardware", "dgx-spark", "--run-dir", str(tmp_path)]
    )
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "ttft_short  PASS" in printed
    assert (tmp_path / "timing.jsonl").stat().st_size > 0
    assert (tmp_path / "timings.json").exists()


def burst(
    tokens: int, first: int, *, stall_ms: float = 0.0, stall_at: int = 0, share: float | None = None
) -> Measurement:
    """An answer at 30 ms a token in chunks of `first`; its first chunk holds `share` of the text, in tokens."""
    ends = [*range(first, tokens, first), tokens]
    at = [(end - first) * 30.0 + (stall_ms if end > stall_at else 0.0) for end in ends]
    gaps = tuple(b - a for a, b in itertools.pairwise(at))
    rate = (tokens - (first if share is None else share)) / at[-1] * 1e3
    return replace(GOOD, completion_tokens=tokens, last_ms=90.0 + at[-1], rate=rate, counting="unknown", gaps_ms=gaps)


def test_two_answers_tell_what_the_first_chunk_held() -> None:
    assert pair_rate(burst(64, 8, share=6), burst(32, 8)) == pytest.approx(1e3 / 30)


@pytest.mark.parametrize("at", [12, 40], ids=["in both", "in the longer"])
def test_a_stall_counts_in_whichever_half_it_is(at: int) -> None:
    found = pair_rate(burst(64, 8, stall_ms=400, stall_at=at), burst(32, 8, stall_ms=400, stall_at=at))
    assert found == pytest.approx(56 / 2.08)


def test_a_server_that_ignores_the_length_has_no_pair() -> None:
    assert pair_rate(burst(64, 8), replace(burst(64, 8), completion_tokens=32)) is None
