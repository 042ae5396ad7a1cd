"""The type of a finding: one fault of an answer, and the text that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from annie_eval.wire.sample import Channel


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong, with the text that shows it.

    Attributes:
        detector: name of the detector, such as `markdown`.
        reason: what is wrong, in one short sentence; names the rule.
        excerpt: the offending text with a little context, at most 160 characters.
        channel: where it was found; None where something is missing altogether.
        exchange: index into `Sample.exchanges`.
        span: start and end of the offence in the channel's text, in characters; None if there is no text.
    """

    detector: str
    reason: str
    excerpt: str = ""
    channel: Channel | None = None
    exchange: int = 0
    span: tuple[int, int] | None = None


def excerpt(text: str, start: int, end: int, context: int = 40) -> str:
    """The text around a span, on one line, at most 160 characters, with `…` where it was cut."""
    left, right = max(0, start - context), min(len(text), max(end, start) + context)
    shown = text[left:right]
    if len(shown) > 158:
        shown, right = shown[:157], left + 157
    shown = shown.replace("\n", "\\n")[:158]
    return ("…" if left else "") + shown + ("…" if right < len(text) else "")
