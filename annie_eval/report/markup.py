"""HTML building blocks of the report page: escaped text, tables, bars, and the document with its security policy."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from annie_eval.report import exchange as parts

_CSS, _SCRIPT = (Path(__file__).with_name(name) for name in ("report.css", "report.js"))
_BAR = 200  # width of a bar, in pixels


def document(title: str, body: str, *, script: bool = False) -> str:
    """Return a complete page. It loads nothing and runs at most one script, which its policy names by hash.

    Args:
        body: HTML in which all text of models and servers is escaped.
    """
    code = _SCRIPT.read_text(encoding="utf-8") if script else ""
    allowed = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    if script:
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        allowed += f"; script-src 'sha256-{digest}'; require-trusted-types-for 'script'; trusted-types 'none'"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{allowed}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{safe(title)}</title>
<style>
{_CSS.read_text(encoding="utf-8")}</style>
<body>
{body}{f"<script>{code}</script>" if script else ""}</body>
</html>
"""


def shown(text: str) -> str:
    """Return the text with each control character as its escape. Line breaks stay."""
    return text if text.isprintable() else "\n".join(parts.block(text))


def safe(text: str) -> str:
    """Escape text for an element or a quoted attribute: no markup, no control character, line breaks kept."""
    return escape(shown(text), quote=True)


def segments(text: str, spans: Iterable[tuple[int, int]]) -> list[str]:
    """Split the text at the spans, safe to show: pieces alternate between outside and inside, the first outside.

    Spans may overlap, and may reach beyond the text.
    """
    edges: list[tuple[int, int]] = []
    for start, end in sorted((max(0, a), min(len(text), b)) for a, b in spans):
        if start >= end:
            continue
        if edges and start <= edges[-1][1]:
            edges[-1] = (edges[-1][0], max(edges[-1][1], end))
        else:
            edges.append((start, end))
    cuts = [0, *(at for edge in edges for at in edge), len(text)]
    return [shown(text[a:b]) for a, b in itertools.pairwise(cuts)]


def marked(pieces: Sequence[str]) -> str:
    """Return `segments` as HTML, with `<mark>` around the pieces inside a span."""
    return "".join(f"<mark>{safe(piece)}</mark>" if i % 2 else safe(piece) for i, piece in enumerate(pieces))


def section(title: str, content: str, *, name: str) -> str:
    """Return a section with a heading; `name` is its anchor and is not escaped."""
    head = f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{safe(title)}</h2>'
    return f"{head}\n{content}</section>\n"


def table(title: str, heads: Sequence[str], rows: Iterable[str], *, kind: str = "") -> str:
    """Return a table with a caption for screen readers. A narrow screen stacks its rows."""
    head = "".join(f'<th scope="col">{safe(name)}</th>' for name in heads)
    return (
        f'<div class="scroll" role="region" aria-label="{safe(title)}: table" tabindex="0">'
        f'<table class="{kind}"><caption>{safe(title)}</caption>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{''.join(rows)}</tbody></table></div>\n"
    )


def row(verdict: str, heads: Sequence[str], name: str, cells: Sequence[str], link: str = "") -> str:
    """Return one row. `name` is text, `cells` are HTML ("" for an empty one), `link` is an anchor of the page."""
    first = f'<a href="{safe(link)}">{safe(name)}</a>' if link else safe(name)
    told = "".join(
        f'<td data-head="{safe(head)}">{cell}</td>' if cell else "<td></td>"
        for head, cell in zip(heads[1:], cells, strict=True)
    )
    return f'<tr class="{escape(verdict)}"><th scope="row">{first}</th>{told}</tr>\n'


def pairs(items: Iterable[tuple[str, str]]) -> str:
    """Return a definition list of names and texts."""
    told = "".join(f'<dt>{safe(name)}</dt><dd class="text">{safe(text)}</dd>' for name, text in items)
    return f"<dl>{told}</dl>\n"


def bar(interval: Sequence[float], point: float, line: float | None, full: float, label: str) -> str:
    """Return a bar from 0 to `full` as SVG: a band for the interval, a dot for the point, a line for the limit."""

    def x(value: float) -> float:
        return round(4 + (_BAR - 8) * min(max(value / full, 0.0), 1.0), 1)

    low, high = x(interval[0]), x(interval[1])
    limit = "" if line is None else f'<line class="need" x1="{x(line)}" x2="{x(line)}" y1="1" y2="17"/>'
    return (
        f'<svg class="bar" width="{_BAR}" height="18" viewBox="0 0 {_BAR} 18" role="img" aria-label="{safe(label)}">'
        f'<rect class="track" x="4" y="7" width="{_BAR - 8}" height="4" rx="2"/>'
        f'<rect class="band" x="{low}" y="4" width="{round(max(high - low, 2), 1)}" height="10" rx="2"/>'
        f'{limit}<circle class="point" cx="{x(point)}" cy="9" r="3.5"/></svg>'
    )
