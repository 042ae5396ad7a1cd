"""End to end: bless, compare and nightly as processes against a server: files, first lines, exit statuses."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import load
from annie_eval.profile.types import Profile
from tests.servers.fault_server import FaultServer
from tests.servers.planted_server import served
from tests.support.profiles import text_of

ROOT = Path(__file__).resolve().parents[2]


def cli(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "annie_eval.cli", *map(str, arguments)]
    # A parent that imported readline exports COLUMNS=80 to its children: a worker of xdist has it, one process not.
    more = {"env": {name: value for name, value in os.environ.items() if name != "COLUMNS"}, **more}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False, **more)


def gate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)


def first_line(done: subprocess.CompletedProcess[str]) -> str:
    """The first line of the gate's report."""
    lines = done.stdout.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip("= ") == "release gate"), None)
    assert start is not None, done.stdout + done.stderr
    return lines[start + 1]


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load("annie")


@pytest.fixture(scope="module")
def baseline(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean run, blessed."""
    folder = tmp_path_factory.mktemp("blessed")
    with served(profile) as url:
        assert gate("--base-url", url, "--run-dir", folder / "run").returncode == 0
    done = cli("bless", folder / "run", "--as", "deployed", "--baselines", folder / "baselines")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "run")  # the copy is enough
    return folder / "baselines" / "deployed"


def test_the_same_server_passes_and_the_first_line_says_that_nothing_changed(
    profile: Profile, baseline: Path, tmp_path: Path
) -> None:
    with served(profile) as url:
        done = gate("--base-url", url, "--run-dir", tmp_path / "r", "--baseline", baseline)
    assert done.returncode == 0, done.stdout
    assert first_line(done).startswith('regression: PASS against "deployed": nothing known of the server changed')
    assert [line for line in done.stderr.splitlines() if line.startswith("comparison:")] == [
        "comparison: asking the idle server a few questions several times",
        "comparison: with the baseline, then the report",
    ]
    written = json.loads((tmp_path / "r" / "verdict.json").read_text())["regression"]
    assert written["verdict"] == "PASS"
    assert written["same_words"] == [85, 85]
    again = cli("compare", tmp_path / "r", baseline)
    assert again.returncode == 0
    assert again.stdout.startswith('PASS against "deployed"')


PLANTED = {
    "renamed-tool": (1, "FAIL", "tool web_search is called search_web now"),
    "lost-tool-parser": (1, "FAIL", "the tool parser was lost or is another"),
    "lost-reasoning-parser": (1, "FAIL", "the reasoning parser was lost or is another"),
    "raised-temperature": (1, "FAIL", "the temperature was raised"),
    "longer-prompt": (4, "REFUSED", "the chat template or the tokenizer changed: 85 of 85 requests"),
    "longer-prompt-and-worse": (4, "REFUSED", "the chat template or the tokenizer changed: 85 of 85 requests"),
    "http-500": (1, "ERROR", "85 of 85 samples broke: HTTP 500"),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_regression_is_found_and_named_in_the_first_line(
    plant: str, profile: Profile, baseline: Path, tmp_path: Path
) -> None:
    status, verdict, message = PLANTED[plant]
    with served(profile, plant) as url:
        done = gate("--base-url", url, "--run-dir", tmp_path / "r", "--baseline", baseline)
    line = first_line(done)
    assert message in line
    assert line.startswith(f"regression: {verdict}")
    assert done.returncode == status, done.stdout[-2000:]
    assert json.loads((tmp_path / "r" / "verdict.json").read_text())["regression"]["headline"] in line


def test_both_answers_stand_under_each_sample_that_changed(profile: Profile, baseline: Path, tmp_path: Path) -> None:
    with served(profile, "lost-tool-parser") as url:
        done = gate("--base-url", url, "--run-dir", tmp_path / "r", "--baseline", baseline)
    text = done.stdout
    at = text.index("\nworse: tool_calling") + 1
    then, now = text[at:].splitlines()[1:3]
    assert then.startswith("  then calls ")
    assert now.startswith("  now  <tool_call>")
    page = tmp_path / "out.html"
    assert cli("report", tmp_path / "r", "--html", page).returncode == 0
    html = page.read_text()
    assert "Samples that changed" in html
    assert html.index("FAIL against") < html.index(">Gates</h2>")


def edited_profile(profile: Profile, folder: Path, edit: Callable[[str], str]) -> Path:
    """A copy of the profile's files, with the TOML edited."""
    text = text_of(profile.name)
    changed = edit(text)
    assert changed != text
    path = folder / "annie.toml"
    path.write_text(changed)
    return path


def test_another_temperature_in_the_profile_is_refused_before_anything_is_asked(
    profile: Profile, baseline: Path, tmp_path: Path
) -> None:
    warm = edited_profile(profile, tmp_path, lambda text: text.replace("temperature = 0.0", "temperature = 0.8"))
    with FaultServer(profile) as url:
        done = gate("--base-url", url, "--run-dir", tmp_path / "r", "--baseline", baseline, "--profile", warm)
    assert done.returncode == 4
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1
    assert "REFUSED, nothing to compare: sampling.temperature 0.0 -> 0.8" in lines[0]
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("wanted", ["no-such", "../x", "", "näme"])
def test_an_unknown_baseline_is_one_line(wanted: str, profile: Profile, tmp_path: Path) -> None:
    with served(profile) as url:
        done = gate("--base-url", url, "--run-dir", tmp_path / "r", "--baseline", wanted)
    assert done.returncode == 4
    assert len([line for line in done.stderr.splitlines() if line]) == 1
    assert "no such baseline" in done.stderr


def test_a_baseline_without_a_target_is_one_line() -> None:
    done = gate("--baseline", "deployed")
    assert done.returncode == 4
    assert "--model-dir or --base-url" in done.stderr


# Nights.


def nightly(
    url: str, baseline: Path, history: Path, *more: object, **options: Any
) -> subprocess.CompletedProcess[str]:
    return cli("nightly", "--base-url", url, "--baseline", baseline, "--history", history, *more, **options)


def test_nights_pass_are_kept_in_order_and_make_a_history(profile: Profile, baseline: Path, tmp_path: Path) -> None:
    history = tmp_path / "history"
    with served(profile) as url:
        for number in (1, 2):
            done = nightly(url, baseline, history)
            assert done.returncode == 0, done.stdout + done.stderr
            assert done.stdout.count("\n") == 1
            assert done.stdout.startswith(f"nightly {number:06d}-")
            assert ' PASS: PASS against "deployed": nothing known of the server changed' in done.stdout
            timed = re.findall(r"(?:TTFT|decode) (\S+) (?:ms|tok/s) \((\S+) to ([^\s;)]+)", done.stdout)
            assert timed, done.stdout
            assert all(0 < float(low) <= float(value) <= float(high) for value, low, high in timed), done.stdout
            assert "timing not compared: the baseline has none" in done.stdout
            progress = iter(done.stderr.splitlines())  # in this order
            assert f"nightly {number:06d}-" in next(progress)
            for start in ("plan: ", "server state: probe", "timing: ", "comparison with "):
                assert any(line.startswith(start) for line in progress), (start, done.stderr)
    shown = cli("history", history)
    assert shown.returncode == 0
    assert sum("85/85 96-100%" in row for row in shown.stdout.splitlines()) == 2  # a row a night
    assert "drift: none in 2 nights" in shown.stdout
    assert (history / "history.svg").read_text().startswith("<svg")


def test_a_worse_server_fails_the_night_and_the_paragraph_says_what_changed_first(
    profile: Profile, baseline: Path, tmp_path: Path
) -> None:
    with served(profile, "lost-tool-parser") as url:
        done = nightly(url, baseline, tmp_path / "history")
    assert done.returncode == 1
    assert re.match(r'nightly 000001-\S+ FAIL: FAIL against "deployed": the tool parser was lost', done.stdout)
    assert "tool_calling 10/10 -> 0/10" in done.stdout


def test_another_template_fails_the_night_and_keeps_what_was_judged(
    profile: Profile, baseline: Path, tmp_path: Path
) -> None:
    with served(profile, "longer-prompt") as url:
        done = nightly(url, baseline, tmp_path / "history")
    assert done.returncode == 1
    assert "FAIL: REFUSED cannot be compared" in done.stdout
    assert "85/85" in cli("history", tmp_path / "history").stdout


def test_a_server_that_is_gone_is_a_night_too(profile: Profile, baseline: Path, tmp_path: Path) -> None:
    history = tmp_path / "history"
    with served(profile) as url:
        assert nightly(url, baseline, history).returncode == 0
    done = nightly(url, baseline, history)
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1
    assert "ERROR: nothing was judged: " in done.stdout
    assert "no server reachable" in done.stdout
    assert "000002-" in cli("history", history).stdout


def test_two_nights_at_once_are_one_line(profile: Profile, baseline: Path, tmp_path: Path) -> None:
    history = tmp_path / "history"
    with served(profile, latency=100) as url:
        first = subprocess.Popen(
            [sys.executable, "-m", "annie_eval.cli", "nightly", "--base-url", url, "--baseline", str(baseline),
             "--history", str(history), "--concurrency", "4"],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(lambda: any(history.glob("000001-*/run.sqlite")))
        done = nightly(url, baseline, history)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert f"another nightly run is active (pid {first.pid}, since " in done.stderr
        out, _ = first.communicate(timeout=120)
    assert first.returncode == 0, out
    assert len(list(history.glob("0*"))) == 1


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


def test_a_machine_switched_off_in_the_middle_leaves_a_line_and_the_next_night_works(
    profile: Profile, baseline: Path, tmp_path: Path
) -> None:
    """SIGKILL of every process at once is what a power cut looks like to the files."""
    history = tmp_path / "history"
    with served(profile, latency=300) as url:
        first = subprocess.Popen(
            [sys.executable, "-m", "annie_eval.cli", "nightly", "--base-url", url, "--baseline", str(baseline),
             "--history", str(history), "--concurrency", "4"],
            cwd=ROOT, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: answered(history) > 3)
        for pid in [*descendants(first.pid), first.pid]:
            os.kill(pid, signal.SIGKILL)
        first.wait()
        got = answered(history)
    with served(profile) as url:
        done = nightly(url, baseline, history)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("nightly 000002-")
    assert re.search(r"000001-\S+ is left out: half-written: \d+ of 85 samples answered", done.stdout)
    shown = cli("history", history).stdout
    assert re.search(r"skipped: 000001-\S+: half-written", shown)
    assert answered(history, "000001-*") >= got  # nothing is lost: it can still be looked at


def answered(history: Path, which: str = "0*") -> int:
    for file in history.glob(f"{which}/run.sqlite"):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file, timeout=5)) as store:
            return int(store.execute("SELECT COUNT(*) FROM sample").fetchone()[0])
    return 0


