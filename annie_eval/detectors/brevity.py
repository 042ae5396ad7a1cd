"""Checks that a spoken answer has a few finished sentences and is neither cut off nor too long.

It judges the exchanges without a tool call, by `Sample.limits` (`Expect.max_sentences` overrides one of them).
Sentences and words are counted by `english.sentences`, without tags and tagged thoughts: those are the
thinking detector's. An answer that was cut on purpose (`Expect.truncated`) need neither be finished nor have begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from annie_eval.detectors.english.sentences import count_words, is_finished, split_sentences
from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.detectors.tags import without_thoughts
from annie_eval.text import is_blank
from annie_eval.wire.sample import Exchange, Sample

if TYPE_CHECKING:
    from annie_eval.profile.types import Limits, Speech


_SPEECH = 20_000  # characters, half an hour of speech; longer answers break every limit before that


def find(sample: Sample) -> tuple[Finding, ...]:
    """Return the reasons why a spoken answer is not short and complete."""
    findings: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        if not exchange.answer.tool_calls:
            findings += _judge(exchange, index, sample.limits, sample.speech)
    return tuple(findings)


def _judge(exchange: Exchange, index: int, limits: Limits, speech: Speech) -> Iterator[Finding]:
    expect, content = exchange.expect, exchange.answer.content or ""
    least, most = limits.min_sentences, limits.max_sentences
    if expect.max_sentences is not None:
        most = expect.max_sentences
        least = min(least, most)

    def finding(reason: str, start: int, end: int) -> Finding:
        return Finding("brevity", reason, excerpt(content, start), "content", index, (start, end))

    answer = without_thoughts(content)
    sentences = split_sentences(answer[:_SPEECH])
    if len(sentences) < least and not expect.truncated:
        yield finding(f"{len(sentences)} sentences, at least {least} wanted", 0, len(content))
    if len(sentences) > most:
        start, end = sentences[most]
        yield finding(f"{len(sentences)} sentences, at most {most} wanted", start, end)
    spoken = count_words(answer)
    if spoken > limits.max_words:
        yield finding(f"{spoken} words, at most {limits.max_words} wanted", 0, len(content))
    seconds = spoken * 60 / speech.words_per_minute
    if limits.max_seconds is not None and seconds > limits.max_seconds:
        yield finding(f"takes {seconds:.0f} s to speak, at most {limits.max_seconds} wanted", 0, len(content))
    if expect.truncated:
        return
    if exchange.answer.finish_reason == "length":
        yield finding("cut off by max_tokens", len(content), len(content))
    elif not is_blank(content) and not is_finished(answer):
        yield finding("last sentence is not finished", len(content), len(content))
