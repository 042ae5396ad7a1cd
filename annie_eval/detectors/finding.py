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


def excerpt(text: str, start: int, context: int = 40, most: int = 160) -> str:
    """One line of a text, from `context` characters before `start` on, with `…` where it was cut.

    At most `most` characters.
    """
    left = max(0, start - context)
    shown, room = text[left : left + most + 1].replace("\n", "\\n"), most - (left > 0)
    return ("…" if left else "") + (shown if len(shown) <= room else f"{shown[: room - 1]}…")
