"""The machine under a timed server: what is read of it, and that a throttled or shared GPU decides nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annie_eval.regression.run_data import machine as readings_of
from annie_eval.timing import Plan, machine, run
from annie_eval.timing.machine import Gpu, Reading, changes, doubts, read, throttled

CARD = Gpu(
    uuid="GPU-1",
    name="NVIDIA H200",
    driver="570.1",
    firmware="96.00",
    sm_mhz=1980.0,
    max_sm_mhz=1980.0,
    memory_mhz=3201.0,
    power_w=300.0,
    limit_w=700.0,
    default_limit_w=700.0,
    temperature_c=45.0,
    busy=0.0,
    held_mib=70000.0,
)
THERMAL, POWER_CAP, IDLE = 0x20, 0x4, 0x1


def smi(folder: Path, monkeypatch: pytest.MonkeyPatch, *gpus: Gpu, since_535: bool = True) -> None:
    """An nvidia-smi on PATH that tells of these GPUs; one of before driver 535 refuses the new name of the reasons."""
    answers = []
    for gpu in gpus:
        cells = ["[N/A]" if getattr(gpu, name) is None else str(getattr(gpu, name)) for name in machine._FIELDS]
        answers.append(", ".join([*cells, f"0x{gpu.reasons:016x}"]))
    apps = [f"{gpu.uuid}, {pid}" for gpu in gpus for pid in gpu.pids]
    program = f"""#!{sys.executable}
import sys
query = sys.argv[1]
if query.startswith("--query-compute-apps"):
    print({chr(10).join(apps)!r})
elif "clocks_event_reasons" in query and not {since_535}:
    sys.exit('Field "clocks_event_reasons.active" is not a valid field to query.')
else:
    print({chr(10).join(answers)!r})
