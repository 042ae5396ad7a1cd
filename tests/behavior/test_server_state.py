"""A server's answer depends on the request, and not on the state that the server is in.

Where one of these fails, what the other gates say is no judgement of the weights (docs/blame.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from annie_eval.gates.server_state import ProbeResult


@pytest.mark.server_state("warm_cold")
def test_a_warm_prefix_cache_changes_no_answer(probed: ProbeResult) -> None:
    """Proven warm and proven cold by `cached_tokens`, with short and long prefixes, few and many tools."""
    assert not probed.differences


@pytest.mark.server_state("poison")
def test_other_traffic_leaves_nothing_behind(probed: ProbeResult) -> None:
    """Requests that are cancelled, too long or in parallel; then a known prefix is answered as it was before."""
    assert not probed.differences


@pytest.mark.server_state("load")
def test_a_full_batch_changes_no_answer(probed: ProbeResult) -> None:
    """Asked alone, and together with as many others as the profile sends at once."""
    assert not probed.differences


@pytest.mark.server_state("greedy")
def test_a_greedy_token_is_the_likeliest(probed: ProbeResult) -> None:
    """By the server's own log-probabilities, and the same when it is asked again: speculation loses nothing."""
    assert not probed.differences


@pytest.mark.server_state("stream")
def test_a_stream_holds_the_calls_that_the_whole_answer_holds(probed: ProbeResult) -> None:
    """The same output of the model, parsed as it comes and parsed at the end."""
    assert not probed.differences
