"""End to end: the timing gates against servers of known timing: fast, slow, without usage."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
from tests.servers.truth_server import Truth, serve  # type: ignore[import-not-found]  # noqa: E402

Serve = Callable[..., str]
FAST = {"ttft_ms": 20.0, "itl_ms": 5.0}


@pytest.fixture
def truth() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(serve(Truth(**how)))


def perf(run_dir: Path, url: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run tests/perf by the limits of the study's box; the process and its verdict.json."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/perf", "--hardware", "dgx-spark"),
            *("--base-url", url, "--run-dir", str(run_dir), *arguments),
        ],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done, json.loads((run_dir / "verdict.json").read_text())


def stored(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(run_dir / "run.sqlite")) as store:
        rows = store.execute("SELECT value FROM timing WHERE kind = ? ORDER BY position", (kind,))
        return [json.loads(value) for (value,) in rows]


@pytest.mark.parametrize("mode", [["-n", "4"], ["-p", "no:xdist"]], ids=" ".join)
def test_ttft_alone_is_measured_once_whatever_the_number_of_workers(
    mode: list[str], truth: Serve, tmp_path: Path
) -> None:
    server = truth(ttft_ms=15.0, itl_ms=2.0, prefill_us=2.0, cache=True, report_cached=True, metrics=True)
    done, verdict = perf(tmp_path / "r", server, "-k", "ttft", *mode)
    rows = {row["name"]: row for row in verdict["timings"]}
    assert rows.keys() == {"ttft_short", "ttft_cold", "ttft_warm"}
    assert rows["ttft_short"]["verdict"] == "PASS", rows["ttft_short"]["detail"]
    assert (tmp_path / "r/ttft.svg").read_text().startswith("<svg")
    assert "<figure><svg" in html(tmp_path / "r")
    measurements = stored(tmp_path / "r", "measurement")
    assert len([one for one in measurements if one["source"] == "short"]) == rows["ttft_short"]["n"]
    on_disk = [json.loads(line) for line in (tmp_path / "r/timing.jsonl").read_text().splitlines()]
    assert len([event for event in on_disk if event["event"] == "measurement"]) == len(measurements)
    assert [row["name"] for row in stored(tmp_path / "r", "row")] == [row["name"] for row in verdict["timings"]]
    assert done.returncode in (0, 1)  # cold and warm depend on this machine's noise; their truth is tested elsewhere


def html(run_dir: Path) -> str:
    page = run_dir / "page.html"
    subprocess.run(
        [sys.executable, "-m", "annie_eval.cli", "report", str(run_dir), "--html", str(page)], cwd=ROOT, check=True
    )
    return page.read_text()


def test_a_slow_server_is_refused_by_the_gate_that_it_misses(truth: Serve, tmp_path: Path) -> None:
    done, verdict = perf(tmp_path / "r", truth(ttft_ms=160.0, itl_ms=2.0), "-k", "short")
    assert done.returncode == 1
    (row,) = verdict["timings"]
    assert (row["name"], row["verdict"]) == ("ttft_short", "FAIL")
    assert 159 < row["median"] < 170
    assert verdict["verdict"] == "FAIL"


def test_without_metrics_and_without_extras_it_is_measured_and_says_what_could_not_be_checked(
    truth: Serve, tmp_path: Path
) -> None:
    server = truth(**FAST, bare=True, usage="none", finish="stop", metrics=False)
    done, verdict = perf(tmp_path / "r", server, "-k", "short or tokens_come_fast", "--served-model", "some-model")
    rows = {row["name"]: row for row in verdict["timings"]}
    assert rows["ttft_short"]["median"] == pytest.approx(20.0, abs=5.0)
    assert "no vLLM counters" in verdict["capabilities"]["metrics"]
    assert rows["decode"]["verdict"] == "INCONCLUSIVE"
    assert "no usage, so tokens cannot be counted" in rows["decode"]["detail"]
    assert done.returncode == 1


def test_a_process_killed_in_the_middle_keeps_what_it_measured(truth: Serve, tmp_path: Path) -> None:
    """Rows that were decided before the kill stand; only the others are measured again."""
    import signal
    import time

    run = [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/perf", "--hardware", "dgx-spark"),
        *(
            "-k",
            "short or tokens_come_fast",
            "--base-url",
            truth(**FAST, jitter_ms=0.0),
            "--run-dir",
            str(tmp_path / "r"),
        ),
    ]
    process = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    before: list[dict[str, Any]] = []
    while not before and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
        with contextlib.suppress(sqlite3.OperationalError):
            before = stored(tmp_path / "r", "row")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert before
    subprocess.run([*run, "--resume"], cwd=ROOT, capture_output=True, check=False, timeout=120)
    after = stored(tmp_path / "r", "row")
    assert after[0] == before[0]
    assert sorted(row["name"] for row in after) == ["decode", "ttft_short"]
