"""The tables of the study of recipes: means, noise and paired tests from made-up results."""

from __future__ import annotations

from typing import Any

import pytest

from annie_eval.stats import binomial
from research.annie_smol.study import recipes


def run(tools: list[str], facts: list[str] | None = None) -> dict[str, Any]:
    """A result in which these prompts are missed, of 20 a gate, 8 of them in the second set."""
    missed = {"tool_calling": tools, "factual": facts or [], "reasoning": []}
    gates = {gate: {"n": 20, "second": 8, "passed": 20 - len(keys), "missed": keys} for gate, keys in missed.items()}
    return {"gates": gates, "agreement": {"kl": 0.25, "top1": 0.5, "positions": 9}}


RESULTS = {
    "annie-smol-bf16": run([]),
    "ptq-max-0": run(["a", "b", "new-a"]),
    "ptq-max-1": run(["a", "c", "new-a"]),
    "ptq-mse-0": run(["a"]),
    "ptq-mse-1": run(["a", "d", "e"]),
}


def test_counts_are_means_of_each_set() -> None:
    rows = [line.split(" | ") for line in recipes.counts_table(RESULTS, "ptq")[2:]]
    assert [row[0] for row in rows] == ["| annie-smol-bf16", "| ptq-max", "| ptq-mse"]
    assert rows[1][2] == "10 (10-10) of 12"
    assert rows[2][2] == "10 (9-11) of 12"
    assert (rows[1][5], rows[2][5]) == ("7 (7-7) of 8", "8 (8-8) of 8")
    assert rows[0][2] == "12 of 12"


def test_runs_that_were_not_judged_have_their_distance_from_bf16() -> None:
    only = {"agreement": {"kl": 0.75, "top1": 1.0, "positions": 9}}
    lines = recipes.agreement_table(RESULTS | {"ptq-mse-2": only})
    assert "| ptq-mse | 3 | 0.417 | 0.250, 0.250, 0.750 | 66.7 % |" in lines
    assert recipes.counts_table(RESULTS | {"ptq-mse-2": only}, "ptq") == recipes.counts_table(RESULTS, "ptq")


def test_a_prompt_counts_by_the_share_of_runs_that_miss_it() -> None:
    found = recipes.families(RESULTS, "ptq")
    # b and c are missed by half of the runs of max and none of mse, d and e the other way round, a by all.
    mse, largest = found["ptq-mse"], found["ptq-max"]
    first = recipes.differences(mse, largest, ["tool_calling"], "")
    assert sorted(first) == [-0.5, -0.5, *[0.0] * 8, 0.5, 0.5]
    assert sorted(recipes.differences(mse, largest, ["tool_calling"], "new-")) == [*[0.0] * 7, 1.0]
    base = [RESULTS["annie-smol-bf16"]]
    assert sum(recipes.differences(base, largest, ["tool_calling"], "")) == 2.0


def test_the_interval_is_in_points() -> None:
    assert recipes.interval([1.0, 0.0, 0.0, 0.0]) == "+25.0 (-24.0 to +74.0)"
    assert recipes.interval([0.0] * 9) == "+0.0 (+0.0 to +0.0)"


def test_the_sign_test_is_exact_and_two_sided() -> None:
    assert recipes.sign_test(5, 0) == pytest.approx(2 / 32)
    assert recipes.sign_test(0, 5) == pytest.approx(2 / 32)
    assert recipes.sign_test(3, 3) == 1.0


def test_p_values_are_adjusted_over_the_table() -> None:
    worse = RESULTS | {f"ptq-mse-{k}": run([f"m{i}" for i in range(9)]) for k in range(2)}
    (row,) = recipes.paired_table(worse, [("ptq-mse", "annie-smol-bf16")])[2:]
    single = [recipes.sign_test(0, 9), 1.0, 1.0, recipes.sign_test(0, 9)]
    adjusted = binomial.holm(single)
    assert f"+0 -9, p = {adjusted[0]:.2g}" in row
    assert adjusted[0] > single[0]


def test_the_noise_is_what_changes_sides_between_two_runs() -> None:
    rows = {line.split(" | ")[0].strip("| "): line for line in recipes.floor_table(RESULTS)[2:]}
    assert rows["ptq-max"].split(" | ")[1] == "2 of 20"
    again = recipes.floor_table(RESULTS | {"ptq-max-0-again": RESULTS["ptq-max-0"]})[2]
    assert again.startswith("| ptq-max-0, made and judged twice | 0 of 20")


def test_without_results_there_is_no_section() -> None:
    assert recipes.section({}) == []
    assert "### Recipe against recipe" in recipes.section(RESULTS)
