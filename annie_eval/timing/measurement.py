"""The type of a measured request: the client's times, the server's metrics, and reasons to reject them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from annie_eval.timing.prompts import Prepared
from annie_eval.timing.roofline import Bounds
from annie_eval.timing.server_metrics import LEAST_TOKENS, ServerMetrics, disagreements, per_request
from annie_eval.timing.stream import Counting, Observed

Source = Literal["short", "cold", "warm", "tool", "streams"]
COLD_SLACK = 16  # tokens; the first tokens of a chat template may be cached, but never a complete block of a prompt


@dataclass(frozen=True, slots=True)
class Measurement:
    """One request and its timing. Times are milliseconds since just before the request was written.

    Attributes:
        context: requested prompt length in tokens; 0 for chat prompts, whose length is `prompt_tokens`.
        ttft_ms, content_ms, sentence_ms, role_ms, last_ms, call_ms: see `annie_eval.timing.stream.Observed`.
        rate: decode rate in tokens per second, by `counting`; `pair` is a difference of two answer lengths.
        gaps_ms: gaps between reads with tokens.
        server_metrics: the server's own figures; None if it has none.
        doubts: disagreements with the server's metrics.
        busy: number of other requests on the server before this one, or finished meanwhile.
        error: why the measurement is invalid: the exchange broke, or the result is impossible.
    """

    source: Source
    context: int
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    finish_reason: str | None = None
    role_ms: float | None = None
    ttft_ms: float | None = None
    content_ms: float | None = None
    sentence_ms: float | None = None
    last_ms: float | None = None
    call_ms: float | None = None
    rate: float | None = None
    counting: Counting | Literal["pair"] = "unknown"
    gaps_ms: tuple[float, ...] = ()
    server_metrics: ServerMetrics | None = None
    doubts: tuple[str, ...] = ()
    busy: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measurement:
        counted = values["server_metrics"]
        gaps, doubts = tuple(values["gaps_ms"]), tuple(values["doubts"])
        return cls(
            **{**values, "server_metrics": counted and ServerMetrics(**counted), "gaps_ms": gaps, "doubts": doubts}
        )

    @property
    def cached(self) -> int | None:
        """Number of prompt tokens from the prefix cache, by the answer's usage, else by the server's counter."""
        if self.cached_tokens is not None or self.server_metrics is None or self.server_metrics.requests != 1:
            return self.cached_tokens
        return self.server_metrics.cached_tokens

    @property
    def in_one_piece(self) -> bool:
        """Whether the answer to a short question arrived at once: if the first token takes ten times as long as all
        following ones, a server or a proxy has buffered the answer, and there is no decode rate."""
        n = self.completion_tokens
        if (
            self.source != "short"
            or self.ttft_ms is None
            or self.last_ms is None
            or (n is not None and n < LEAST_TOKENS)
        ):
            return False
        return self.last_ms - self.ttft_ms < 0.1 * self.ttft_ms

    @property
    def decode(self) -> tuple[int, float] | None:
        """Tokens after the first read, and their duration in milliseconds; None if no usage counted them."""
        if self.counting != "usage" or self.rate is None or self.ttft_ms is None or self.last_ms is None:
            return None
        span = self.last_ms - self.ttft_ms
        return round(self.rate * span / 1e3), span

    def doubts_beyond(self, outside_ms: float) -> tuple[str, ...]:
        """The doubts that remain if the first byte of the first token may be later than its timestamp by this many
        milliseconds per prompt token, and is then closer to the last token."""
        counted, n = self.server_metrics, self.prompt_tokens
        if not self.doubts or counted is None or counted.requests != 1 or n is None:
            return self.doubts
        ttft, decode = counted.ttft_ms, counted.decode_ms
        granted = replace(
            counted,
            ttft_ms=None if ttft is None else ttft + outside_ms * n,
            decode_ms=None if decode is None else max(0.0, decode - outside_ms * n),
        )
        return disagreements(self, granted)

    @property
    def server_ttft_ms(self) -> float | None:
        counted = self.server_metrics
        return counted.ttft_ms if counted is not None and counted.requests == 1 else None

    @property
    def server_rate(self) -> float | None:
        """Tokens per second by the server: (n - 1) / decode time."""
        counted, n = self.server_metrics, self.completion_tokens
        if counted is None or counted.requests != 1 or not counted.decode_ms or n is None or n < 2:
            return None
        return (n - 1) / counted.decode_ms * 1e3


def measurement(
    source: Source,
    context: int,
    prepared: Prepared,
    seen: Observed,
    *,
    counted: ServerMetrics | None,
    busy: int,
    bounds: Bounds | None,
) -> Measurement:
    """Combine the client's observation and the server's metrics, and check whether they are possible."""
    if counted is None and seen.server:
        counted = per_request(seen.server)
    others = counted.requests - 1 if counted is not None and counted.requests is not None else 0
    found = Measurement(
        source=source,
        context=context,
        prompt_tokens=seen.prompt_tokens,
        completion_tokens=seen.completion_tokens,
        cached_tokens=seen.cached_tokens,
        finish_reason=seen.finish_reason,
        role_ms=_ms(seen.role),
        ttft_ms=_ms(seen.first_token),
        content_ms=_ms(seen.first_content),
        sentence_ms=_ms(seen.first_sentence),
        last_ms=_ms(seen.last_token),
        call_ms=_ms(seen.call),
        rate=seen.rate,
        counting=seen.counting,
        gaps_ms=tuple(gap / 1e6 for gap in seen.gaps),
        server_metrics=counted,
        busy=busy + max(0, others),
    )
    if counted is not None:
        found = replace(found, doubts=disagreements(found, counted))
    error = impossible(found, prepared, bounds)
    return found if error is None else replace(found, error=error)


def impossible(found: Measurement, prepared: Prepared, bounds: Bounds | None) -> str | None:
    """Why this measurement is impossible; None if it is possible."""
    n, wanted = found.prompt_tokens, prepared.prompt_tokens
    if found.ttft_ms is None:
        return f"the answer brought no token (finish_reason {found.finish_reason})"
    if n is not None and wanted is not None and n < wanted:
        about = "" if prepared.exact else "about "
        return f"a prompt of {about}{wanted} tokens counted as {n}: the server truncates prompts"
    if prepared.exact and n is not None and wanted is not None and n > wanted + 1:
        return f"a prompt of {wanted} token ids counted as {n}"
    counted = found.server_metrics
    booked = counted.prompt_tokens if counted is not None and counted.requests == 1 else None
    if n is not None and booked is not None and booked < n:
        return f"usage says {n} prompt tokens, /metrics {booked}: one of the two is wrong"
    if found.source == "warm":
        return None
    cached = found.cached
    if cached is not None and cached > COLD_SLACK:
        return f"{cached} of {n} prompt tokens of a cold prompt came out of the prefix cache"
    if bounds is not None and found.source != "streams" and n is not None:
        floor = bounds.ttft_floor_ms(n)
        if found.ttft_ms < floor:
            return (
                f"TTFT {found.ttft_ms:.1f} ms for {n} tokens beats the physical floor of {floor:.1f} ms: "
                "a cache hit, a truncated prompt or another machine than named"
            )
    return None


def pair_rate(long: Measurement, half: Measurement) -> float | None:
    """Tokens per second of an answer with uncounted chunks, with the help of an answer of half the length.

    The ends of both answers are (n - m) tokens apart, whatever the first chunk held. At this pace, the time from the
    first chunk to the shorter end gives the number of tokens in the first chunk. If the result is impossible, or far
    from the chunk's share of the text while there is a gap longer than all others, one of the answers stalled. Then
    the share of the text is used, so that the stall counts.

    Returns:
        (n - n_first) / (t_last - t_first), or None if the lengths do not differ as requested, or if both answers have
        the same number of chunks: then the server does not obey `max_tokens`.
    """
    spans = []
    for one in (long, half):
        if one.ttft_ms is None or one.last_ms is None or one.completion_tokens is None:
            return None
        spans.append((one.completion_tokens, one.last_ms - one.ttft_ms))
    (n, span), (m, part) = spans
    if n - m < LEAST_TOKENS // 2 or span <= part or len(half.gaps_ms) > 0.75 * len(long.gaps_ms):
        return None
    first = m - part * (n - m) / (span - part)
    share = n - (long.rate or 0.0) * span / 1e3
    second, longest = sorted((0.0, 0.0, *long.gaps_ms))[-2:]
    if first < 0.5 or (abs(first - share) > max(1.5, share / 4) and longest > 1.25 * second):
        first = share
    return (n - first) / span * 1e3


def _ms(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e6
