"""Counts how far a run is. The threads that do the work write it, and any thread may read it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from annie_eval.gates.judgement import Judgement

Stage = Literal["server", "timing", "state", "samples", "over"]


@dataclass(slots=True)
class Progress:
    """Counts of one run. Each field has one writer; a reader may see one of them a moment before another.

    Attributes:
        stage, since: what is under way, and since when (seconds of `time.monotonic`).
        step: what the server is doing while it starts; then which probe of its state is asked.
        rows, measured: timing gates that are wanted, and those that are decided.
        rounds, next_look: rounds of requests that timing has made, and after how many it looks again.
        wanted, judged, in_flight: samples.
        tokens: that all answers held, as far as the server says.
        misses: by gate.
        began, ended: when each stage began, and when the last sample was judged.
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

    def enter(self, stage: Stage) -> None:
        """A stage begins."""
        self.stage, self.since = stage, time.monotonic()
        self.began[stage] = self.since

    def took(self) -> dict[str, float]:
        """Seconds of timing, and of the samples until the last was judged, as far as there were any."""
        out = {}
        if "timing" in self.began and "samples" in self.began:
            out["timing"] = self.began.get("state", self.began["samples"]) - self.began["timing"]
        if "samples" in self.began and self.judged:
            out["samples"] = self.ended - self.began["samples"]
        return out

    def timing(self, event: Mapping[str, Any]) -> None:
        """Take an event of the timing process."""
        if event["event"] == "row":
            self.measured += 1
        elif event["event"] == "progress":
            self.rounds, self.next_look = event["rounds"], event["next_look"]

    def finished(self, tokens: Iterable[int | None]) -> None:
        """A sample is answered, with so many tokens a reply, or broken."""
        self.judged += 1
        self.ended = time.monotonic()
        self.tokens += sum(count or 0 for count in tokens)

    def judgements(self, judged: Iterable[Judgement]) -> None:
        """Count the misses."""
        for one in judged:
            if one.findings:
                self.misses[one.gate] += 1
