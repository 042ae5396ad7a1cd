"""Properties that hold for every prompt, also for generated ones. Runs with `-m probe`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from annie_eval.plugin.probes import Probes

pytestmark = pytest.mark.probe  # with a name: as the report and `-k` call it


@pytest.mark.probe("thinking")
def test_no_prompt_brings_thinking_into_speech(probes: Probes) -> None:
    """Punctuation, capitals, digits, emoji, any script, one character or two thousand, after small talk or none."""
    probes.never("thinking")


@pytest.mark.probe("markdown")
def test_no_prompt_brings_markdown_into_speech(probes: Probes) -> None:
    """Nor does a prompt that is written in markdown itself."""
    probes.never("markdown")


@pytest.mark.probe("silence")
def test_no_prompt_is_met_with_silence(probes: Probes) -> None:
    """Something is said, or a tool is called."""
    probes.never("silence")


@pytest.mark.probe("wire")
def test_no_prompt_breaks_the_protocol(probes: Probes) -> None:
    """Whatever is said, the stream stays well-formed."""
    probes.never("wire")


@pytest.mark.probe("same_call")
def test_noise_does_not_change_the_call(probes: Probes) -> None:
    """Typing errors, misheard words, fillers, capitals, another greeting, small talk: same tool, same values."""
    probes.same_call()


@pytest.mark.probe("any_tool")
def test_a_call_of_any_tool_fits_its_schema(probes: Probes) -> None:
    """Tools that nobody has seen before, made of the types and keywords that the profile's own tools use."""
    probes.any_tool()
