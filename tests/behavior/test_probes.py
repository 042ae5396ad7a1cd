"""Probes: properties that must hold for every prompt, tested with generated prompts. Run with `-m probe`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from annie_eval.plugin.probes import Probes

pytestmark = pytest.mark.probe  # the name is that of the report and of `-k`


@pytest.mark.probe("thinking")
def test_no_prompt_brings_thinking_into_speech(probes: Probes) -> None:
    """Punctuation, capitals, digits, emoji, any script, 1 to 2,000 characters, with or without earlier small talk."""
    probes.never("thinking")


@pytest.mark.probe("markdown")
def test_no_prompt_brings_markdown_into_speech(probes: Probes) -> None:
    """Also for prompts that contain markdown."""
    probes.never("markdown")


@pytest.mark.probe("silence")
def test_no_prompt_is_met_with_silence(probes: Probes) -> None:
    """Every reply has text or a tool call."""
    probes.never("silence")


@pytest.mark.probe("wire")
def test_no_prompt_breaks_the_protocol(probes: Probes) -> None:
    """The stream is well-formed, whatever its content."""
    probes.never("wire")


@pytest.mark.probe("same_call")
def test_noise_does_not_change_the_call(probes: Probes) -> None:
    """With typing errors, misheard words, fillers, capitals, greetings, small talk: same tool, same arguments."""
    probes.same_call()


@pytest.mark.probe("any_tool")
def test_a_call_of_any_tool_fits_its_schema(probes: Probes) -> None:
    """For generated tools with the types and keywords of the profile's own tools."""
    probes.any_tool()
