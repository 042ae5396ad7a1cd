"""annie-eval's commands print their results, and report bad input in one line with status 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from annie_eval.cli import main
from annie_eval.gates.decide import decide
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.load import load
from annie_eval.report.phrases import rules_out_of
from annie_eval.run.directory import lock
from annie_eval.run.store import Store
from annie_eval.text import printable

KEY = "no-markdown-00.stream.off"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which bad input is refused."""
    try:
        status = main.main(arguments)
    except SystemExit as left:
        status = int(left.code or 0)
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert printed.err.startswith("annie-eval")
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("dance",), "invalid choice: 'dance'"),
        (("show",), "the following arguments are required: RUN"),
        (("show", "nowhere"), "nowhere: no such run"),
        (("runs", "nowhere"), "nowhere: no such directory"),
        (("report", "nowhere"), "nowhere: no such run"),
        (("report", "nowhere", "--json"), "nowhere: no such run"),
        (("gates", "no-such-profile"), "no-such-profile"),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(capsys, *arguments)


def test_report_writes_the_page_into_the_run_and_show_names_it(
    capsys: pytest.CaptureFixture[str], run_dir: Path
) -> None:
    assert main.main(["show", str(run_dir)]) == 0
    assert "report.html" not in capsys.readouterr().out
    assert main.main(["report", str(run_dir)]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert page == run_dir / "report.html"
    assert page.read_text().startswith("<!doctype html>")
    assert main.main(["show", str(run_dir)]) == 0
    assert f"page: {page}" in capsys.readouterr().out


def test_say_speaks_an_answer_through_standard_input(
    capsys: pytest.CaptureFixture[str], run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = tmp_path / "espeak-ng"
    engine.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat > {tmp_path}/heard\n')
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert main.main(["say", str(run_dir), KEY]) == 0
    printed = capsys.readouterr().out
    assert " s  " in printed
    heard = (tmp_path / "heard").read_text()
    assert heard.strip()
    assert printable(heard.strip()) in printed
    assert (tmp_path / "asked").read_text().split() == ["-v", "en", "-s", "150", "--stdin"]


def test_say_needs_no_engine_to_tell_how_long_it_takes(
    capsys: pytest.CaptureFixture[str], run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main.main(["say", str(run_dir), KEY]) == 0
    assert "not spoken" in capsys.readouterr().err
    assert "has no sample" in refused(capsys, "say", str(run_dir), "nobody")


def test_bad_run_directories_are_one_line(capsys: pytest.CaptureFixture[str], run_dir: Path, tmp_path: Path) -> None:
    assert "no run here" in refused(capsys, "show", str(tmp_path))
    assert "did you mean" in refused(capsys, "show", str(run_dir), "no-markdown-00")
    assert "cannot be written" in refused(capsys, "report", str(run_dir), "--html", str(tmp_path / "no" / "x.html"))
    (run_dir / "verdict.json").write_text("{")
    assert "not readable as JSON" in refused(capsys, "show", str(run_dir))
    whole = (run_dir / "run.sqlite").read_bytes()
    (run_dir / "run.sqlite").write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    assert "annie-eval: " in refused(capsys, "show", str(run_dir), KEY)


def test_show_prints_the_run_and_a_sample(capsys: pytest.CaptureFixture[str], run_dir: Path) -> None:
    assert main.main(["show", str(run_dir)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "verdict: FAIL (1 of 7 gates failed: no_markdown 7/15, needs 12)"
    assert "\x1b" not in out
    assert main.main(["show", str(run_dir), KEY]) == 0
    assert "    finish_reason: stop" in capsys.readouterr().out


def test_a_run_is_found_by_its_name(
    capsys: pytest.CaptureFixture[str], run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    run_dir.rename(tmp_path / "runs" / "a-run")
    (tmp_path / "a-run").mkdir()  # holds no run
    monkeypatch.chdir(tmp_path)
    assert main.main(["show", "a-run"]) == 0
    assert "verdict: FAIL" in capsys.readouterr().out
    assert main.main(["runs"]) == 0
    assert "a-run" in capsys.readouterr().out


def test_runs_lists_the_newest_first_and_reports_and_skips_what_is_damaged(
    capsys: pytest.CaptureFixture[str], run_dir: Path, tmp_path: Path
) -> None:
    runs = run_dir.parent
    for name, started, facts in (
        ("gateless", 1794000000.0, {"state": "finished"}),
        ("older", 1795000000.0, {"state": "finished", "verdict": "PASS"}),
        ("killed", 1795900000.0, {"state": "sampling"}),
        ("refused", 1795950000.0, {"state": "failed: --served-model x: not served at http://h/v1"}),
    ):
        (runs / name).mkdir()
        store = Store(runs / name, create=True)
        store.set_meta(identity={"profile": "annie", "target": "http://h/v1"}, started=started, **facts)
        store.close()
    (runs / "empty").mkdir()
    (runs / "nameless").mkdir()
    Store(runs / "nameless", create=True).close()
    for name, content in (("garbage", b"not a database" * 100), ("cut", b"SQLite format 3\x00\x10"), ("void", b"")):
        (runs / name).mkdir()
        (runs / name / "run.sqlite").write_bytes(content)
    whole = (run_dir / "run.sqlite").read_bytes()
    (runs / "holed").mkdir()
    (runs / "holed" / "run.sqlite").write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert main.main(["runs", str(runs)]) == 0
    printed = capsys.readouterr()
    head, *rows = printed.out.splitlines()
    assert head.split() == ["started", "profile", "verdict", "run", "target"]
    assert [
        name for row in rows for name in ("refused", "killed", "a-run", "older", "gateless") if f"  {name}  " in row
    ] == [
        "refused",
        "killed",
        "a-run",
        "older",
        "gateless",
    ]
    assert len(rows) == 5
    assert "  unfinished (failed)  " in rows[0]
    assert "  interrupted (sampling)  " in rows[1]
    assert "  no gate  " in rows[4]
    skipped = printed.err.splitlines()
    assert all(line.startswith("skipped: ") for line in skipped)
    for name in ("nameless", "garbage", "cut", "void", "holed"):
        assert any(f"/{name}" in line for line in skipped), name
    assert not any("/empty" in line for line in skipped)


def test_runs_tells_a_resumed_run_in_progress_from_one_whose_process_is_gone(
    capsys: pytest.CaptureFixture[str], run_dir: Path
) -> None:
    store = Store(run_dir)
    store.set_meta(state="sampling")  # as a run does that is resumed: the old verdict is still there
    store.close()
    with lock(run_dir):
        assert main.main(["runs", str(run_dir.parent)]) == 0
        assert "  running (sampling)  " in capsys.readouterr().out
    assert main.main(["runs", str(run_dir.parent)]) == 0
    assert "  interrupted (sampling)  " in capsys.readouterr().out
    store = Store(run_dir)
    store.set_meta(state="finished")
    store.close()
    assert main.main(["runs", str(run_dir.parent)]) == 0
    assert "  FAIL  " in capsys.readouterr().out


def test_an_empty_directory_has_no_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no runs\n"


def test_report_writes_a_page_and_prints_json(
    capsys: pytest.CaptureFixture[str], run_dir: Path, tmp_path: Path
) -> None:
    page = tmp_path / "out.html"
    assert main.main(["report", str(run_dir), "--html", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "FAIL"
    assert "What is on my list?" in page.read_text(encoding="utf-8")


def test_gates_prints_the_operating_curves_of_a_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["gates", "annie"]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    at = rows["gate"].index("50%")
    assert rows["tool_calling"][at] == "38%"
    assert rows["no_markdown"][rows["gate"].index("70%")] == "30%"
    assert rows["thinking_leak"][rows["gate"].index("95%")] == "28%"
    assert rows["thinking_leak"][-1] == ">12.2%"


@pytest.mark.parametrize("name", ["annie", "annie-strict", "annie-smol"])
def test_gates_rules_out_what_the_table_of_a_run_without_misses_rules_out(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["gates", name]) == 0
    told = {line.split()[0]: line.split()[-1] for line in capsys.readouterr().out.splitlines() if line}
    profile = load(name)
    for gate in profile.gates.values():
        passed = [Judgement(gate.name, key) for each in profile.gate_scenarios(gate) for key in each.sample_keys()]
        assert told[gate.name] == rules_out_of(decide(gate, passed, len(passed)))


@pytest.mark.parametrize("more", [(), ("--until-decided", "2")])
def test_gates_names_the_gate_that_judges_no_samples(
    capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    assert main.main(["gates", "annie-smol", *more]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("server_state judges no samples")
    assert last.endswith("warm_cold, poison.")


def test_doctor_names_what_is_wrong_with_a_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.main(["doctor", "--model-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("FAIL  target: ")
    assert "config.json" in line
    assert main.main(["doctor"]) == 2
    assert "no target" in capsys.readouterr().out


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "annie_eval.cli", *arguments]
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment}, check=False)


def test_any_answer_prints_in_any_locale(run_dir: Path) -> None:
    done = run("show", str(run_dir), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert done.stdout.isascii()


def test_a_reader_that_leaves_early_is_no_error(run_dir: Path) -> None:
    command = f"{sys.executable} -m annie_eval.cli show {run_dir} {KEY} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert done.stdout.startswith(b"sample no-markdown-00")
    assert done.stderr == b""
    assert done.returncode == 0


def test_start_is_light() -> None:
    heavy = {"torch", "openai", "jsonschema", "sqlite3"}
    code = f"import sys, annie_eval.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_commands_take_their_defaults_from_pyproject_and_the_command_line_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.annie-eval]\nbase-url = "http://127.0.0.1:9/v1"\nhardware = "h100"\nprofile = "annie-strict"\n'
    )
    seen: dict[str, object] = {}
    monkeypatch.setattr("annie_eval.cli.perf.perf", lambda options: seen.update(vars(options)) or 0)
    assert main.main(["perf", "--hardware", "cpu"]) == 0
    assert (seen["base_url"], seen["hardware"], seen["profile"]) == ("http://127.0.0.1:9/v1", "cpu", "annie-strict")
    assert main.main(["perf", "--model-dir", "m"]) == 0
    assert (seen["base_url"], seen["model_dir"]) == (None, Path("m"))
    (tmp_path / "pyproject.toml").write_text("[tool.annie-eval]\nport = 3\n")
    assert main.main(["perf"]) == 2
    assert "has no key 'port'" in capsys.readouterr().err