def test_a_full_disk_is_one_line_and_earlier_nights_stay(profile: Profile, baseline: Path, tmp_path: Path) -> None:
    """No file may grow beyond 400 kB: what the disk does when it is full, without filling one."""
    history = tmp_path / "history"

    def cap() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    with served(profile) as url:
        assert nightly(url, baseline, history).returncode == 0
        before = {path: path.read_bytes() for path in history.glob("000001-*/*")}
        done = nightly(url, baseline, history, preexec_fn=cap)
        assert done.returncode == 1
        assert done.stdout.count("\n") == 1
        assert "the disk is full or fails" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        assert {path: path.read_bytes() for path in history.glob("000001-*/*")} == before
        done = nightly(url, baseline, history)
    assert done.returncode == 0
    assert done.stdout.startswith("nightly 000003-")


def test_a_stopped_night_stops_its_gate(profile: Profile, baseline: Path, tmp_path: Path) -> None:
    history = tmp_path / "history"
    with served(profile, latency=2000) as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "annie_eval.cli", "nightly", "--base-url", url, "--baseline", str(baseline),
             "--history", str(history), "--concurrency", "2"],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(lambda: any(history.glob("000001-*/run.sqlite")))
        wait_for(lambda: bool(descendants(process.pid)))
        children = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.count("\n") == 1
    assert "stopped by SIGTERM" in out
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


