"""Fixtures of the gates' tests: the judged sample of a test, and the row of a timing gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from annie_eval.plugin.selection import PERF, STATE
from annie_eval.run.reader import Judged, Reader, SampleBroken
from annie_eval.text import printable

if TYPE_CHECKING:
    from annie_eval.gates.server_state import ProbeResult
    from annie_eval.timing import TimingResult


@pytest.fixture
def judged(request: pytest.FixtureRequest) -> Judged:
    """The sample of this test, after it has been answered and judged."""
    from annie_eval.report import junit

    reader = _reader(request)
    gate, key = request.param
    try:
        judgement = reader.judgement(gate, key)
        request.node.user_properties += junit.case_properties(judgement)
        return reader.judged(gate, key)
    except SampleBroken as error:
        pytest.fail(f"{key}: {error}", pytrace=False)


@pytest.fixture
def timing(request: pytest.FixtureRequest) -> TimingResult:
    """The row of this test's timing gate, from the run's store."""
    from annie_eval.timing import TimingResult

    marker = request.node.get_closest_marker(PERF)
    try:
        return TimingResult.from_dict(_reader(request).timing(marker.args[0]))
    except SampleBroken as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def probed(request: pytest.FixtureRequest) -> ProbeResult:
    """The result of this test's probe of the server's state; the test is skipped if the probe could not run."""
    marker = request.node.get_closest_marker(STATE)
    try:
        found = _reader(request).state_probe(marker.args[0])
    except SampleBroken as error:
        pytest.fail(str(error), pytrace=False)
    if found.verdict is None:
        pytest.skip(printable(f"not checked: {found.unchecked}"))
    return found


def _reader(request: pytest.FixtureRequest) -> Reader:
    session = request.config.pluginmanager.get_plugin("annie-session")
    if session is None:
        pytest.skip("no target: give --model-dir or --base-url")
    reader: Reader = session.reader
    return reader
