"""A judged sample as HTML: its findings marked in the text, and its exchanges. Every foreign text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from annie_eval.detectors.finding import Finding
from annie_eval.gates.judgement import Judgement
from annie_eval.report import exchange as parts
from annie_eval.run.store import StoredExchange, StoredSample
from annie_eval.text import printable

_MOST_BYTES = 16_000  # of one raw body; a page of a hundred misses stays a page


def safe(text: str) -> str:
    """Text for an element or a quoted attribute: no markup, no control character, line breaks kept."""
    return escape("\n".join(parts.block(text)), quote=True)


def marked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Escaped text with `<mark>` around the spans, overlapping or not; spans outside the text are cut to it."""
    edges: list[tuple[int, int]] = []
    for start, end in sorted((max(0, a), min(len(text), b)) for a, b in spans):
        if start >= end:
            continue
        if edges and start <= edges[-1][1]:
            edges[-1] = (edges[-1][0], max(edges[-1][1], end))
        else:
            edges.append((start, end))
    out, at = [], 0
    for start, end in edges:
        out += [safe(text[at:start]), "<mark>", safe(text[start:end]), "</mark>"]
        at = end
    return "".join((*out, safe(text[at:])))


def sample_html(judgement: Judgement, stored: StoredSample | None) -> str:
    """Findings, then each exchange: what was asked, what was read, and the raw body folded away."""
    found = "".join(_finding(finding) for finding in judgement.findings)
    error = f"<p>{safe(judgement.error)}</p>" if judgement.error is not None else ""
    exchanges = () if stored is None else stored.exchanges
    shown = "".join(
        _exchange(n, each, [finding for finding in judgement.findings if finding.exchange == n])
        for n, each in enumerate(exchanges)
    )
    return f"{error}{found}{shown}"


def _finding(finding: Finding) -> str:
    where = f" in {finding.channel}" if finding.channel else ""
    quote = f"<br><code>{safe(finding.excerpt)}</code>" if finding.excerpt else ""
    return f"<p><b>{safe(finding.detector)}</b>: {safe(finding.reason)}{safe(where)}{quote}</p>\n"


def _exchange(n: int, exchange: StoredExchange, findings: Sequence[Finding]) -> str:
    how = "streamed" if exchange.request.get("stream") else "whole"
    messages = parts.messages(exchange.request)
    asked = "".join(_pair(who, safe(text)) for who, text in messages if who != "system")
    read = "".join(_channel(name, text, findings) for name, text in parts.channels(exchange))
    settings = [f"{name}: {value}" for name, value in parts.settings(exchange.request)]
    system = [f"system: {text}" for who, text in messages if who == "system"]
    request = _folded("request", [*settings, *system, *parts.tools(exchange.request)])
    body, cut = exchange.body, ""
    lines = parts.body_lines(_limited(exchange))
    if len(body) > _MOST_BYTES:
        cut = f", the first {_MOST_BYTES} shown"
    headers = [f"{name}: {value}" for name, value in exchange.headers]
    raw = _folded(f"response, HTTP {exchange.status}, {len(body)} bytes{cut}", [*headers, "", *lines])
    title = f"exchange {n + 1}, turn {exchange.turn + 1}, {how}"
    return f'<div class="exchange"><h4>{title}</h4>\n<dl>{asked}</dl>\n<dl>{read}</dl>\n{request}{raw}</div>\n'


def _limited(exchange: StoredExchange) -> list[tuple[float | None, bytes]]:
    left, shown = _MOST_BYTES, []
    for milliseconds, data in parts.reads(exchange):
        if left <= 0:
            break
        shown.append((milliseconds, data[:left]))
        left -= len(data)
    return shown


def _channel(name: str, text: str, findings: Sequence[Finding]) -> str:
    spans = [finding.span for finding in findings if finding.channel == name and finding.span is not None]
    return _pair(name, marked(text, spans))


def _pair(name: str, content: str) -> str:
    return f'<dt>{safe(name)}</dt><dd class="text">{content}</dd>'


def _folded(title: str, lines: Sequence[str]) -> str:
    text = escape("\n".join(printable(line) if "\n" not in line else "\n".join(parts.block(line)) for line in lines))
    return f'<details><summary class="soft">{safe(title)}</summary><pre>{text}</pre></details>\n'