# Replicas.


@pytest.fixture
def pair(profile: Profile) -> Iterator[Callable[[str | None], tuple[str, str]]]:
    with contextlib.ExitStack() as stack:

        def start(plant: str | None) -> tuple[str, str]:
            return stack.enter_context(served(profile)), stack.enter_context(served(profile, plant))

        yield start


def test_replicas_share_the_samples_and_agree(pair: Any, baseline: Path, tmp_path: Path) -> None:
    first, second = pair(None)
    done = gate("--base-url", first, "--base-url", second, "--run-dir", tmp_path / "r", "--baseline", baseline)
    assert done.returncode == 0, done.stdout
    assert "replicas: 2 servers agree" in done.stdout
    found = json.loads((tmp_path / "r" / "verdict.json").read_text())["replicas"]
    assert sorted(server["n"] for server in found["servers"]) == [42, 43]
    assert [server["shared"] for server in found["servers"]] == [85, 85]
    with contextlib.closing(sqlite3.connect(tmp_path / "r" / "run.sqlite")) as store:
        assert store.execute("SELECT COUNT(*), COUNT(DISTINCT key) FROM sample").fetchone() == (85, 85)


def test_a_replica_that_answers_worse_is_named(pair: Any, tmp_path: Path) -> None:
    first, second = pair("leak-tagged")
    done = gate("--base-url", first, "--base-url", second, "--run-dir", tmp_path / "r")
    assert done.returncode == 1
    assert first_line(done).startswith("replicas differ: thinking_leak: ")
    assert f"{first} 25/25, {second} 0/25: {second} fails the gate" in first_line(done)


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        ("call-as-text", "never calls a tool in 10 samples of tool_calling where the others do"),
        ("call-dropped", "never calls a tool in 10 samples of tool_calling where the others do"),
        ("no-usage", "never tells its usage in 44 streamed samples where the others do"),
    ],
)
def test_a_replica_that_lacks_what_the_other_has_does_not_pass_whatever_it_was_dealt(
    plant: str, message: str, pair: Any, tmp_path: Path
) -> None:
    """The gate tolerates four dropped calls of ten, and half of the samples were dealt to the good server."""
    first, second = pair(plant)
    done = gate("--base-url", first, "--base-url", second, "--run-dir", tmp_path / "r")
    assert done.returncode == 1, done.stdout
    assert first_line(done).startswith("replicas differ: ")
    assert f"{second} {message}" in first_line(done)
    assert json.loads((tmp_path / "r" / "verdict.json").read_text())["verdict"] == "FAIL"


def test_a_replica_with_another_template_is_refused(pair: Any, tmp_path: Path) -> None:
    first, second = pair("longer-prompt")
    done = gate("--base-url", first, "--base-url", second, "--run-dir", tmp_path / "r")
    assert done.returncode == 4, done.stdout
    assert "is no replica of" in done.stderr
    assert "the chat template or the tokenizer differs" in done.stderr


def test_a_server_given_twice_is_one_line(profile: Profile, tmp_path: Path) -> None:
    with served(profile) as url:
        done = gate("--base-url", url, "--base-url", f"{url}/", "--run-dir", tmp_path / "r")
    assert done.returncode == 4
    assert "given twice" in done.stderr


def test_a_night_over_replicas(pair: Any, baseline: Path, tmp_path: Path) -> None:
    first, second = pair(None)
    done = nightly(first, baseline, tmp_path / "history", "--base-url", second)
    assert done.returncode == 0, done.stdout + done.stderr
