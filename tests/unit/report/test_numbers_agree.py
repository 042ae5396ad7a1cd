"""Terminal, page, Markdown, JUnit and verdict.json show the same counts, intervals, verdicts and medians."""

from __future__ import annotations

import html
import re
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import GateResult, RunVerdict, decide, overall
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import Gate
from annie_eval.report import junit, markdown, page, terminal
from annie_eval.report.samples import Source
from annie_eval.run import verdict_json

Facts = dict[str, tuple[str, ...]]
"""By gate: verdict, passed of n, interval; by timing row: verdict, median, limit."""


@st.composite
def results(draw: st.DrawFn, name: str) -> GateResult:
    """A gate over up to 40 samples, some missed, some broken, some never judged."""
    expected = draw(st.integers(1, 40))
    kinds = draw(st.lists(st.sampled_from(["pass", "pass", "miss", "broke"]), max_size=expected))
    judgements = [
        Judgement(
            name,
            f"{name}-{i}.stream.off",
            (Finding("markdown", "bold"),) * 2 if kind == "miss" else (),
            "HTTP 500" if kind == "broke" else None,
        )
        for i, kind in enumerate(kinds)
    ]
    required = draw(st.none() | st.integers(0, expected))
    bound = draw(st.none() | st.sampled_from([0.5, 0.9]))
    gate = Gate(name, ("markdown",), (name,), required, lower_bound=bound, baseline={"study": "3/15"})
    return decide(gate, judgements, expected, selected=draw(st.integers(len(kinds), expected)))


@st.composite
def rows(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A timing row, measured or not."""
    median = draw(st.none() | st.floats(0.01, 9999.0))
    return {
        "name": name,
        "verdict": draw(st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE", "ERROR"])),
        "median": median,
        "interval": None if median is None else [0.9 * median, 1.1 * median],
        "n": 21,
        "limit": draw(st.floats(0.01, 9999.0)),
        "unit": "ms",
        "roofline": None,
        "detail": "",
    }


@st.composite
def runs(draw: st.DrawFn) -> RunVerdict:
    gates = tuple(draw(results(name)) for name in ("alpha", "beta", "gamma")[: draw(st.integers(1, 3))])
    timings = tuple(draw(rows(name)) for name in ("ttft", "decode")[: draw(st.integers(0, 2))])
    return RunVerdict(overall(gates, timings), gates, timings=timings, selection={"complete": True}, run_dir="r")


def in_json(verdict: RunVerdict) -> Facts:
    """What verdict.json holds, written as a reader would write it."""
    plain = verdict_json.to_dict(verdict)
    found: Facts = {}
    for gate in plain["gates"]:
        interval = "-" if gate["interval"] is None else "{:.0f}-{:.0f}%".format(*(100 * e for e in gate["interval"]))
        found[gate["name"]] = (gate["verdict"], f"{gate['passed']}/{gate['n']}", interval)
        assert len({each["sample"] for each in gate["findings"]}) == gate["n"] - gate["passed"]
        assert len(gate["broken"]) == gate["errors"]
    for row in plain["timings"]:
        measured = tuple("-" if row[key] is None else f"{row[key]:.4g} ms" for key in ("median", "limit"))
        found[row["name"]] = (row["verdict"], *measured)
    return found


def of_cells(found: Facts, table: list[list[str]]) -> Facts:
    """The facts in the rows of tables, by the heads of their columns."""
    heads: list[str] = []
    for cells in table:
        if cells[0] in ("gate", "timing"):
            heads = cells
        elif heads and len(cells) == len(heads):
            row = dict(zip(heads, cells, strict=True))
            numbers = ("passed", "interval") if heads[0] == "gate" else ("median", "limit")
            found[cells[0]] = (row["verdict"], *(row[key].partition(",")[0] for key in numbers))
    return found


def in_terminal(verdict: RunVerdict) -> Facts:
    """The tables of the terminal, whose heads stand on several lines above each other."""
    lines = terminal.lines(verdict, color=False, width=500)
    found: Facts = {}
    for at, line in enumerate(lines):
        if not line.startswith(("gate ", "timing ", "gate\t")) and line.strip() not in ("gate", "timing"):
            continue
        starts = [match.start() for match in re.finditer(r"\S+", line)]
        body = lines[at + 1 : at + 1 + len(verdict.gates if line.startswith("gate") else verdict.timings)]
        cut = [
            [row[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
            for row in (line, *body)
        ]
        cut[0] = ["interval" if cut[0][0] == "gate" and head == "interval" else head for head in cut[0]]
        of_cells(found, cut)
    return found


def in_page(verdict: RunVerdict) -> Facts:
    text = page.page(verdict, Source([], lambda key: None, []))
    table = []
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", text, flags=re.DOTALL):
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL)
        # A cell may have a remark below its number.
        table.append([html.unescape(re.sub(r"<div.*?</div>|<[^>]*>", "", cell)).strip() for cell in cells])
    return of_cells({}, table)


def in_markdown(verdict: RunVerdict) -> Facts:
    lines = [line for line in markdown.page(verdict).splitlines() if re.match(r"\| (?!---)", line)]
    return of_cells({}, [[cell.replace("\\", "").strip() for cell in line.strip("|").split(" | ")] for line in lines])


def in_junit(verdict: RunVerdict) -> Facts:
    found: Facts = {}
    for name, value in junit.suite_properties(verdict):
        if match := re.fullmatch(r"(\w+): (\S+) passed, needs .*?, interval ([^,]+).*", value):
            found[name.removeprefix("gate.")] = (match[1], match[2], match[3])
    return found


def check(verdict: RunVerdict) -> None:
    wanted = in_json(verdict)
    assert in_terminal(verdict) == wanted
    assert in_page(verdict) == wanted
    assert in_markdown(verdict) == wanted
    gates = {gate.name for gate in verdict.gates}
    assert in_junit(verdict) == {name: facts for name, facts in wanted.items() if name in gates}
    timed = {name: value for name, value in junit.suite_properties(verdict) if name.startswith("timing.")}
    assert {name: value.partition(":")[0] for name, value in timed.items()} == {
        f"timing.{row['name']}": row["verdict"] for row in verdict.timings
    }
    for written in (terminal.lines(verdict, color=False, width=500)[-1], markdown.page(verdict)):
        assert f"{verdict.verdict} " in written


@settings(deadline=None, max_examples=60)
@given(runs())
def test_all_reports_of_a_run_have_the_same_numbers(verdict: RunVerdict) -> None:
    check(verdict)


@pytest.mark.parametrize("module", [terminal, page, markdown, junit], ids=lambda module: str(module.__name__))
def test_a_report_with_another_interval_is_noticed(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate("alpha", ("markdown",), ("alpha",), 3)
    result = decide(gate, [Judgement("alpha", f"alpha-{i}.stream.off") for i in range(5)], 5)
    verdict = RunVerdict("PASS", (result,), selection={"complete": True}, run_dir="r")
    check(verdict)
    monkeypatch.setattr(module, "interval_of", lambda result: "47-100%")
    with pytest.raises(AssertionError):
        check(verdict)
