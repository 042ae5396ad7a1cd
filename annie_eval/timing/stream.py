"""From timed reads to events: when the role, the first token, the first content and the last token came.

Tokens are counted by the server's own `usage`. Chunks are not tokens: servers batch several tokens into one chunk
(`stream_interval`, speculative decoding), and parsers swallow some.
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
    """One streamed answer as the client saw it. Times in nanoseconds since the request was about to be written.

    Attributes:
        role: first chunk that names a role and brings no token; None where no chunk did.
        first_token: first moment with a token, in whatever channel.
        first_content: first moment with text that would be spoken.
        first_sentence: the moment that completed the first spoken sentence, from which a speech engine can begin; None
            where none was finished.
        last_token: the moment that brought the last token.
        end: the end of the response.
        call: the moment that completed the first tool call (name, and arguments that parse as an object).
        prompt_tokens, completion_tokens, cached_tokens: from the last `usage`; None where the server did not say.
            Without usage an answer that ended by its `length` has as many tokens as were asked for.
        arrivals: (moment, tokens by then) for each moment that brought tokens.
        counting: where the counts in `arrivals` come from. `usage`: continuous usage, exact. `chunks`: one token a
            chunk, borne out by the final usage. `asked`: the same, borne out by the length that was asked for and a
            finish_reason of `length`. `unknown`: chunks held several tokens each and nobody said how many; the
            counts are then the share of the text that had arrived, rounded. `guessed`: the same, where even the
            length is only what was asked for; no rate may rest on that alone.
        server: vLLM's per-request metrics (`--enable-per-request-metrics`), as they came.
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
        """Nanoseconds between moments that brought tokens: what a listener waits, however many tokens came."""
        return tuple(b[0] - a[0] for a, b in zip(self.arrivals, self.arrivals[1:], strict=False))

    @property
    def span(self) -> tuple[int, int] | None:
        """(tokens after the first moment, nanoseconds they took); None under two moments.

        The tokens of the first moment are left out with the time before it, so that a first chunk of k tokens
        does not inflate the rate.
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
        asked: the request's `max_tokens`, which counts an answer that ended by its length where no usage does.

    Raises:
        ExchangeError: status other than 200, no event stream, an error object, a stream that broke off.
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
            continue  # no token, whatever its usage says
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
        call=first_call.stamp if first_call is not None and first_call.whole else None,
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=total,
        cached_tokens=_count(details, "cached_tokens"),
        finish_reason=finish if isinstance(finish, str) else None,
        arrivals=arrivals,
        counting=counting,
        server=server,
    )


def _first_sentence(pieces: list[tuple[int, str]]) -> int | None:
    """The moment that brought the end of the first sentence, of pieces of text with the moments that brought them.

    A full stop behind a word of three letters or fewer may be an abbreviation's ("Dr. Jones"), and ends none unless
    the text ends there.
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
    """Tokens by moment, and where the numbers come from; see `Observed`."""
    texts = [chunk for chunk in chunks if chunk.text]
    if not texts:
        counts = [(c.stamp, c.counted) for c in chunks if c.counted]
        return _by_moment([(stamp, count) for stamp, count in counts if count]), "usage"
    if texts[0].counted is not None:
        return _by_moment([(c.stamp, c.counted) for c in chunks if c.counted is not None]), "usage"
    if total is None:
        return _by_moment([(c.stamp, i + 1) for i, c in enumerate(texts)]), "unknown"
    # One chunk a token, but for one without text of its own, such as a stop token: more would leave open whether the
    # first chunk held several.
    if total - 1 <= len(texts) <= total:
        seen = [*range(1, len(texts)), total]
        return _by_moment([(c.stamp, k) for c, k in zip(texts, seen, strict=True)]), "chunks" if by_usage else "asked"
    size = sum(c.text for c in texts)
    shares = [max(1, round(total * s / size)) for s in accumulate(c.text for c in texts)]
    # Each of these moments brought text, also where the rounded count did not grow: above all the last.
    moments = dict(zip((c.stamp for c in texts), shares, strict=True))
    return tuple(moments.items()), "unknown" if by_usage else "guessed"


def _by_moment(counts: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Keep each moment at which the count grew, with the count that it reached."""
    reached: dict[int, int] = {}
    most = 0
    for stamp, count in counts:
        if count > most:
            most = reached[stamp] = count
    return tuple(reached.items())


@dataclass(slots=True)
class _Call:
    """One tool call under way; `stamp` is the moment of its latest fragment."""

    name: str = ""
    arguments: list[str] = field(default_factory=list)
    stamp: int = 0

    def add(self, fragment: Any, stamp: int) -> int:
        """Take a fragment; returns how many characters it brought."""
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
    def whole(self) -> bool:
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
