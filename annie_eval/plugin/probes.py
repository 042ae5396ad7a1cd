"""pytest fixtures and terminal report of the probes. Loaded only if `-m` selects probes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from annie_eval.plugin.on_demand import PROBE
from annie_eval.plugin.options import option
from annie_eval.probes import report

if TYPE_CHECKING:
    from annie_eval.probes.prober import Prober
    from annie_eval.probes.search import Outcome, ProbeReply
    from annie_eval.run.lifecycle import Run
    from annie_eval.run.reader import Reader


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let `-k` find a probe by its name in the report."""
    item.extra_keyword_matches.update(str(name) for mark in item.iter_markers(PROBE) for name in mark.args)


class Probes:
    """Properties that a test can check for generated prompts. Each method fails with the shortest failing prompt."""

    def __init__(self, prober: Prober, reader: Reader) -> None:
        self._prober, self._reader = prober, reader

    def never(self, detector: str) -> None:
        """Check that this detector finds nothing in the reply to any prompt."""
        self._run(lambda: self._prober.never(detector))

    def same_call(self) -> None:
        """Check that noise in a scenario's prompt does not change the call."""
        self._run(self._prober.same_call)

    def any_tool(self) -> None:
        """Check that calls of generated tools fit their schemas."""
        self._run(self._prober.any_tool)

    def _run(self, probe: Callable[[], Outcome]) -> None:
        from annie_eval.probes.prober import NothingToProbe

        try:
            outcome = probe()
        except NothingToProbe as nothing:
            pytest.skip(str(nothing))
        row = self._reader.store.timing("probe")
        its = next(each for each in reversed(row) if each["name"] == outcome.probe)
        if its["outcome"] == "nothing":
            pytest.skip(report.summary(its))
        if its["outcome"] != "holds":
            answer = [] if outcome.reply is None else _answer(outcome.reply)
            lines = report.details(its, str(self._reader.store.run_dir), answer)
            pytest.fail("\n".join(lines), pytrace=False)


def _answer(reply: ProbeReply) -> list[str]:
    """The channels of the reply, one line each."""
    if reply.load is None:
        return []
    answer = reply.load().exchanges[-1].answer
    lines = [f"{name}: {text!r}" for name in ("content", "reasoning") if (text := getattr(answer, name)) is not None]
    return [line[:400] for line in [*lines, *(f"call: {call.name}({call.arguments})" for call in answer.tool_calls)]]


@pytest.fixture(scope="session")
def probes(request: pytest.FixtureRequest) -> Probes:
    """The probes of this run's profile, for its server."""
    from annie_eval.probes.prober import Prober

    config = request.config
    session = config.pluginmanager.get_plugin("annie-session")
    if session is None:
        pytest.skip("no target: give --model-dir or --base-url")
    reader: Reader = session.reader
    reader.endpoint(None)  # the server is ready
    # hypothesis's own variable; without it the directory .hypothesis in the root of the project.
    database = Path(os.environ.get("HYPOTHESIS_STORAGE_DIRECTORY", config.rootpath / ".hypothesis")) / "examples"
    prober = Prober(reader, database, option(config, "probe-budget"), option(config, "probe-seed"))
    return Probes(prober, reader)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = config.pluginmanager.get_plugin("annie-session")
    run: Run | None = getattr(session, "run", None)
    if run is not None and (rows := run.store.timing("probe")):
        terminalreporter.section("probes")
        for row in {row["name"]: row for row in rows}.values():
            terminalreporter.write_line(report.summary(row))
        terminalreporter.write_line(f"run: {run.dir}")
