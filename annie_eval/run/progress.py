"""Counts the progress of a run. Working threads write it, any thread may read it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from annie_eval.gates.judgement import Judgement

Stage = Literal["server", "timing", "state", "samples", "comparison"]


@dataclass(slots=True)
class Progress:
    """Counts of one run. Each field has one writer; a reader may see fields of slightly different times.

    Attributes:
        stage, since: current stage, and its start (seconds of `time.monotonic`).
        step: what the server does while it starts; later the current probe of its state, or step of a comparison.
        rows, measured: number of selected timing gates, and of decided ones.
        rounds, next_look: rounds of requests that timing has made, and after how many it tests again.
        wanted, judged, in_flight: samples.
        tokens: number of tokens of all answers, if the server reports them.
        misses: misses by gate.
        began, ended: start of each stage, and time of the last judgement.
        tell: prints a line that stays; does nothing where a live line shows the same.
    """

    stage: Stage = "server"
    since: float = field(default_factory=time.monotonic)
    step: str = ""
    rows: int = 0
    measured: int = 0
    rounds: int = 0
    next_look: int = 0
    wanted: int = 0
    judged: int = 0
    in_flight: int = 0
    tokens: int = 0
    misses: Counter[str] = field(default_factory=Counter)
    began: dict[str, float] = field(default_factory=dict)
    ended: float = 0.0
    tell: Callable[[str], None] = lambda line: None

    def enter(self, stage: Stage) -> None:
        """Start a stage."""
        self.stage, self.since = stage, time.monotonic()
        self.began[stage] = self.since

    def begin_step(self, step: str) -> None:
        """Show a step in the live line, or as a line that stays."""
        self.step = step
        self.tell(step)

    def took(self) -> dict[str, float]:
        """Seconds of timing, of the server's state, and of samples until the last judgement, if there were any.

        `judged` is the number of these samples.
        """
        out = {}
        if "timing" in self.began and "samples" in self.began:
            out["timing"] = self.began.get("state", self.began["samples"]) - self.began["timing"]
        if "state" in self.began and "samples" in self.began:
            out["state"] = self.began["samples"] - self.began["state"]
        if "samples" in self.began and self.judged:
            out |= {"samples": self.ended - self.began["samples"], "judged": self.judged}
        return out

    def timing(self, event: Mapping[str, Any]) -> None:
        """Process an event of the timing process."""
        if event["event"] == "row":
            self.measured += 1
        elif event["event"] == "progress":
            self.rounds, self.next_look = event["rounds"], event["next_look"]

    def finished(self, tokens: Iterable[int | None]) -> None:
        """Count an answered or broken sample and its tokens."""
        self.judged += 1
        self.ended = time.monotonic()
        self.tokens += sum(count or 0 for count in tokens)

    def judgements(self, judged: Iterable[Judgement]) -> None:
        """Count the misses."""
        for one in judged:
            if one.findings:
                self.misses[one.gate] += 1
