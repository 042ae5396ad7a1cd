"""The study's page agrees with its result files: counts, intervals, pairs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from research.annie_smol.study import plan, report

ROOT = Path(__file__).parents[3]


def result(name: str, missed: set[int], n: int = 200, **more: Any) -> dict[str, Any]:
    gate = {"verdict": "PASS", "passed": n - len(missed), "n": n, "required": 1, "interval": [0, 1]}
    gates = {"tool_calling": gate | {"missed": sorted(f"tool-{i:03d}.stream.off" for i in missed)}}
    return {
        "name": name,
        "about": name,
        "verdict": "PASS",
        "gates": gates,
        "errors": 0,
        "seed": 1,
        "samples": n,
    } | more


def test_cells_have_the_exact_interval() -> None:
    low, high = binomtest(190, 200).proportion_ci(0.95, method="exact")
    assert (
        report.cell(result("qat", set(range(10))), "tool_calling") == f"190/200 ({100 * low:.0f}-{100 * high:.0f} %)"
    )
    assert report.cell(result("qat", set()), "no_markdown") == "-"
    assert report.cell({"refused": "says why"}, "tool_calling") == "refused"


def test_pairs_are_the_exact_two_sided_mcnemar_test() -> None:
    gained, lost, p = report.pair(result("qat", {1, 2, 3}), result("ptq", set(range(2, 20))), "tool_calling")  # type: ignore[misc]
    assert (gained, lost) == (16, 1)
    assert p == pytest.approx(binomtest(16, 17, 0.5).pvalue)
    assert report.pair(result("a", {1}), result("b", {1}), "tool_calling") == (0, 0, 1.0)


def test_a_result_of_an_earlier_version_pairs_with_one_of_this_version(tmp_path: Path) -> None:
    """Keys of before say `whole` where keys of today say `unstreamed`: the same sample is no change."""
    for name, kind in (("bf16", "whole"), ("ptq", "unstreamed")):
        text = json.dumps(result(name, {1, 2} if name == "bf16" else {2, 3})).replace(".stream.", f".{kind}.")
        (tmp_path / f"{name}.json").write_text(text)
    results = report.load(tmp_path)
    assert results["bf16"]["gates"]["tool_calling"]["missed"][0] == "tool-001.unstreamed.off"
    assert report.pair(results["ptq"], results["bf16"], "tool_calling") == (1, 1, 1.0)


@pytest.mark.parametrize("more", [{"seed": 2}, {"errors": 1}, {"gates": {}}], ids=str)
def test_what_was_not_asked_the_same_is_no_pair(more: dict[str, Any]) -> None:
    assert report.pair(result("a", {1}), result("b", {2}, **more), "tool_calling") is None


def test_the_page_has_a_row_for_each_gate_and_names_each_candidate(tmp_path: Path) -> None:
    for name, missed in (("bf16", set()), ("ptq", set(range(60))), ("qad-lora", {1}), ("qad-43", {1, 2})):
        (tmp_path / f"{name}.json").write_text(json.dumps(result(name, missed)))
        (tmp_path / f"{name}.quant_run.json").write_text("{}")
    (tmp_path / "awq-lite.json").write_text(json.dumps({"name": "awq-lite", "about": "", "refused": "by preflight"}))
    cpu = {one.name: result(one.name, set(), machine="a CPU") for one in plan.EMBEDDED}
    page = report.page(report.load(tmp_path), cpu, {}, "What came of it.", "make results")
    assert "| gate | bf16 | ptq | awq-lite | qad-lora |" in page
    assert "| qad-lora against ptq | - | +59 -0, p = 3.5e-18 |" in page
    assert "## Ablation: size\n\nptq: ptq; qad-lora: qad-lora; qad-43: qad-43." in page
    assert "| gate | bf16 | ptq | qad-lora | qad-43 |" in page
    assert "refused" in page
    assert "| annie-smol-nvfp4-qat against annie-smol-nvfp4-ptq | - | +0 -0, p = 1 |" in page
    assert "served by vLLM on a CPU" in page
    earlier = {name: one | {"seed": 2} for name, one in cpu.items()}
    assert "on a CPU" not in report.page(report.load(tmp_path), earlier, {}, "", "make results")


def test_notes_with_a_gap_are_not_published(tmp_path: Path) -> None:
    (tmp_path / "bf16.json").write_text(json.dumps(result("bf16", set())))
    (tmp_path / "notes.md").write_text("Tools: @@ of 400.")
    command = ["--results", str(tmp_path), "--notes", str(tmp_path / "notes.md"), "--out", str(tmp_path / "page.md")]
    script = [sys.executable, "-m", report.__name__]
    done = subprocess.run([*script, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "replace the placeholder @@" in done.stderr) == (2, True)
    assert not (tmp_path / "page.md").exists()


def test_what_was_worded_freely_is_told_apart_and_plotted(tmp_path: Path) -> None:
    both = result("qat", {1, 2, 3})
    gate = both["gates"]["tool_calling"]
    gate |= {"free": 50, "missed": ["free-tool-calling-001.stream.off", *gate["missed"][:2]]}
    assert report.cell(report.part(both, True), "tool_calling").startswith("49/50 ")
    assert report.cell(report.part(both, False), "tool_calling").startswith("148/150 ")
    assert report.part({"refused": "no"}, True) == {"refused": "no"}
    for name in ("first.svg", "second.svg"):
        both["gates"] |= {gate: both["gates"]["tool_calling"] for gate, _ in report.GATES}
        report.plot({"qat": both}, ["qat", "not there"], "size", tmp_path / name)
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()


def test_what_broke_is_not_called_refused() -> None:
    assert report.cell({"broke": "RuntimeError"}, "factual") == "broke"


def test_each_candidate_starts_from_one_that_comes_before_it() -> None:
    known: set[str] = set()
    for one in plan.CANDIDATES:
        assert one.name not in known
        assert not one.start or one.start in known
        known.add(one.name)
    for one in plan.CANDIDATES:
        for argument in one.make:
            if argument.startswith("{data:"):
                assert argument[6:-1] in plan.DATA
