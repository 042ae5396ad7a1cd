"""The timing process against servers of known timing, end to end."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.timing import Plan, TimingResult, measure, run
from annie_eval.timing.measure import holdable, long_enough
from annie_eval.timing.prompts import Capabilities

Start = Callable[..., str]
Make = Callable[..., Plan]
FAST = {"ttft_ms": 20, "itl_ms": 2}


def rows(plan: Plan) -> dict[str, TimingResult]:
    return {row.name: row for row in run(plan)}


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"early_role": True},
        {"burst": 8},
        {"burst": 8, "usage": "final"},
        {"burst": 8, "usage": "final", "first_now": True},
        {"burst": 8, "usage": "final", "tokens": 60},
        {"reasoning": 16},
        {"usage": "final"},
        {"usage": "none"},
        {"burst": 8, "usage": "none"},
        {"strict": True, "usage": "final"},
    ],
    ids=lambda how: "-".join(map(str, how)) or "plain",
)
def test_ttft_and_decode_rate_are_the_truth(truth: Start, make_plan: Make, how: dict[str, Any]) -> None:
    """Wider than what the benchmark shows (0.3 ms, 0.1 %): a test must hold on a crowded machine."""
    found = rows(make_plan(truth(ttft_ms=20, itl_ms=2, **how), "ttft_short", "decode"))
    assert (found["ttft_short"].verdict, found["decode"].verdict) == ("PASS", "PASS")
    assert found["ttft_short"].median == pytest.approx(20, abs=2.0)
    assert found["decode"].median == pytest.approx(500, rel=0.02)


def test_a_slow_server_fails(truth: Start, make_plan: Make) -> None:
    limits = {"ttft_short_ms": 30, "decode_tok_s": 250}
    found = rows(make_plan(truth(ttft_ms=34, itl_ms=5), "ttft_short", "decode", limits=limits))
    assert (found["ttft_short"].verdict, found["decode"].verdict) == ("FAIL", "FAIL")
    assert found["decode"].median == pytest.approx(200, rel=0.02)


def test_a_prefix_cache_makes_warm_prompts_fast_and_cold_ones_not(truth: Start, make_plan: Make) -> None:
    url = truth(ttft_ms=10, itl_ms=1, cache=True, prefill_us=20)
    found = rows(make_plan(url, "ttft_cold", "ttft_warm", "decode_flat"))
    assert {row.verdict for row in found.values()} == {"PASS"}, [row.summary for row in found.values()]
    assert found["ttft_cold"].median == pytest.approx(20, rel=0.05), "ms per 1000 tokens"
    assert "proven cold" in found["ttft_cold"].detail
    assert found["ttft_warm"].median == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("tokenize", ["whole", ""], ids=["ids", "text"])
def test_a_tokeniser_is_no_part_of_a_prompt_s_shape_where_ids_are_known(
    truth: Start, make_plan: Make, tokenize: str
) -> None:
    url = truth(ttft_ms=10, itl_ms=1, cache=True, prefill_us=20, tokenize=tokenize, tokenize_us=20)
    found = rows(make_plan(url, "ttft_cold", "ttft_warm"))
    cold, warm = found["ttft_cold"], found["ttft_warm"]
    assert cold.median == pytest.approx(20 if tokenize else 40, rel=0.05), "ms per 1000 tokens"
    assert ("tokeniser reads first" in cold.detail) is ("tokeniser reads first" in warm.detail) is (not tokenize)
    assert warm.median is not None
    assert warm.median < 1.25 if tokenize else warm.median > 2


@pytest.mark.parametrize(
    "how",
    [{"tokenize": "same"}, {"tokenize": "deep"}, {"tokenize": "whole", "round_ids": 8}],
    ids=["same", "deep", "rounded"],
)
def test_ids_that_are_no_use_leave_prompts_text(truth: Start, make_plan: Make, how: dict[str, Any]) -> None:
    url = truth(ttft_ms=10, itl_ms=1, cache=True, prefill_us=20, strict=True, metrics=False, **how)
    row = rows(make_plan(url, "ttft_cold"))["ttft_cold"]
    assert (row.verdict, "tokeniser reads first" in row.detail) == ("PASS", True), row.detail


def test_without_a_prefix_cache_the_warm_gate_fails(truth: Start, make_plan: Make) -> None:
    row = rows(make_plan(truth(ttft_ms=5, itl_ms=1, prefill_us=20), "ttft_warm"))["ttft_warm"]
    assert row.verdict == "FAIL"
    assert "prefix caching is off" in row.detail


@pytest.mark.parametrize("strict", [False, True], ids=["salt", "no-salt"])
def test_a_repeated_run_is_cold_again(truth: Start, make_plan: Make, strict: bool) -> None:
    """Whatever an earlier run has put into the cache, and whether or not the server takes a cache_salt."""
    url = truth(ttft_ms=5, itl_ms=1, cache=True, prefill_us=500, strict=strict)
    first, second = (rows(make_plan(url, "ttft_short"))["ttft_short"] for _ in range(2))
    assert first.median is not None
    assert second.median == pytest.approx(first.median, rel=0.2)
    assert "proven cold" in second.detail


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"truncate": 700}, "a prompt of 1025 tokens counted as 700: the server truncates prompts"),
        ({"truncate": 700, "lie": True}, "usage says 1025 prompt tokens, /metrics 700"),
        ({"truncate": 700, "completions": False}, "the server truncates prompts"),
        (
            {"truncate": 700, "lie": True, "metrics": False, "prefill_us": 50},
            "TTFT stops growing with the prompt: the longest are truncated",
        ),
    ],
)
def test_a_truncated_prompt_is_an_error(truth: Start, make_plan: Make, how: dict[str, Any], message: str) -> None:
    row = rows(make_plan(truth(**FAST, **how), "ttft_cold"))["ttft_cold"]
    assert row.verdict == "ERROR"
    assert message.replace("1025", "") in row.detail.replace("1025", "").replace("2049", "")


def test_what_the_server_does_not_confirm_is_the_client_s(truth: Start, make_plan: Make) -> None:
    url = truth(ttft_ms=20, itl_ms=1, hidden_ms=20)
    row = rows(make_plan(url, "ttft_short", limits={"ttft_short_ms": 30}))["ttft_short"]
    assert row.verdict == "INCONCLUSIVE"
    assert "server 20.0 ms" in row.detail
    assert "FAIL by the client alone, PASS by the server's metrics" in row.detail


def test_a_miss_beside_the_traffic_of_others_is_not_the_server_s(truth: Start, make_plan: Make) -> None:
    row = rows(make_plan(truth(ttft_ms=40, itl_ms=1, others=1), "ttft_short", limits={"ttft_short_ms": 30}))[
        "ttft_short"
    ]
    assert row.verdict == "INCONCLUSIVE"
    assert "61 measured under load of others" in row.detail


def test_a_busy_server_is_waited_for(truth: Start, make_plan: Make) -> None:
    row = rows(make_plan(truth(**FAST, busy_ms=700), "ttft_short"))["ttft_short"]
    assert row.verdict == "PASS"
    assert "under load" not in row.detail


def test_a_server_that_stays_busy_is_measured_and_said_to_be(truth: Start, make_plan: Make) -> None:
    url, begun = truth(**FAST, busy_ms=1e6), time.monotonic()
    row = rows(make_plan(url, "ttft_short", quiet_wait=3.0))["ttft_short"]
    assert row.verdict == "PASS"
    assert "15 measured under load of others" in row.detail
    assert time.monotonic() - begun < 15, "it waits for 3 s once, not before each of 15 requests"


def test_stalls_are_found(truth: Start, make_plan: Make) -> None:
    limits = {"itl_p95_ms": 60, "stall_ms": 100, "stalled_share": 0.1}
    row = rows(make_plan(truth(ttft_ms=5, itl_ms=2, stall_ms=150), "stalls", limits=limits))["stalls"]
    assert row.verdict == "FAIL"
    assert "15 of 15 answers stalled" in row.detail


def test_a_tool_call_is_timed_to_its_end(truth: Start, make_plan: Make) -> None:
    row = rows(make_plan(truth(ttft_ms=20, itl_ms=4, tool_tokens=21), "tool_call"))["tool_call"]
    assert row.verdict == "PASS"
    assert row.median == pytest.approx(20 + 20 * 4, abs=3)


def test_goodput_under_concurrent_streams(truth: Start, make_plan: Make) -> None:
    found = rows(make_plan(truth(**FAST), "goodput"))["goodput"]
    assert (found.verdict, found.median, found.n) == ("PASS", 1.0, 60)
    late = rows(make_plan(truth(ttft_ms=700, itl_ms=1), "goodput", streams=30))["goodput"]
    assert (late.verdict, late.median) == ("FAIL", 0.0)


def test_a_server_that_is_not_vllm_works_and_says_what_is_not_checked(truth: Start, make_plan: Make) -> None:
    url = truth(
        **FAST, strict=True, metrics=False, completions=False, usage="final", report_cached=False, prefill_us=50
    )
    found = rows(make_plan(url, "ttft_short", "decode", "ttft_cold"))
    assert {row.verdict for row in found.values()} == {"PASS"}
    for row in found.values():
        assert "not checked: the server's own metrics (no vLLM /metrics); exact prompt lengths" in row.detail
    assert "0 of 15 proven cold" in found["ttft_short"].detail


def test_the_barest_server_is_timed(truth: Start, make_plan: Make) -> None:
    """No list of models, no stream_options, nothing beyond a stream of text."""
    url = truth(**FAST, bare=True, strict=True, metrics=False, completions=False, usage="none")
    row = rows(make_plan(url, "ttft_short"))["ttft_short"]
    assert row.verdict == "PASS"
    assert row.median == pytest.approx(20, abs=2)


def test_an_unproven_flat_curve_is_not_believed(truth: Start, make_plan: Make) -> None:
    url = truth(**FAST, metrics=False, report_cached=False)
    row = rows(make_plan(url, "ttft_cold"))["ttft_cold"]
    assert row.verdict == "INCONCLUSIVE"
    assert "does not grow with the prompt" in row.detail


def test_without_usage_tokens_cannot_be_counted(truth: Start, make_plan: Make) -> None:
    found = rows(make_plan(truth(**FAST, usage="none", finish="stop"), "ttft_short", "decode"))
    assert found["ttft_short"].verdict == "PASS"
    assert found["decode"].verdict == "INCONCLUSIVE"
    assert "no usage" in found["decode"].detail


def test_an_answer_as_long_as_asked_for_is_believed_only_if_half_of_it_is_half_as_long(
    truth: Start, make_plan: Make
) -> None:
    """This one says `length`, sends 40 tokens whatever is asked for, and reports no usage."""
    found = rows(make_plan(truth(**FAST, usage="none", burst=8, tokens=40), "decode"))["decode"]
    assert (found.verdict, found.median) == ("INCONCLUSIVE", None)


def test_an_answer_in_one_piece_is_as_late_as_its_end(truth: Start, make_plan: Make) -> None:
    """An answer of four tokens would look fast there, and the rate of one that was held back very fast."""
    plan, measurements = make_plan(truth(**FAST, at_once=True, metrics=False), "ttft_short", "decode", "stalls"), []
    found = {
        row.name: row for row in run(plan, lambda event: measurements.append(event) if "ttft_ms" in event else None)
    }
    assert found["ttft_short"].verdict == "FAIL"
    # Answers are longer where the pieces of the probe's lie apart on a crowded machine, so that it has a pace.
    ends = [
        20 + 2 * (measurement["completion_tokens"] - 1)
        for measurement in measurements
        if measurement["source"] == "short"
    ]
    assert min(ends) >= 20 + 2 * 63
    assert found["ttft_short"].median == pytest.approx(statistics.median(ends), abs=5)
    assert "every answer comes in one piece" in found["ttft_short"].detail
    assert {found[name].verdict for name in ("decode", "stalls")} == {"INCONCLUSIVE"}


def test_what_grows_with_the_prompt_outside_the_server_s_stamps_is_named(truth: Start, make_plan: Make) -> None:
    url = truth(ttft_ms=10, itl_ms=4, prefill_us=4, outside_us=1.5)
    row = rows(make_plan(url, "ttft_cold", contexts=(512, 2048, 6144)))["ttft_cold"]
    assert row.verdict == "PASS", row.detail
    found = re.search(r"confirms (\d+) of (\d+)\. (\d\.\d\d) us a prompt token pass outside", row.detail)
    assert found is not None, row.detail
    assert float(found[3]) == pytest.approx(1.5, abs=0.15)
    assert int(found[1]) > 0.8 * int(found[2]), "without it, none of 6144 tokens is"


def test_a_broken_exchange_is_an_error_at_once(truth: Start, make_plan: Make) -> None:
    row = rows(make_plan(truth(**FAST, fail_at=6), "ttft_short"))["ttft_short"]
    assert row.verdict == "ERROR"
    assert row.n < 15


def test_a_server_too_short_for_the_contexts_says_so(truth: Start, make_plan: Make) -> None:
    row = rows(make_plan(truth(**FAST, max_model_len=256), "ttft_cold"))["ttft_cold"]
    assert row.verdict == "INCONCLUSIVE"
    assert "no three prompt lengths of 64 tokens or more fit into the server's 256" in row.detail


@pytest.mark.parametrize(
    ("room", "block", "held"),
    [
        (None, None, (512, 1024, 2048, 4096)),
        (4096, None, (512, 1024, 2048, 4096)),
        (None, 16, (513, 1025, 2049, 4097)),
        (4090, 16, (513, 1025, 2049, 4081)),
        (2100, None, (512, 1024, 2100)),
        (900, None, (225, 450, 900)),
        (200, None, (100, 200)),
    ],
)
def test_the_longest_prompt_that_fits_stands_for_those_that_do_not(
    room: int | None, block: int | None, held: tuple[int, ...]
) -> None:
    assert holdable((512, 1024, 2048, 4096), room, block) == held


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 31), (1e9, 35)])
def test_a_shape_is_looked_at_further_where_that_takes_no_time(
    truth: Start, make_plan: Make, monkeypatch: pytest.MonkeyPatch, seconds: float, rounds: int
) -> None:
    monkeypatch.setattr(measure.verdict, "FURTHER_LOOKS", (33, 35))
    monkeypatch.setattr(measure, "FURTHER_S", seconds)
    judge = measure.evaluate
    monkeypatch.setattr(measure, "evaluate", lambda *given: replace(judge(*given), verdict="INCONCLUSIVE"))
    asked: Counter[int] = Counter()

    def emit(event: str, values: Mapping[str, Any]) -> None:
        if event == "measurement":
            asked[values["context"]] += 1

    measure.measure(make_plan(truth(ttft_ms=1, itl_ms=1), "ttft_cold"), emit)
    assert asked == {513: rounds, 1025: rounds, 2049: rounds}


def test_further_rounds_end_with_their_time(truth: Start, make_plan: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "FURTHER_S", 0.5)
    judge = measure.evaluate
    monkeypatch.setattr(measure, "evaluate", lambda *given: replace(judge(*given), verdict="INCONCLUSIVE"))
    (row,) = measure.measure(make_plan(truth(ttft_ms=5, itl_ms=1), "ttft_cold"), lambda *_: None)
    assert 3 * 31 < row.n < 3 * 241  # 630 rounds of 15 ms and more are not done in half a second


def test_a_fast_server_is_asked_for_longer_answers() -> None:
    assert long_enough(64, Capabilities("m")) == 64
    assert long_enough(64, Capabilities("m", pace=33.0)) == 64
    assert long_enough(32, Capabilities("m", pace=300.0)) == 144
    assert long_enough(64, Capabilities("m", pace=1e6)) == 512


def test_without_limits_everything_is_measured_and_nothing_passes(truth: Start, make_plan: Make) -> None:
    row = rows(make_plan(truth(**FAST), "ttft_short", limits={}, hardware=None))["ttft_short"]
    assert (row.verdict, row.limit) == ("INCONCLUSIVE", None)
    assert row.median == pytest.approx(20, abs=2)


def test_no_server_is_an_error_row(make_plan: Make) -> None:
    found = rows(make_plan("http://127.0.0.1:9/v1", "decode", "goodput"))
    assert {row.verdict for row in found.values()} == {"ERROR"}
    assert "cannot connect to 127.0.0.1:9" in found["decode"].detail


def test_a_plan_that_cannot_be_read_leaves_error_rows(make_plan: Make) -> None:
    found = rows(make_plan("http://127.0.0.1:9/v1", "decode", output="/nonexistent/timing.jsonl"))
    assert found["decode"].verdict == "ERROR"
    assert "/nonexistent/timing.jsonl" in found["decode"].detail


def test_samples_and_rows_are_on_disk_as_they_are_measured(truth: Start, make_plan: Make, tmp_path: Path) -> None:
    """A kill loses nothing: when an event is told, the line is in the file already."""
    output = tmp_path / "timing.jsonl"
    seen = []

    def progress(event: Any) -> None:
        if event["event"] in ("measurement", "row"):
            seen.append(event)
            lines = [json.loads(line) for line in output.read_text().splitlines()]
            assert event in lines

    run(make_plan(truth(**FAST), "ttft_short", output=str(output)), progress)
    assert len(seen) == 16


def test_an_interrupt_leaves_no_process(truth: Start, make_plan: Make) -> None:
    def interrupt(event: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make_plan(truth(**FAST), "ttft_short"), interrupt)
