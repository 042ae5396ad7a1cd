"""Finds in a timed response when the role, the first token, the first content and the last token arrived.

Tokens are counted by the server's `usage`. Chunks are not tokens: a server may put several tokens into one chunk
(`stream_interval`, speculative decoding), and its parsers remove some.
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

from annie_eval.errors import ExchangeError
from annie_eval.strict_json import is_count
from annie_eval.timing.connection import TimedResponse
from annie_eval.wire.sse import read_stream

_SENTENCE_END = re.compile(r"(?:[!?…。！？।]+|(?<=\w{4})\.+|\.+(?=\s*\Z))[\"'”’)]*(?=\s|\Z)|[。！？]")
Counting = Literal["usage", "chunks", "asked", "unknown", "guessed"]


@dataclass(frozen=True, slots=True)
class Observed:
    """The times and counts of one streamed answer. Times are nanoseconds since just before the request was written.

    Attributes:
        role: time of the first chunk with a role and no token; None without such a chunk.
        first_token: time of the first token in any channel.
        first_content: time of the first text of the content, which is spoken.
        first_sentence: time at which the first sentence of the content was complete, so that speech could begin; None
            if no sentence was completed.
        last_token: time of the last token.
        end: time of the end of the response.
        call: time at which the first tool call was complete (a name, and arguments that parse as an object).
        prompt_tokens, completion_tokens, cached_tokens: from the last `usage`; None if the server sent none. Without
            usage, `completion_tokens` of an answer with the finish_reason `length` is the requested `max_tokens`.
        arrivals: (time, tokens so far) for each time at which tokens arrived.
        counting: the source of the counts in `arrivals`. `usage`: continuous usage, exact. `chunks`: one token per
            chunk, confirmed by the final usage. `asked`: one token per chunk, confirmed by `max_tokens` and the
            finish_reason `length`. `unknown`: chunks have an unknown number of tokens, and the counts are estimated
            from the share of the text that had arrived. `guessed`: estimated like `unknown`, with `max_tokens` as the
            total; too uncertain to compute a rate from.
        server: vLLM's per-request metrics (`--enable-per-request-metrics`), unchanged.
    """

    role: int | None
    first_token: int | None
    first_content: int | None
    first_sentence: int | None
    last_token: int | None
    end: int
    call: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    finish_reason: str | None
    arrivals: tuple[tuple[int, int], ...]
    counting: Counting
    server: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gaps(self) -> tuple[int, ...]:
        """Nanoseconds between successive arrivals, whatever their number of tokens."""
        return tuple(b[0] - a[0] for a, b in zip(self.arrivals, self.arrivals[1:], strict=False))

    @property
    def span(self) -> tuple[int, int] | None:
        """(tokens after the first arrival, nanoseconds that they took); None with fewer than two arrivals.

        The tokens of the first arrival do not count, because the time before it does not: so a first chunk of several
        tokens does not inflate the rate.
        """
        if len(self.arrivals) < 2:
            return None
        (first, before), (last, total) = self.arrivals[0], self.arrivals[-1]
        return (total - before, last - first) if total > before else None

    @property
    def rate(self) -> float | None:
        """Decode rate in tokens per second: (n - n_first) / (t_last - t_first)."""
        return None if self.span is None else self.span[0] / self.span[1] * 1e9


@dataclass(slots=True)
class _Chunk:
    stamp: int
    text: int
    counted: int | None


def observe(response: TimedResponse, asked: int | None = None) -> Observed:
    """Read one streamed answer of `/chat/completions` or `/completions`.

    Args:
        asked: the request's `max_tokens`: the number of tokens of an answer without usage whose finish_reason is
            `length`.

    Raises:
        ExchangeError: status other than 200, no event stream, an error object, or a stream that ended early.
    """
    if response.status != 200:
        body = " ".join(response.body[:200].decode("utf-8", "replace").split())
        raise ExchangeError(f"HTTP status {response.status}: {body}")
    ends = list(accumulate(count for _, count in response.reads))
    usage: Mapping[str, Any] = {}
    server: Mapping[str, Any] = {}
    role = content = finish = None
    chunks: list[_Chunk] = []
    pieces: list[tuple[int, str]] = []
    calls: dict[int, _Call] = {}
    done = False
    for event in read_stream(response.body).events:
        value = event.value
        if value is None:
            done = True
            break
        if value.get("error") is not None:
            raise ExchangeError(f"the server reported an error: {json.dumps(value['error'])[:200]}")
        stamp = response.reads[bisect.bisect_left(ends, event.end)][0]
        if isinstance(value.get("usage"), dict):
            usage = value["usage"]
        if isinstance(value.get("metrics"), dict):
            server = value["metrics"]
        choices = value.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            continue
        choice = choices[0]
        finish = choice.get("finish_reason") or finish
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        spoken = _length(delta.get("content")) + _length(choice.get("text"))
        text = spoken + _length(delta.get("reasoning") or delta.get("reasoning_content"))
        fragments = delta.get("tool_calls")
        for position, fragment in enumerate(fragments if isinstance(fragments, list) else ()):
            text += calls.setdefault(_index(fragment, position), _Call()).add(fragment, stamp)
        if spoken:
            content = stamp if content is None else content
            pieces.append(
                (stamp, "".join(t for t in (delta.get("content"), choice.get("text")) if isinstance(t, str)))
            )
        if delta.get("role") and not text:
            role = stamp if role is None else role
            continue  # a role is no token, even if the chunk's usage counts one
        counted = _count(value.get("usage"), "completion_tokens")
        if text or counted is not None:
            chunks.append(_Chunk(stamp, text, counted))
    if not done and finish is None:
        raise ExchangeError("the stream broke off: no finish_reason and no [DONE]")
    reported = _count(usage, "completion_tokens")
    total = asked if reported is None and finish == "length" else reported
    arrivals, counting = _arrivals(chunks, total, by_usage=reported is not None)
    first_call = next((calls[i] for i in sorted(calls)), None)
    details = usage.get("prompt_tokens_details")
    return Observed(
        role=role,
        first_token=arrivals[0][0] if arrivals else None,
        first_content=content,
        first_sentence=_first_sentence(pieces),
        last_token=arrivals[-1][0] if arrivals else None,
        end=response.reads[-1][0],
        call=first_call.stamp if first_call is not None and first_call.complete else None,
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=total,
        cached_tokens=_count(details, "cached_tokens"),
        finish_reason=finish if isinstance(finish, str) else None,
        arrivals=arrivals,
        counting=counting,
        server=server,
    )


def _first_sentence(pieces: list[tuple[int, str]]) -> int | None:
    """The time at which the first sentence was complete; None if none was. `pieces` are (time, text).

    A full stop after a word of at most three letters may belong to an abbreviation ("Dr. Jones"). It ends a sentence
    only at the end of the text.
    """
    text = "".join(piece for _, piece in pieces)
    found = _SENTENCE_END.search(text)
    if found is None:
        return None
    ends = list(accumulate(len(piece) for _, piece in pieces))
    return pieces[bisect.bisect_left(ends, found.end())][0]


def _arrivals(
    chunks: list[_Chunk], total: int | None, *, by_usage: bool
) -> tuple[tuple[tuple[int, int], ...], Counting]:
    """`arrivals` and `counting` of `Observed`."""
    texts = [chunk for chunk in chunks if chunk.text]
    if not texts:
        counts = [(c.stamp, c.counted) for c in chunks if c.counted]
        return _by_moment([(stamp, count) for stamp, count in counts if count]), "usage"
    if texts[0].counted is not None:
        return _by_moment([(c.stamp, c.counted) for c in chunks if c.counted is not None]), "usage"
    if total is None:
        return _by_moment([(c.stamp, i + 1) for i, c in enumerate(texts)]), "unknown"
    # One token per chunk; one token, such as a stop token, may have no text. If more tokens had none, the first chunk
    # might hold several.
    if total - 1 <= len(texts) <= total:
        seen = [*range(1, len(texts)), total]
        return _by_moment([(c.stamp, k) for c, k in zip(texts, seen, strict=True)]), "chunks" if by_usage else "asked"
    size = sum(c.text for c in texts)
    shares = [max(1, round(total * s / size)) for s in accumulate(c.text for c in texts)]
    # Keep each time at which text arrived, even if the rounded count did not grow. The last one matters most.
    moments = dict(zip((c.stamp for c in texts), shares, strict=True))
    return tuple(moments.items()), "unknown" if by_usage else "guessed"


def _by_moment(counts: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The times at which the count grew, with the new count."""
    reached: dict[int, int] = {}
    most = 0
    for stamp, count in counts:
        if count > most:
            most = reached[stamp] = count
    return tuple(reached.items())


