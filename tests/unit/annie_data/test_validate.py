"""`annie-data validate` lists every problem of a file with its line, and refuses unreadable files."""

import json
from pathlib import Path
from typing import Any

import pytest

from annie_data import cli

Line = dict[str, Any]


def _pair(ask: str, answer: str = "All right, that is done.", kind: str = "a") -> Line:
    messages = [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "meta": {"kind": kind}}


def _write(path: Path, lines: list[Any]) -> str:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return str(path)


def test_a_sound_file_is_status_0(tmp_path: Path, sound: Line, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path / "x.jsonl", [sound, "", _pair("Hello\u2028there"), _pair("Bye")])
    assert cli.main(["validate", path]) == 0
    assert "3 sound conversations" in capsys.readouterr().out


def test_every_problem_has_its_line(tmp_path: Path, sound: Line, capsys: pytest.CaptureFixture[str]) -> None:
    marked = json.loads(json.dumps(sound))
    marked["messages"][-1]["content"] = "**Here** it is."
    path = _write(
        tmp_path / "x.jsonl", [sound, "{", "[1]", marked, "", _pair("Hello there"), _pair("Hello, there!"), sound]
    )
    assert cli.main(["validate", path]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0].rpartition(":")[2] for line in told[:-1]] == ["2", "3", "4", "7", "8"]
    assert "not JSON" in told[0]
    assert "is a JSON list" in told[1]
    assert "emphasis" in told[2]
    assert "the same as line 6" in told[3]
    assert "the same as line 1" in told[4]
    assert "5 problems" in told[-1]


LONG = "Once a {} fox and a small grey mouse went over the high hill to the old mill to look for cheese and bread"


def test_near_twins_are_found_but_not_other_numbers_or_calls(
    tmp_path: Path, sound: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    other = json.loads(json.dumps(sound).replace("kite", "drum"))
    same = [_pair(LONG.format("red"), LONG.format("red") + "."), _pair(LONG.format("red"), LONG.format("shy") + ".")]
    numbers = [_pair(f"Wait {n} minutes for the tea, please", f"I wait {n} minutes for the tea.") for n in (5, 6)]
    path = _write(tmp_path / "x.jsonl", [sound, other, *same, *numbers])
    assert cli.main(["validate", path]) == 1
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2
    assert "x.jsonl:4: messages: nearly the same (0.9" in told[0]
    assert "as line 3" in told[0]


def test_balance_is_held_against_a_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mix = tmp_path / "mix.toml"
    mix.write_text('profile = "annie-smol"\n[kinds.a]\ncount = 2\n[kinds.b]\ncount = 1\ntool = "web_search"\n')
    path = _write(tmp_path / "x.jsonl", [_pair("Hello"), _pair("Goodbye", kind="b"), _pair("Thanks", kind="c")])
    assert cli.main(["validate", path, "--mix", str(mix)]) == 1
    told = capsys.readouterr().out
    assert "1 sound conversations of kind a, 2 wanted" in told
    assert "1 conversations of kind b do not call web_search" in told
    assert "1 conversations of kind c, which the mix does not have" in told


def test_one_answer_to_everything_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path / "x.jsonl", [_pair(f"What is number {n} about?", "I do not know.") for n in range(120)])
    assert cli.main(["validate", path]) == 0
    assert "note: the last reply 'i do not know' is that of 120 of 120" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"), (b"", "is empty"), (b"\n \n", "is empty"), (b"{}\n\xff", "x.jsonl:2: not UTF-8"),
        (b"hello\nworld\n", "no line is a JSON object"), (b"[]", "no line is a JSON object"),
    ],
)  # fmt: skip
def test_what_is_no_data_file_is_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, told: str
) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert cli.main(["validate", str(path)]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_directory_is_status_2(tmp_path: Path) -> None:
    assert cli.main(["validate", str(tmp_path)]) == 2
    assert cli.main(["validate", str(tmp_path), "--count", "3"]) == 2