"""
    folder.mkdir(exist_ok=True)
    (folder / "nvidia-smi").write_text(program)
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "pynvml", None)


@pytest.mark.parametrize("since_535", [True, False])
def test_nvidia_smi_tells_of_each_gpu(since_535: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = replace(CARD, reasons=THERMAL, pids=(7, 8)), replace(CARD, uuid="GPU-2", held_mib=None)
    smi(tmp_path, monkeypatch, first, second, since_535=since_535)
    assert read("before").gpus == (first, second)


@pytest.mark.parametrize(("visible", "seen"), [("1", ["GPU-2"]), ("GPU-1", ["GPU-1"]), ("", ["GPU-1", "GPU-2"])])
def test_only_the_gpus_that_a_server_may_use_are_looked_at(
    visible: str, seen: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi(tmp_path, monkeypatch, CARD, replace(CARD, uuid="GPU-2"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.uuid for gpu in read("before").gpus] == seen


def test_nvml_tells_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {
        "nvmlInit": None,
        "nvmlDeviceGetCount": 1,
        "nvmlDeviceGetHandleByIndex": "card",
        "nvmlDeviceGetUUID": b"GPU-1",  # bytes in old versions of the module
        "nvmlDeviceGetName": "NVIDIA H200",
        "nvmlSystemGetDriverVersion": "570.1",
        "nvmlDeviceGetVbiosVersion": "96.00",
        "nvmlDeviceGetMaxClockInfo": 1980,
        "nvmlDeviceGetPowerUsage": 300_000,
        "nvmlDeviceGetPowerManagementLimit": 700_000,
        "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
        "nvmlDeviceGetTemperature": 45,
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=0),
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=70000 * 2**20),
        "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=7)],
        "nvmlDeviceGetCurrentClocksThrottleReasons": THERMAL,  # only the name of before driver 535
    }
    module = SimpleNamespace(**{name: (lambda *_, value=value: value) for name, value in told.items()})
    module.nvmlDeviceGetClockInfo = lambda card, kind: {1: 1980, 2: 3201}[kind]
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert read("before").gpus == (replace(CARD, reasons=THERMAL, pids=(7,)),)


def test_without_a_gpu_the_cpu_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = read("before")
    assert found.gpus == ()
    assert found.cores >= 1
    assert found.load is not None


def watched(*during: Gpu, before: Gpu = CARD) -> list[Reading]:
    return [Reading("before", (before,)), *(Reading("during", (gpu,)) for gpu in during), Reading("after", (CARD,))]


def test_a_card_at_full_clock_leaves_no_doubt() -> None:
    assert doubts(watched(*[CARD] * 20)) == []


@pytest.mark.parametrize("bit", [0x8, 0x20, 0x40, 0x80])
def test_a_throttled_card_does(bit: int) -> None:
    slow = replace(CARD, reasons=bit, temperature_c=90.0)
    (found,) = doubts(watched(*[CARD] * 10, *[slow] * 10))
    assert "throttled in 10 of 20 readings" in found
    assert "90 degrees" in found


def test_one_throttled_moment_in_a_hundred_moves_no_median() -> None:
    assert doubts(watched(*[CARD] * 99, replace(CARD, reasons=THERMAL))) == []


@pytest.mark.parametrize(("limit", "held"), [(700.0, False), (450.0, True)])
def test_a_power_cap_counts_where_it_was_lowered(limit: float, held: bool) -> None:
    assert bool(throttled(replace(CARD, reasons=POWER_CAP | IDLE, limit_w=limit))) is held


def test_a_card_that_works_before_the_first_request_is_shared() -> None:
    (found,) = doubts(watched(CARD, before=replace(CARD, busy=60.0)))
    assert "shared: 60 % busy" in found


def test_a_process_that_comes_later_shares_the_card() -> None:
    (found,) = doubts(watched(replace(CARD, pids=(7, 9)), before=replace(CARD, pids=(7,))))
    assert "process 9 began" in found


def test_a_card_that_holds_no_model_is_not_the_servers() -> None:
    other = replace(CARD, uuid="GPU-2", held_mib=3.0, reasons=THERMAL, busy=90.0)
    readings = [replace(one, gpus=(*one.gpus, other)) for one in watched(CARD)]
    assert doubts(readings) == []


@pytest.mark.parametrize(("reasons", "verdict"), [(THERMAL, "INCONCLUSIVE"), (IDLE, "PASS")])
def test_a_throttled_card_makes_timing_inconclusive(
    reasons: int,
    verdict: str,
    truth: Callable[..., str],
    make_plan: Callable[..., Plan],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = truth()
    output = tmp_path / "timing.jsonl"
    smi(tmp_path / "bin", monkeypatch, replace(CARD, reasons=reasons))
    monkeypatch.setattr(machine, "EVERY_S", 0.2)
    shown: list[Any] = []
    (row,) = run(make_plan(url, "ttft_short", output=str(output)), shown.append)
    assert row.verdict == verdict, row.detail
    assert [event["verdict"] for event in shown if event["event"] == "row"] == [verdict]
    assert ("PASS by the numbers, but NVIDIA H200 was throttled" in row.detail) == (reasons == THERMAL)
    readings = readings_of(output)
    assert [readings[0].when, readings[1].when, readings[-1].when] == ["before", "during", "after"]
    assert readings[1].gpus[0].reasons == reasons


def test_a_server_elsewhere_has_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path / "bin", monkeypatch, replace(CARD, busy=90.0))
    monkeypatch.setattr(machine.Watch, "__enter__", lambda _: pytest.fail("this machine was looked at"))
    plan = Plan("http://192.0.2.1:1/v1", None, ("ttft_short",), {"messages": []}, timeout=0.1)
    (row,) = run(plan)
    assert row.verdict == "ERROR"


def test_readings_come_back_from_json() -> None:
    one = Reading("during", (replace(CARD, pids=(1, 2)),), 8, "performance", 0.5)
    assert Reading.from_dict(json.loads(json.dumps(asdict(one)))) == one


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"driver": "580.2"}, "the GPU's driver was 570.1 and is 580.2"),
        ({"limit_w": 450.0}, "the GPU's power limit in W was 700 and is 450"),
        ({"sm_mhz": 1200.0}, "the GPU's clock was 1980 MHz and is 1200 MHz"),
        ({"temperature_c": 80.0}, "the GPU had 45 degrees Celsius and has 80"),
        ({"sm_mhz": 1950.0, "temperature_c": 50.0}, ""),
    ],
)
def test_a_change_of_the_gpu_is_said(change: dict[str, Any], said: str) -> None:
    other = replace(CARD, **change)
    assert "; ".join(changes(watched(CARD), watched(other, before=other))) == said


def test_a_change_of_the_cpu_is_said() -> None:
    was, now = Reading("before", (), 8, "performance", 0.2), Reading("before", (), 4, "powersave", 3.0)
    assert changes([was], [now]) == [
        "the number of cores was 8 and is 4",
        "the CPU governor was performance and is powersave",
        "the load average before timing was 0.2 and is 3, on 4 cores",
    ]
    assert changes([], [now]) == []