@dataclass(slots=True)
class _Call:
    """A tool call that is being received; `stamp` is the time of its latest fragment."""

    name: str = ""
    arguments: list[str] = field(default_factory=list)
    stamp: int = 0

    def add(self, fragment: Any, stamp: int) -> int:
        """Append a fragment. Returns its number of characters."""
        function = fragment.get("function") if isinstance(fragment, dict) else None
        if not isinstance(function, dict):
            return 0
        name, arguments = function.get("name"), function.get("arguments")
        brought = _length(name) + _length(arguments)
        if brought:
            self.name = self.name or (name if isinstance(name, str) else "")
            self.arguments += [arguments] if isinstance(arguments, str) else []
            self.stamp = stamp
        return brought

    @property
    def complete(self) -> bool:
        """It has a name, and its arguments parse as a JSON object."""
        try:
            return bool(self.name) and isinstance(json.loads("".join(self.arguments)), dict)
        except (ValueError, RecursionError):
            return False


def _index(fragment: Any, position: int) -> int:
    index = fragment.get("index") if isinstance(fragment, dict) else None
    return index if isinstance(index, int) else position


def _length(text: Any) -> int:
    return len(text) if isinstance(text, str) else 0


def _count(of: Any, name: str) -> int | None:
    value = of.get(name) if isinstance(of, Mapping) else None
    return value if is_count(value) else None
