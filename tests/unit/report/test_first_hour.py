"""The commands of the first hour: `init`, `profile check` and `gate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annie_eval.cli.gate import pytest_arguments
from annie_eval.cli.main import main
from annie_eval.errors import UsageError
from annie_eval.profile.defaults import read
from annie_eval.profile.load import load


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_writes_a_sound_profile_of_five_scenarios_and_names_it_for_pytest(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init"]) == 0
    profile = load(project / "assistant" / "assistant.toml")
    assert len(profile.scenarios) == 5
    assert len(profile.path.read_text().splitlines()) <= 20
    assert read(project / "pyproject.toml")["profile"] == str(project / "assistant" / "assistant.toml")
    assert main(["profile", "check", "assistant/assistant.toml"]) == 0
    assert "5 scenarios, 5 samples; 5 have an example" in capsys.readouterr().out


def test_init_keeps_what_is_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = project / "pyproject.toml"
    config.write_text('[project]\nname = "mine"')
    assert main(["init", "desk"]) == 0
    assert config.read_text() == '[project]\nname = "mine"\n[tool.annie-eval]\nprofile = "desk/assistant.toml"\n'
    assert main(["init", "desk"]) == 2
    assert "desk/assistant.toml: is there already" in capsys.readouterr().err
    before = config.read_text()
    assert main(["init", "other"]) == 0
    assert config.read_text() == before
    out = capsys.readouterr().out
    assert "annie-eval gate DIR --profile other/assistant.toml " in out
    assert "annie-eval gate http://127.0.0.1:8000/v1 --profile other/assistant.toml " in out


def spoil(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text)


def test_profile_check_shows_all_mistakes_at_once_and_judges_the_examples(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init"])
    capsys.readouterr()
    spoil(
        project / "assistant" / "assistant.toml",
        ('["knowledge"]', '["knowlege"]'),
        ("orders = { ", "orders = { rquired = 1, samplse = 2, "),
    )
    spoil(
        project / "assistant" / "assistant.jsonl",
        ('"category": "facts"', '"category": "fact"'),
        ('"stream": false', '"streams": false'),
        ('"loaves": 2}}]}', '"loaves": "two"}}]}'),
        ("Keep it", "**Keep** it"),
    )
    assert main(["profile", "check", "assistant/assistant.toml"]) == 1
    out = capsys.readouterr().out.splitlines()
    for expected in (
        "gates.orders.rquired is an unknown key",
        "gates.orders.samplse is an unknown key",
        "assistant.jsonl:2: streams is an unknown key",
        'detectors[0] is "knowlege"',
        'assistant.jsonl:1: category "fact" is judged by no gate',
        'assistant.jsonl:3: expect.calls[0].arguments.loaves wants "two"',
        "assistant.jsonl:5: example fails gates.small_talk (markdown",
    ):
        assert sum(expected in line for line in out) == 1, (expected, out)


def test_profile_check_goes_on_behind_broken_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init"])
    capsys.readouterr()
    spoil(
        project / "assistant" / "assistant.jsonl", ('{"id": "opening"', '{"id" "opening"'), ('"id": "tips"', '"i": 1')
    )
    assert main(["profile", "check", "assistant/assistant.toml"]) == 1
    out = capsys.readouterr().out
    assert "assistant.jsonl:1:7: is broken JSON" in out
    assert "assistant.jsonl:5: i is an unknown key" in out
    assert "assistant.jsonl:5: id is missing" in out


def test_profile_check_of_a_file_that_is_not_there_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "check", "nowhere.toml"]) == 1
    assert capsys.readouterr().out == "profile nowhere.toml: no such file\n"


def test_gate_takes_the_target_first_and_hands_the_rest_to_pytest(project: Path) -> None:
    (project / "model").mkdir()
    plain = ["-q"]
    assert pytest_arguments(["model", "-k", "markdown"]) == [*plain, "--model-dir=model", "-k", "markdown"]
    assert pytest_arguments(["http://box/v1"]) == [*plain, "--base-url=http://box/v1"]
    assert pytest_arguments(["--base-url", "http://box/v1", "-n", "4"]) == [
        *plain,
        "--base-url",
        "http://box/v1",
        "-n",
        "4",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "name what to judge: a checkpoint's directory or a server's URL"),
        (["-k", "markdown"], "name what to judge"),
        (["nothere"], "nothere: no such directory, and no URL"),
        (["box:8000/v1"], "a URL begins with http:// or https://"),
    ],
)
def test_gate_without_a_target_is_one_line(
    given: list[str], said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", *given]) == 4
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_gate_takes_the_target_of_pyproject_toml(project: Path) -> None:
    (project / "test_own.py").write_text("")
    assert pytest_arguments(["test_own.py::test_it"], configured=True) == ["-q", "test_own.py::test_it"]
    assert pytest_arguments([], configured=True) == ["-q"]


def test_runs_before_there_is_one_says_what_makes_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == "no runs yet: annie-eval gate makes one in runs\n"
    assert main(["runs", "elsewhere"]) == 2


@pytest.mark.parametrize("command", ["doctor", "serve", "perf", "matrix", "blame", "nightly"])
def test_help_says_where_defaults_come_from(
    command: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = capsys.readouterr().out
    default = "that of the baseline" if command == "nightly" else "that of pyproject.toml, else annie"
    (line,) = [line for line in out.splitlines() if line.strip().startswith("--profile ")]
    assert line.endswith(f"(default: {default})")
    but = ", but for --profile" if command == "nightly" else ""
    assert f"[tool.annie-eval] of pyproject.toml may set other defaults{but}." in out


@pytest.mark.parametrize("configured", [True, False])
def test_serve_and_doctor_take_the_profile_that_their_help_names(
    configured: bool, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if configured:
        (project / "pyproject.toml").write_text('[tool.annie-eval]\nprofile = "annie-smol"\n')
    taken: list[str] = []

    def stop(name: str) -> None:
        taken.append(name)
        raise UsageError("enough")

    monkeypatch.setattr("annie_eval.profile.load.load", stop)
    assert main(["serve", "model"]) == main(["doctor", "--model-dir", "model"]) == 2
    assert taken == ["annie-smol" if configured else "annie"] * 2


@pytest.mark.parametrize("name", ["annie-smol", "assistant/assistant.toml"])
def test_profile_show_prints_what_a_conversation_to_calibrate_with_begins_with(
    name: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init"]) == 0
    capsys.readouterr()
    assert main(["profile", "show", name]) == 0
    line, profile = json.loads(capsys.readouterr().out), load(name)
    assert line["messages"] == [{"role": "system", "content": profile.system_prompt}]
    assert line["tools"] == list(profile.tools.values())
    assert main(["profile", "show", "nowhere.toml"]) == 2
    assert "nowhere.toml" in capsys.readouterr().err
