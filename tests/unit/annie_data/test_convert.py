"""`annie-data convert`: each published format becomes the same lines; a row of unknown format is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annie_data.cli import main

ASKED, SAID = "Where are my keys?", "They hang by the door."
MESSAGES = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
ROWS: dict[str, dict[str, Any]] = {
    "ShareGPT": {"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": SAID}]},
    "prompt and completion": {"prompt": ASKED, "completion": SAID},
    "Alpaca": {"instruction": ASKED, "input": "", "output": SAID},
    "messages": {"messages": MESSAGES},
}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=2))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize("shape", ROWS)
def test_every_shape_in_every_file_becomes_the_same_line(
    shape: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write(tmp_path / f"set.{suffix}", [ROWS[shape]] * 2), tmp_path / "out.jsonl"
    assert main(["convert", str(file), "--out", str(out)]) == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == [{"messages": MESSAGES}] * 2
    assert f"2 conversations (2 {shape})" in capsys.readouterr().out


def test_calls_and_results_are_as_validate_wants_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "conversations": [
            {"from": "human", "value": ASKED},
            {"from": "function_call", "value": '{"name": "search_memory", "arguments": {"query": "keys"}}'},
            {"from": "observation", "value": "by the door"},
            {"from": "gpt", "value": SAID},
        ],
        "tools": json.dumps(
            [
                {
                    "type": "function",
                    "function": {
                        "name": "search_memory",
                        "description": "Search.",
                        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
                    },
                }
            ]
        ),
    }
    file, out = write(tmp_path / "set.jsonl", [row]), tmp_path / "out.jsonl"
    assert main(["convert", str(file), "--out", str(out)]) == 0
    line = json.loads(out.read_text())
    call = line["messages"][1]["tool_calls"][0]
    assert call["function"] == {"name": "search_memory", "arguments": '{"query":"keys"}'}
    assert line["messages"][2]["tool_call_id"] == call["id"]
    capsys.readouterr()
    assert main(["validate", str(out)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": ASKED}, ":2: no conversation"),
        ({"text": "prose"}, ":2: no conversation"),
        ({"messages": []}, ":2: no conversation"),
        ({"conversations": [{"from": "alien", "value": "x"}]}, ":2: conversations.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, ":2: messages.0: a tool's result without a call"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"name": "x"}]}]}, ":2: messages.0.tool_calls"),
    ],
)
def test_a_row_of_no_shape_is_named_and_nothing_is_written(
    row: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write(tmp_path / "set.jsonl", [ROWS["ShareGPT"], row]), tmp_path / "out.jsonl"
    assert main(["convert", str(file), "--out", str(out)]) == 2
    found = capsys.readouterr().err
    assert message in found
    assert found.count("\n") == 1
    assert not out.exists()


def test_a_file_that_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "set.jsonl", [ROWS["Alpaca"]])
    assert main(["convert", str(file), "--out", str(file)]) == 2
    assert "exists already" in capsys.readouterr().err
