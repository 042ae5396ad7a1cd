"""`annie-data generate`: wrong options are refused before the start, and mixes are scaled."""

from pathlib import Path

import pytest

from annie_data import cli
from annie_data.mix import load_mix

MIXES = Path(__file__).parents[3] / "research/annie_smol/mixes"
MIX = str(MIXES / "annie-430.toml")
TEACHER = ["--teacher", "command", "--command", "true"]
GOOD = 'profile = "annie-smol"\n[kinds.greetings]\ncount = 3\n'

MISTAKES = {
    "no such file": ("none.toml", None, "no such file"),
    "not TOML": ("mix.toml", "=", "not valid TOML"),
    "no kinds": ("mix.toml", 'profile = "annie-smol"', "kinds is missing"),
    "no profile": ("mix.toml", "[kinds.a]\ncount = 1", "profile is missing"),
    "no count": ("mix.toml", 'profile = "annie-smol"\n[kinds.a]', "kinds.a.count is None"),
    "a count below zero": ("mix.toml", GOOD.replace("3", "-3"), "kinds.greetings.count is -3"),
    "a count that is true": ("mix.toml", GOOD.replace("3", "true"), "kinds.greetings.count is True"),
    "nothing at all": ("mix.toml", GOOD.replace("3", "0"), "every count is 0"),
    "an unknown field": ("mix.toml", GOOD + "weight = 1", "kinds.greetings.weight is no field"),
    "an unknown field of the mix": ("mix.toml", "seed = 1\n" + GOOD, "seed is no field of a mix"),
    "turns the wrong way round": ("mix.toml", GOOD + "turns = [3, 2]", "kinds.greetings.turns is [3, 2]"),
    "more calls than conversations": ("mix.toml", GOOD + "turns = [1, 2]\ncalls = 4", "kinds.greetings.calls is 4"),
    "thinking in percent": ("mix.toml", "thinking = 30\n" + GOOD, "thinking is 30"),
    "an unknown tool": ("mix.toml", GOOD + 'tool = "seek"', "'seek' is no tool of annie-smol"),
    "an unknown profile": ("mix.toml", GOOD.replace("annie-smol", "bob"), "no such built-in profile"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_mix_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mix, content, told = MISTAKES[name]
    path = tmp_path / mix if mix.endswith(".toml") else Path(mix)
    if content is not None:
        path.write_text(content)
    assert cli.main(["generate", "--mix", str(path), *TEACHER, "--out", str(tmp_path / "out.jsonl")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*out*")), "nothing was begun"


OPTIONS = {
    "--teacher command --command true --count 0": "--count is 0",
    "--teacher command --command true --attempts 0": "--attempts is 0",
    "--teacher command --command true --timeout 0": "--timeout is 0",
    "--teacher command --command true --against nowhere.jsonl": "no such file",
    "": "--teacher",
    "--teacher builtin": "invalid choice: 'builtin'",
    "--teacher command": "needs --command",
    "--teacher command --command nonesuch-9": "there is no program 'nonesuch-9'",
    "--teacher command --command": "",
    "--teacher command --command ''": "--command is empty",
    "--teacher command --command 'a": "cannot be split",
    "--teacher endpoint": "needs --base-url",
    "--teacher endpoint --base-url here": "is no URL",
    "--teacher endpoint --base-url http://x/v1 --api-key-env NONE_SUCH_9": "NONE_SUCH_9 is not set",
    "--teacher endpoint --base-url http://x/v1 --command true": "--command is for --teacher command",
    "--teacher command --command true --base-url http://x/v1": "--base-url is for --teacher endpoint",
}


@pytest.mark.parametrize("words", OPTIONS)
def test_a_mistake_in_the_options_is_one_line(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [word.strip("'") if word != "'a" else word for word in words.split()]
    out = tmp_path / "out.jsonl"
    try:
        status = cli.main(["generate", "--mix", MIX, "--out", str(out), *given])
    except SystemExit as ended:  # argparse's own
        status = int(ended.code or 0)
    error = capsys.readouterr().err
    assert status == 2
    assert OPTIONS[words] in error
    assert error.count("\n") == 1


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    assert cli.main(["generate", "--mix", MIX, *TEACHER, "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_another_run_s_journal_is_not_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    journal = tmp_path / ".out.jsonl.journal"
    words = ["generate", "--mix", MIX, *TEACHER, "--resume", "--out", str(out)]
    journal.write_text('{"plan": {"seed": 7}}\n')
    assert cli.main(words) == 2
    assert "another mix, teacher, seed or profile" in capsys.readouterr().err
    journal.write_text("garbage\n")
    assert cli.main(words) == 2
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 9, 43, 431, 4300])
@pytest.mark.parametrize("name", ["annie-430", "annie-smol-10k"])
def test_a_mix_scales_to_exactly_the_count(name: str, count: int) -> None:
    mix = load_mix(MIXES / f"{name}.toml", count)
    assert mix.count == count
    assert sum(need.count for need in mix.needs()) == count
