"""The live line shows the current step, and leaves only pytest's output on the terminal."""

from __future__ import annotations

import os
import pty
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.gates.judgement import Judgement
from annie_eval.plugin import live_line
from annie_eval.report import live
from annie_eval.run.progress import Progress
from tests.support.screen import shown

WIDTH = 40


class Terminal:
    """A pty of 40 columns, and what was written on it."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, WIDTH))
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST  # no line discipline between the writer and us
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        os.set_blocking(self.master, False)
        self.file = os.fdopen(slave, "w")
        self.writer = SimpleNamespace(_file=self.file)
        self.output = ""

    def rows(self) -> list[str]:
        try:
            while part := os.read(self.master, 65536):
                self.output += part.decode()
        except BlockingIOError:
            pass
        return shown(self.output.replace("\r\n", "\n").replace("\n", "\r\n"), WIDTH)

    def close(self) -> None:
        self.file.close()
        os.close(self.master)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setattr(live_line, "_EVERY", 3600.0)  # the tests draw themselves
    made = Terminal()
    yield made
    made.close()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.sampled_from([".", "F", "\n", "x" * 39, "\x1b[32m.\x1b[0m", "[ 45%]", "\r4/4 workers", "draw"]),
        max_size=20,
    )
)
def test_it_stands_below_what_pytest_wrote_and_leaves_no_trace(steps: list[str]) -> None:
    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_line, "_EVERY", 3600.0)
        line = live_line.LiveLine(terminal.writer, lambda: "samples: 3/8 judged")
        alone = ""
        for step in steps:
            if step == "draw":
                line._draw()
                assert terminal.rows().count("samples: 3/8 judged") <= 1
            else:
                terminal.writer._file.write(step)
                alone += step
        line.close()
    expected = shown(alone.replace("\n", "\r\n"), WIDTH)
    found = terminal.rows()
    terminal.close()
    while len(found) > len(expected) and not found[-1]:
        found.pop()
    assert found == expected


def test_it_is_on_the_screen_between_two_writes(terminal: Terminal) -> None:
    line = live_line.LiveLine(terminal.writer, lambda: "samples: 3/8 judged, 8 in flight, 120 tokens/s, 2 s left")
    terminal.writer._file.write("...")
    line._draw()
    assert terminal.rows() == ["...", "samples: 3/8 judged, 8 in flight, 120 t"]  # a column short: no wrap
    terminal.writer._file.write("F")
    assert terminal.rows()[0] == "...F"
    line.close()
    assert terminal.writer._file is terminal.file


def test_only_a_terminal_that_nobody_wants_plain_is_drawn_on(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NO_COLOR", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert live_line.is_live(terminal.file)
    with (tmp_path / "log").open("w") as file:
        assert not live_line.is_live(file)
    for name, value in (("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert not live_line.is_live(terminal.file)


def test_plain_lines_come_by_themselves_and_at_once_when_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(live_line, "_PLAIN_EVERY", 0.05)
    writer, file = SimpleNamespace(width_of_current_line=0), tmp_path / "log"
    with file.open("w") as stream:
        lines = live_line.PlainLines(stream, writer, lambda: "server: loading weights (30 s)")
        lines.tell("starting vLLM")
        while "weights" not in file.read_text():
            time.sleep(0.01)
        writer.width_of_current_line = 3  # pytest has written "..."
        lines.tell("server state: prefix PASS")
        lines.close()
    first, *_ = told = file.read_text().split("\n")
    assert first == "starting vLLM"
    assert told[1] == "server: loading weights (30 s)"
    assert told[told.index("server state: prefix PASS") - 1] == ""


def progress(**facts: Any) -> Progress:
    made = Progress(since=100.0)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def test_it_says_what_the_server_does_and_for_how_long() -> None:
    assert live.line(progress(step="server: loading weights, 40 %"), 112.0) == "server: loading weights, 40 % (12 s)"


def test_it_says_how_far_timing_is() -> None:
    line = live.line(progress(stage="timing", rows=8, measured=2, rounds=5, next_look=15), 130.0)
    assert line == "timing: 2 of 8 gates decided (30 s), round 5 of 15, next verdict in 60 s"


def test_it_says_what_is_judged_missed_in_flight_and_left() -> None:
    made = progress(stage="samples", wanted=85, in_flight=8)
    for gate in ("no_markdown", "no_markdown", "brevity"):
        made.finished([120, None])
        made.judgements([Judgement(gate, "s", ("finding",))])  # type: ignore[arg-type]
    made.judgements([Judgement("factual", "s")])
    assert live.line(made, 103.0) == (
        "samples: 3/85 judged, 8 in flight, missed: no_markdown 2 brevity 1, 120 tokens/s, 82 s left"
    )


def test_the_plan_names_times_where_an_earlier_run_took_them() -> None:
    took = {"timing": 243.0, "samples": 25.2}
    assert live.plan_line(85, 8, 8, took) == (
        "plan: 8 timing gates, about 4 min, on the quiet server; then 85 samples, about 25 s, 8 at a time"
    )
    took["judged"] = 85
    assert live.plan_line(255, 8, 0, took) == "plan: 255 samples, about 76 s, 8 at a time"
    assert live.plan_line(1, 8, 0, {}) == "plan: 1 sample, 8 at a time"
    assert live.plan_line(85, 8, 0, {"state": 16.3}, probes=2) == (
        "plan: 2 probes of the server's state, about 16 s; then 85 samples, 8 at a time"
    )
    assert live.plan_line(0, 8, 0, {}, probes=1) == "plan: 1 probe of the server's state"


def test_a_later_plan_knows_how_many_samples_took_how_long() -> None:
    made = Progress()
    made.enter("samples")
    for _ in range(3):
        made.finished([None])
    assert made.took() == {"samples": made.ended - made.began["samples"], "judged": 3}
