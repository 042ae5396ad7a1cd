"""`annie-eval show` prints a stored run, and every byte and timestamp of a sample's exchange."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from annie_eval.cli.main import main
from annie_eval.errors import UsageError
from annie_eval.gates.decide import RunVerdict
from annie_eval.gates.verdicts import Verdict
from annie_eval.report import show, terminal
from annie_eval.run import verdict_json
from annie_eval.run.store import Store

KEY = "no-markdown-00.stream.off"


def test_run_is_printed_as_it_was(run_dir: Path, failed: RunVerdict) -> None:
    again = show.run_lines(run_dir, color=False, width=100)
    expected = terminal.lines(dataclasses.replace(failed, run_dir=str(run_dir)), color=False, width=100, full=True)
    assert [line for line in again if "udc80" not in line] == [line for line in expected if "udc80" not in line]


def test_sample_shows_findings_and_the_answer_by_channel_without_bytes(run_dir: Path) -> None:
    lines = show.sample_lines(run_dir, KEY)
    order = [
        lines.index(f"sample {KEY}, answered {lines[0].partition(' answered ')[2]}"),
        next(i for i, line in enumerate(lines) if line.startswith("no_markdown: miss: markdown: a bullet list")),
        lines.index('    tool (call_1): ["milk"]'),
        lines.index(r"    content: - milk \x1b[2J<b>"),
        lines.index("    finish_reason: stop"),
        lines.index(f"requests and raw responses: annie-eval show {run_dir} {KEY} --raw"),
    ]
    assert order == sorted(order)
    assert order[-1] == len(lines) - 1 < 20
    assert not any("data:" in line or "content-type" in line or "temperature" in line for line in lines)


def test_raw_sample_shows_the_whole_exchange(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run_dir), KEY, "--raw"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines() == show.sample_lines(run_dir, KEY, raw=True)
    size = len(Store(run_dir).exchanges(KEY)[0].body)
    for part in (
        f"sample {KEY}, answered 20",
        "no_markdown: miss: markdown: a bullet list in content at 7-13 of exchange 1: Sure! \\n- milk",
        "exchange 1 of 1: turn 1, answers the tool results of round 1, streamed",
        "    temperature: 0.0",
        "    system: You are Annie.\n      Speak plainly.",
        "    user: What is on my list?",
        '    assistant: calls search_memory({"query":"x"}) (call_1)',
        '    tool (call_1): ["milk"]',
        '    search_memory(query: string, kind?: "note" | "list")',
        "  response: HTTP 200",
        "    content-type: text/event-stream",
        f"  body: {size} bytes in 3 reads",
        '       45.2 ms | data: {"id":"c1"',
        "       61.5 ms | data: [DONE]\n",
        "  answer\n"
        r"    content: - milk \x1b[2J<b>",
        "    reasoning: (absent or null)",
        "    finish_reason: stop",
    ):
        assert part in text, part
    assert text.count("data: {") == 2
    assert all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize(("outcome", "told"), [("PASS", True), ("FAIL", False)])
def test_a_pass_ends_with_how_to_name_a_sample(
    run_dir: Path, failed: RunVerdict, outcome: Verdict, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict_json.write(run_dir / verdict_json.FILE, dataclasses.replace(failed, verdict=outcome, run_dir=str(run_dir)))
    last = show.run_lines(run_dir, color=False, width=100)[-1]
    command = last.removeprefix("a sample: ").partition("; ")[0]
    assert (command != last) is told
    if told:
        assert main(command.split()[1:]) == 0
        assert capsys.readouterr().out.startswith(f"sample {KEY}")


def test_raw_needs_a_sample(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run_dir), "--raw"]) == 2
    assert "--raw: needs a SAMPLE" in capsys.readouterr().err


def test_sample_shows_what_was_expected(run_dir: Path) -> None:
    answer = {"any_of": ["milk", "eggs\x1b[2J"]}
    store = Store(run_dir)
    store.set_meta(profile_snapshot={"scenarios": {"no-markdown-00": {"turns": [{"expect": {"answer": answer}}]}}})
    store.close()
    assert r"expected: says one of: milk, eggs\x1b[2J" in show.sample_lines(run_dir, KEY)


def test_many_samples_of_a_name_are_counted(run_dir: Path) -> None:
    store = Store(run_dir)
    for number in range(12):
        store.save_sample(f"brevity-{number:02}.stream.off", None, [])
    store.close()
    with pytest.raises(UsageError, match=r"brevity-09\.stream\.off \(and 2 more\)\?$"):
        show.sample_lines(run_dir, "brevity")


def test_broken_sample_shows_its_cause_and_what_had_come(run_dir: Path) -> None:
    short = show.sample_lines(run_dir, "wire-integrity-00.stream.off")
    lines = show.sample_lines(run_dir, "wire-integrity-00.stream.off", raw=True)
    assert short[:-2] == [line for line in lines if not line.startswith("  ")]
    assert "error: HTTP 500 (sent 2 times)" in lines
    assert "wire_integrity: error: HTTP 500" in lines
    assert "broken attempt at exchange 1: HTTP 500, HTTP 500, sent again" in lines
    assert lines[-1].endswith(r"| <html>\xff\x1b[2J</html>")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("no-markdown-00", f"no sample no-markdown-00; did you mean {KEY}?"),
        ("no-markdown-01.stream.off", f"no sample no-markdown-01.stream.off; did you mean {KEY}"),
        ("markdown", f"no sample markdown; did you mean {KEY}?"),
        ("no_markdown-00", f"no sample no_markdown-00; did you mean {KEY}?"),
        ("no_markdwn-0", f"no sample no_markdwn-0; did you mean {KEY}?"),
        ("zzz", f"no sample zzz; the first are {KEY}, wire-integrity-00.stream.off"),
        ("never.stream.off", "was wanted but not answered"),
        ("", "no sample "),
    ],
)
def test_unknown_sample_is_one_line_with_the_nearest(run_dir: Path, key: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        show.sample_lines(run_dir, key)
    assert "\n" not in str(caught.value)


def test_unfinished_run_says_how_far_it_came(run_dir: Path) -> None:
    (run_dir / "verdict.json").unlink()
    store = Store(run_dir)
    store.set_meta(state="sampling")
    store.close()
    with pytest.raises(UsageError, match="no verdict yet: 2 of 3 samples answered, state sampling") as caught:
        show.run_lines(run_dir, color=False, width=80)
    command = f"annie-eval gate --model-dir /models/annie --profile annie --run-dir {run_dir} --resume"
    assert str(caught.value).endswith(command)


def test_a_run_without_a_gate_is_not_said_to_be_unfinished(run_dir: Path) -> None:
    (run_dir / "verdict.json").unlink()
    store = Store(run_dir)
    store.set_meta(state="finished")
    store.close()
    with pytest.raises(UsageError, match="no gate was run") as caught:
        show.run_lines(run_dir, color=False, width=80)
    assert "--resume" not in str(caught.value)


def test_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run here"):
        show.run_lines(tmp_path, color=False, width=80)
    with pytest.raises(UsageError, match="no run here"):
        show.sample_lines(tmp_path / "none", KEY)


def test_a_run_that_was_moved_tells_where_it_lies_now(run_dir: Path, tmp_path: Path) -> None:
    moved = run_dir.rename(tmp_path / "moved")
    assert f"run: {moved}" in show.run_lines(moved, color=False, width=200)
