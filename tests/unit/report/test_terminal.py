"""The table at the end says what was decided and why, and answers cannot control the terminal."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import RunVerdict, decide, overall
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.verdicts import ComparisonVerdict
from annie_eval.profile.types import Gate
from annie_eval.regression.compare_runs import with_regression
from annie_eval.regression.result import Regression
from annie_eval.report import terminal
from annie_eval.report.phrases import headline
from annie_eval.text import printable


def shown(verdict: RunVerdict, width: int = 100, color: bool = False) -> str:
    return "\n".join(terminal.lines(verdict, color=color, width=width))


def row(text: str, name: str) -> list[str]:
    return next(re.split(r"  +", line) for line in text.splitlines() if line.startswith(name + " "))


def test_each_gate_is_a_row_with_baseline_needs_measured_interval_verdict_and_what_n_rules_out(
    failed: RunVerdict,
) -> None:
    text = shown(failed)
    assert row(text, "thinking_leak") == [
        "thinking_leak",
        "0/25",
        "5/25",
        "25/25",
        "25/25",
        "86-100%",
        "PASS",
        ">11.3%",
    ]
    assert row(text, "no_markdown") == ["no_markdown", "works", "3/15", "12/15", "7/15", "21-73%", "FAIL", ">75.6%"]
    assert row(text, "restraint")[3:] == ["55/60 >=90%", "56/60", "84-98%", "INCONCLUSIVE", ">14.6%"]
    assert row(text, "wire_integrity")[3:6] == ["25/25", "22/22", "3"]


def test_all_missed_rules_nothing_out_and_the_rows_of_a_gate_do_not_depend_on_arrival() -> None:
    gate = Gate("g", ("d",), ("c",), baseline={"NVFP4 PTQ": "3/15"})
    made = [Judgement("g", f"s{i}", (Finding("d", "r"),)) for i in range(3)]
    forward, backward = (RunVerdict("FAIL", gates=(decide(gate, order, 3),)) for order in (made, made[::-1]))
    assert shown(forward) == shown(backward)
    assert row(shown(forward), "g")[-1] == "-"


def test_timing_is_a_second_table(failed: RunVerdict) -> None:
    text = shown(failed)
    assert row(text, "ttft_short") == ["ttft_short", "91.23 ms", "88-95.5", "21", "120 ms", "61%", "PASS"]
    assert row(text, "decode") == ["decode", "-", "-", "0", "25 tok/s", "-", "INCONCLUSIVE"]
    assert text.index("thinking_leak") < text.index("ttft_short") < text.index("miss:")


@pytest.mark.parametrize("width", [100, 80, 72, 64])
def test_tables_fit_the_width_and_columns_stand_below_their_heads(failed: RunVerdict, width: int) -> None:
    table = shown(failed, width).split("\n\n")[0].splitlines()
    assert max(map(len, table)) <= width
    at = next(line for line in table if "verdict" in line).index("verdict")
    assert [line[at:].split()[0] for line in table[-5:]] == ["PASS", "PASS", "FAIL", "INCONCLUSIVE", "ERROR"]
    assert all("  " in line or width < 100 for line in table)
    for needed in ("gate", "needs", "passed", "interval", "verdict"):
        assert needed in "\n".join(table)


def test_nothing_is_dropped_at_80_columns_unless_something_broke(failed: RunVerdict) -> None:
    whole = dataclasses.replace(failed, gates=failed.gates[:4])
    heads = shown(whole, 80).splitlines()[:2]
    assert heads[1].split() == ["gate", "Q4_K_M", "PTQ", "needs", "passed", "interval", "verdict", "out"]


def test_each_miss_is_one_line_and_those_of_failed_gates_come_first(failed: RunVerdict) -> None:
    lines = terminal.lines(failed, color=False, width=100)
    misses = [line for line in lines if line.startswith(("miss:", "tolerated:"))]
    assert len(misses) == 8 + 4 + 2
    assert misses[0] == "miss: no_markdown no-markdown-00.stream.off markdown: a bullet list (+1 more):"
    assert lines[lines.index(misses[0]) + 1] == "    Sure! \\n- milk\\n- eggs\\n- bread"
    assert misses[-1].startswith("tolerated: tool_calling tool-calling-01.stream.off tool_calls: no call, but")


def test_errors_are_grouped_by_cause_and_counted_once(failed: RunVerdict) -> None:
    (line,) = [line for line in terminal.lines(failed, color=False, width=100) if line.startswith("error:")]
    assert line.startswith("error: 3 x HTTP 500: <html>oops</html> (wire-integrity-00.stream.off, ")


def test_error_of_the_run_as_a_whole_keeps_all_its_lines() -> None:
    cause = "vLLM died: KV cache too small\nfix: lower --max-model-len"
    broken = RunVerdict("ERROR", errors=({"sample": None, "cause": cause},))
    lines = terminal.lines(broken, color=False, width=80)
    assert lines[:2] == ["error: vLLM died: KV cache too small", "error: fix: lower --max-model-len"]
    assert lines[-1] == "verdict: ERROR (vLLM died: KV cache too small)"


def test_transport_selection_and_place_are_told(failed: RunVerdict) -> None:
    text = shown(dataclasses.replace(failed, selection={"complete": False}))
    told = "not checked of the server, and counted in no gate: derender, the parsers on stored"
    assert told in shown(failed, 200)
    assert "(vLLM's --enable-scale-out; nothing need be done) (annie-eval show 2026" in " ".join(
        shown(failed, 200).split()
    )
    assert "transport: resent 2, broken 5" in text
    assert "selection: only a part of the profile" in text
    assert "target: annie at http://127.0.0.1:8000/v1, profile annie, 48.5 s" in text
    assert "selection:" not in shown(failed)


def test_verdict_is_the_last_line(failed: RunVerdict) -> None:
    assert shown(failed).splitlines()[-1] == "verdict: FAIL (1 of 7 gates failed: no_markdown 7/15, needs 12)"


def missing(*samples: str, required: int = 0, expected: int = 0) -> RunVerdict:
    """A gate whose named samples missed."""
    made = [Judgement("g", sample, (Finding("markdown", "bold text", "**word** " * 30),)) for sample in samples]
    expected = expected or len(made)
    made += [Judgement("g", f"fine-{i}.stream.off") for i in range(expected - len(made))]
    result = decide(Gate("g", ("markdown",), ("g",), required), made, expected)
    return RunVerdict(overall([result]), gates=(result,), run_dir="/elsewhere/run", profile={"name": "mine"})


def test_repeats_stand_under_their_scenario_and_numbers_sort_by_value() -> None:
    verdict = missing(*(f"s-{i}.stream.off{n}" for i in (10, 9) for n in ("", ".10", ".9")))
    misses = [line for line in terminal.lines(verdict, color=False, width=100) if line.startswith("tolerated:")]
    assert [line.split(" markdown:")[0] for line in misses] == [
        "tolerated: g s-9.stream.off and 2 more of it",
        "tolerated: g s-10.stream.off and 2 more of it",
    ]
    every = [line for line in terminal.lines(verdict, color=False, width=100, full=True) if "tolerated:" in line]
    assert [line.split()[2] for line in every[:3]] == ["s-9.stream.off", "s-9.stream.off.9", "s-9.stream.off.10"]


def test_the_command_that_shows_a_miss_is_said_once_also_where_the_gates_pass() -> None:
    tolerated = missing("s-2.stream.off", "s-3.stream.off", expected=6)
    assert tolerated.verdict == "PASS"
    for verdict in (tolerated, missing("s-2.stream.off", "s-3.stream.off", required=6, expected=6)):
        lines = terminal.lines(verdict, color=False, width=100)
        assert [line for line in lines if "annie-eval show" in line] == [
            "see: annie-eval show /elsewhere/run s-2.stream.off"
        ]
    assert "annie-eval show" not in shown(missing(expected=3))


def test_ten_scenarios_of_a_gate_are_listed_and_the_rest_is_counted() -> None:
    verdict = missing(*(f"s-{i}.stream.off{n}" for i in range(1324) for n in ("", ".2")))
    lines = terminal.lines(verdict, color=False, width=100)
    assert sum(line.startswith("tolerated:") for line in lines) == 10
    assert "… 2,628 more of g: annie-eval show /elsewhere/run" in lines
    assert len(terminal.lines(verdict, color=False, width=100, full=True)) > 2 * 1324
    assert not any("more of g" in line for line in terminal.lines(missing("s-1.stream.off"), color=False, width=100))


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_broken(width: int) -> None:
    verdict = dataclasses.replace(
        missing(*(f"s-{i}.stream.off" for i in range(4)), required=2, expected=6),
        capabilities={"weights": "a server given by URL does not show its files " * 3},
        errors=({"sample": None, "cause": "the server does not answer as it should " * 5},),
        target={"base_url": "http://box:8000/v1", "served_model": "m" * 30},
    )
    lines = terminal.lines(verdict, color=False, width=width, full=True)
    assert max(map(len, lines)) <= width
    words = " ".join(" ".join(line.split()) for line in lines)
    assert "weights: " + " ".join(("a server given by URL does not show its files " * 3).split()) in words


def test_excerpt_is_as_wide_as_the_terminal_and_whole_when_piped() -> None:
    verdict = missing("s-1.stream.off")
    narrow, wide = (max(map(len, terminal.lines(verdict, color=False, width=width))) for width in (80, 120))
    assert (narrow, wide) == (80, 120)
    (line,) = [each for each in terminal.lines(verdict, color=False, width=80, piped=True) if "tolerated" in each]
    assert line.endswith("bold text: " + "**word** " * 30)


def test_a_pass_at_its_minimum_says_so() -> None:
    misses = [f"s-{i}.stream.off" for i in range(4)]
    text = shown(missing(*misses, required=6, expected=10), 200)
    weak = "few samples (no finding about the model): g PASS at its minimum: 6/10, 26-88%, needs 60%. Weak: the gate"
    assert weak in " ".join(text.split())
    assert "A gate that tolerates no miss is not listed." in " ".join(text.split())
    curve = "g passes a model whose true rate is 50% in 38%, 70% in 85%, 80% in 97%, 90% in >99% of runs"
    assert f"weak evidence: {curve}" in text
    assert "verdict: PASS (all 1 gates hold; at the minimum: g 6/10, 26-88%)" in text
    above = shown(missing(*misses[:2], required=6, expected=10), 200)
    assert "few samples (no finding about the model): g PASS: 8/10, 44-97%, needs 60%" in " ".join(above.split())
    assert "true rate" not in above
    assert "weak" not in shown(missing(*misses, required=10, expected=100), 200)
    assert "weak" not in shown(judged("strict", 3))


def test_an_own_test_that_failed_is_not_under_a_passing_verdict() -> None:
    held, lost = judged("leak", 3), judged("leak", 3, misses=1)
    own = ["tests/test_house.py::test_rules"]
    assert terminal.lines(held, color=False, width=100, failed=own)[-3:] == [
        "gates: PASS (all 1 gates hold)",
        "own tests: FAIL (1 failed: tests/test_house.py::test_rules)",
        "verdict: FAIL (the gates hold, but own tests failed)",
    ]
    assert terminal.lines(held, color=False, width=100)[-1] == "verdict: PASS (all 1 gates hold)"
    assert terminal.lines(lost, color=False, width=200, failed=own * 5)[-2:] == [
        f"own tests: FAIL (5 failed: {', '.join(own * 3)} and 2 more)",
        "verdict: FAIL (1 of 1 gates failed: leak 2/3, needs 3)",
    ]


def judged(name: str, n: int, misses: int = 0, broken: int = 0, expected: int | None = None) -> RunVerdict:
    gate = Gate(name, ("markdown",), (name,))
    made = [Judgement(name, f"s{i}", (Finding("markdown", "bold"),) if i < misses else ()) for i in range(n)]
    made += [Judgement(name, f"b{i}", error=f"HTTP {500 + i % 2}") for i in range(broken)]
    result = decide(gate, made, n + broken if expected is None else expected)
    return RunVerdict(overall([result]), gates=(result,))


def compared(verdict: ComparisonVerdict, misses: int = 0) -> RunVerdict:
    """A run with one gate and a comparison with a baseline."""
    headline = f'{verdict} against "deployed"'
    return with_regression(judged("leak", 3, misses=misses), Regression(verdict, headline, {"name": "deployed"}))


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (judged("leak", 3), "PASS (all 1 gates hold)"),
        (judged("leak", 3, misses=1), "FAIL (1 of 1 gates failed: leak 2/3, needs 3)"),
        (judged("leak", 3, expected=15), "INCONCLUSIVE (1 of 1 gates lack evidence: leak 3 of 15 samples selected)"),
        (judged("leak", 3, broken=3), "ERROR (2 samples broke: HTTP 500; 1 more causes)"),
        (RunVerdict("ERROR"), "ERROR (no gate was judged)"),
        (
            RunVerdict("PASS", timings=({"name": "t", "verdict": "PASS"},), selection={"complete": False}),
            "PASS (the 1 selected gates hold; not the whole profile)",
        ),
        (
            RunVerdict(
                "FAIL", timings=({"name": "ttft", "verdict": "FAIL", "median": 140.0, "limit": 120, "unit": "ms"},)
            ),
            "FAIL (1 of 1 gates failed: ttft 140 ms, limit 120 ms)",
        ),
        (
            RunVerdict("ERROR", timings=({"name": "ttft", "verdict": "ERROR", "median": None, "detail": "no usage"},)),
            "ERROR (1 of 1 gates: ttft no usage)",
        ),
        (compared("INCONCLUSIVE"), "INCONCLUSIVE (all 1 gates hold; the comparison with the baseline lacks evidence)"),
        (compared("FAIL"), "FAIL (all 1 gates hold; the comparison with the baseline failed)"),
        (compared("PASS"), "PASS (all 1 gates hold)"),
        (
            compared("FAIL", misses=1),
            "FAIL (1 of 1 gates failed: leak 2/3, needs 3; the comparison with the baseline failed)",
        ),
        (compared("INCONCLUSIVE", misses=1), "FAIL (1 of 1 gates failed: leak 2/3, needs 3)"),
        (
            RunVerdict("ERROR", replicas={"verdict": "ERROR", "servers": [], "gates": []}),
            "ERROR (the comparison of the replicas broke)",
        ),
    ],
)
def test_headline_says_what_decided(verdict: RunVerdict, line: str) -> None:
    assert headline(verdict).startswith(line)
    assert shown(verdict).splitlines()[-1] == f"verdict: {headline(verdict)}"


def test_headline_names_four_gates_and_counts_the_rest() -> None:
    gates = tuple(judged(f"g{i}", 2, misses=2).gates[0] for i in range(7))
    line = headline(RunVerdict("FAIL", gates=gates))
    assert line.startswith("FAIL (7 of 7 gates failed: g0 0/2, needs 2; g1 ")
    assert line.endswith("; and 3 more)")


def test_colour_is_only_added_where_it_is_asked_for(failed: RunVerdict) -> None:
    plain, coloured = shown(failed), shown(failed, color=True)
    assert "\x1b" not in plain
    assert "\x1b[1;31mFAIL" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


@settings(deadline=None)
@given(st.text(st.characters(codec=None), max_size=80), st.booleans())
def test_no_text_from_outside_reaches_the_terminal_as_control(text: str, color: bool) -> None:
    gate = Gate("g" + text, ("markdown",), ("g",), baseline={text: text})
    judgements = [
        Judgement(gate.name, "s" + text, (Finding("d", text, text),)),
        Judgement(gate.name, "b", error=text),
    ]
    result = decide(gate, judgements, 2)
    verdict = RunVerdict(
        "FAIL",
        gates=(result,),
        errors=({"sample": text, "cause": text}, {"sample": None, "cause": text}),
        timings=({"name": text, "verdict": "ERROR", "detail": text, "unit": text, "limit": 1, "median": 1},),
        transport={text: 1},
        profile={"name": text},
        target={"base_url": text, "served_model": text},
        run_dir=text,
    )
    for line in terminal.lines(verdict, color=color, width=80):
        assert re.sub(r"\x1b\[[0-9;]*m", "", line).isprintable() if color else line.isprintable()
        line.encode("utf-8")


def test_printable_keeps_every_language_and_shows_the_rest() -> None:
    assert printable("Grüße, 你好, مرحبا 🙂") == "Grüße, 你好, مرحبا 🙂"
    assert printable("a\x1b[31mb\r\n\x9b\u202e\u200b\ud800") == r"a\x1b[31mb\r\n\x9b\u202e\u200b\ud800"
