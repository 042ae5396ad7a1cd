"""The timing plan of a profile, and the limits by hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annie_eval.errors import UsageError
from annie_eval.profile.types import CallExpectation, Expect, Profile, Scenario, Turn
from annie_eval.timing import ROWS, Plan, TimingResult, hardware, plan_for
from annie_eval.timing.roofline import Bounds, Model

TOOL = {"type": "function", "function": {"name": "remember", "parameters": {"type": "object"}}}
URL = "http://127.0.0.1:8000"


def profile(**changes: Any) -> Profile:
    asks = Scenario("memory-tea", "tools", (Turn("Remember tea.", Expect(calls=(CallExpectation("remember"),))),))
    values: dict[str, Any] = {
        "name": "p",
        "path": Path("p.toml"),
        "system_prompt": "You are Annie.",
        "tools": {"remember": TOOL},
        "scenarios": (Scenario("hello", "talk", (Turn("Hi"),)), asks),
        "gates": {},
    }
    return Profile(**{**values, **changes})


def test_the_study_s_limits_hold_on_the_study_s_box() -> None:
    plan = plan_for(profile(), list(ROWS), base_url=URL, hardware="dgx-spark")
    assert (plan.limits["ttft_short_ms"], plan.limits["decode_tok_s"]) == (120, 25)


def test_every_machine_has_every_limit() -> None:
    for machine in hardware.table(profile()).values():
        assert set(machine.limits) == set(hardware.LIMITS), machine.name
        assert {limit for limits in ROWS.values() for limit in limits} == set(hardware.LIMITS)


def test_a_profile_overrides_single_limits_and_adds_machines() -> None:
    own = profile(hardware={"dgx-spark": {"ttft_short_ms": 100}, "mine": {"match": ["L40"], "decode_tok_s": 40}})
    table = hardware.table(own)
    assert table["dgx-spark"].limits["ttft_short_ms"] == 100
    assert table["dgx-spark"].limits["decode_tok_s"] == 25
    assert hardware.choose(table, None, ("NVIDIA L40S",), local=True) is table["mine"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ttft_short": 1}, r"profile p.toml: hardware.mine.ttft_short: unknown key; one of ttft_short_ms"),
        ({"ttft_short_ms": "fast"}, r"hardware.mine.ttft_short_ms is 'fast'; give a number above 0"),
        ({"contexts": [512, 512]}, r"hardware.mine.contexts is \[512, 512\]; give at least three"),
        ({"streams": 1}, r"hardware.mine.streams is 1; give an integer from 2 to 512"),
        ({"streams": 100_000}, r"hardware.mine.streams is 100000; give an integer from 2 to 512"),
        ({"ttft_short_ms": -5}, r"hardware.mine.ttft_short_ms is -5; give a number above 0"),
        ({"match": "H100"}, r"hardware.mine.match is 'H100'; give a list"),
        ({"tflops": {"int4": 3}}, r"hardware.mine.tflops is .* give rates above 0 for bf16, fp8 or fp4"),
        ({"per_core": 1}, r"hardware.mine.per_core is 1; give true or false"),
    ],
)
def test_a_wrong_limit_is_named_before_anything_starts(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_for(profile(hardware={"mine": values}), ["decode"], base_url=URL)


def test_unknown_names_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="--hardware tpu: unknown; one of dgx-spark, h100, h200, cpu"):
        plan_for(profile(), ["decode"], base_url=URL, hardware="tpu")
    with pytest.raises(UsageError, match="timing gate 'speed': unknown; one of ttft_short"):
        plan_for(profile(), ["speed"], base_url=URL)


def test_the_machine_goes_by_what_is_there() -> None:
    table = hardware.table(profile())
    assert hardware.choose(table, None, ("NVIDIA GB10",), local=True) is table["dgx-spark"]
    assert hardware.choose(table, None, ("NVIDIA H100 80GB HBM3",), local=True) is table["h100"]
    assert hardware.choose(table, None, (), local=True) is table["cpu"]
    assert hardware.choose(table, None, (), local=False) is None
    assert hardware.choose(table, None, ("NVIDIA T4",), local=True) is None


def test_an_unknown_machine_is_measured_without_limits() -> None:
    plan = plan_for(profile(), ["decode"], base_url="https://annie.example/v1")
    assert (plan.hardware, plan.limits) == (None, {})
    assert any("--hardware" in note for note in plan.notes)


def test_the_short_question_has_the_system_prompt_and_no_tools() -> None:
    plan = plan_for(profile(), ["ttft_short"], base_url=URL)
    assert [m["role"] for m in plan.short["messages"]] == ["system", "user"]
    assert "tools" not in plan.short
    assert plan.short["chat_template_kwargs"] == {"enable_thinking": False}


def test_the_tool_call_is_the_profile_s_first() -> None:
    plan = plan_for(profile(), ["tool_call"], base_url=URL)
    assert plan.tool is not None
    assert plan.tool["messages"][-1]["content"] == "Remember tea."
    assert plan.tool["tools"] == [TOOL]
    assert plan_for(profile(scenarios=()), ["tool_call"], base_url=URL).tool is None


def test_a_plan_survives_the_way_to_its_process() -> None:
    bounds = Bounds(Model(1e9, 5e8, 100.0, 64.0, "fp4", 1000), 2e11, 1e14)
    plan = Plan(base_url=URL, served_model=None, rows=("decode",), short={"messages": []}, bounds=bounds, notes=("x",))
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"bounds": null}', '{"bounds": {}, "rows": []}'])
def test_another_text_is_no_plan(text: str) -> None:
    with pytest.raises(UsageError, match="timing plan"):
        Plan.from_json(text)


def test_a_row_survives_the_way_back() -> None:
    row = TimingResult(
        "decode", "PASS", 33.0, (32.0, 34.0), 15, 25.0, "tok/s", 0.73, "x", "cpu", ((1.0, 2.0, 1.0, 3.0, 15.0),)
    )
    assert TimingResult.from_dict(row.as_dict()) == row


def test_the_key_itself_is_never_in_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNIE_KEY", "secret-value")
    assert "secret-value" not in plan_for(profile(), ["decode"], base_url=URL, api_key_env="ANNIE_KEY").to_json()


def test_gpus_of_one_model_multiply_what_is_possible() -> None:
    from annie_eval.timing.plan import _devices

    assert _devices(("--tensor-parallel-size=4", "--pipeline-parallel-size", "2")) == 8
    assert _devices(("-tp", "2")) == 2
    assert _devices(()) == 1


def test_a_failed_test_reads_the_number_beside_its_limit() -> None:
    row = TimingResult("decode", "FAIL", 20.0, (19.5, 20.25), 15, 25.0, "tok/s", None, "answers of 64 tokens", "cpu")
    assert row.summary == "FAIL: 20 tok/s (19.5 to 20.25, n 15), limit 25. answers of 64 tokens"
    broken = TimingResult("decode", "ERROR", None, None, 0, 25.0, "tok/s", None, "no server", "cpu")
    assert broken.summary == "ERROR: no server"
