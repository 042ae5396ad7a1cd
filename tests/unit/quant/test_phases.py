"""A phase of the quantiser is announced when it begins and timed when it ends."""

from __future__ import annotations

import itertools
import logging
import os
import pty
import select
import sys
import termios
from pathlib import Path

import pytest

from quant.checkpoint import provenance
from quant.checkpoint.provenance import Provenance
from quant.checkpoint.quiet import quiet_imports
from quant.quantize import progress
from quant.quantize.progress import ProgressBar
from tests.support.screen import shown

WIDTH = 90


@pytest.fixture(autouse=True)
def _every_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PRINTED", 0.0)


def test_without_a_terminal_both_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    made = Provenance("ptq")
    with made.phase("load", "models/x, 0.3 GB"):
        assert capsys.readouterr().err == "load: models/x, 0.3 GB\n"
    assert capsys.readouterr().err == "load: 0 s\n"
    assert set(made.seconds) == {"load"}


def test_a_short_phase_ends_without_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "PRINTED", 60.0)
    with Provenance("ptq").phase("digest", "hashes"):
        pass
    assert capsys.readouterr().err == "digest: hashes\n"


def test_other_processes_of_a_launcher_print_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with Provenance("qat").phase("train", "400 steps"):
        pass
    assert capsys.readouterr().err == ""


def test_a_terminal_has_one_line_for_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, WIDTH))
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    made, output = Provenance("ptq"), ""

    def rows() -> list[str]:
        nonlocal output
        while select.select([master], [], [], 0.1)[0]:
            output += os.read(master, 65536).decode()
        return shown(output, WIDTH)

    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with made.phase("load", f"{'models/x' * 20}, 0.3 GB"):
            assert rows() == [f"load: {'models/x' * 20}"[: WIDTH - 1]]
        assert rows() == ["load: 0 s", ""]
        step = made.phase("quantize", "nvfp4-default, calibrated on these tokens")
        with step, ProgressBar("calibrate", 10, "tok") as bar:
            assert rows()[1:] == [""]
            bar.add(10)
        assert [row.partition(" ")[0] for row in rows()] == ["load:", "calibrate", "quantize:", ""]
        with pytest.raises(ValueError, match="broken"), made.phase("export", "writing"):
            raise ValueError("broken")
        print("annie-quant ptq: broken", file=terminal, flush=True)
        assert rows()[-3:] == ["export: writing", "annie-quant ptq: broken", ""]
    os.close(master)


def test_a_log_gets_a_line_after_ten_seconds_and_fewer_later(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(map(float, range(601)))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    told = []
    with ProgressBar("gptq", 600, "layer") as bar:
        for second in range(1, 601):
            bar.add(1)
            if line := capsys.readouterr().err:
                assert line.startswith("gptq [")
                told.append(second)
    assert told[:6] == [11, 22, 33, 44, 56, 71]
    gaps = [later - earlier for earlier, later in itertools.pairwise(told)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 61


def test_only_the_notice_that_there_is_no_gpu_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    quiet_imports()
    log = logging.getLogger("torch.utils.cpp_extension")
    log.warning("No CUDA runtime is found, using CUDA_HOME='%s'", "/usr/local")
    log.warning("the compiler is too old")
    assert caplog.messages == ["the compiler is too old"]


def test_a_slow_rate_has_decimals(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 14.0, 28.0))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    with ProgressBar("gptq", 30, "layer") as bar:
        bar.add(3)
        assert capsys.readouterr().err == "gptq [##                  ]  10%  0.21 layer/s \n"  # too early to estimate
        bar.add(3)
    assert capsys.readouterr().err == "gptq [####                ]  20%  0.21 layer/s  112 s left \n"
