"""A line chart as a self-contained SVG: TTFT and decode rate against context, without a plotting library."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annie_eval.timing.result import TimingResult

_INK = "var(--ink, #333)"  # the page's colour; #333 in a separate SVG file
WIDTH, HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 36, 44
# Each can be read on white and on the page's dark background.
_COLOURS = ("#2f7fc1", "#d0603c", "#3f9a54", "#a06abb", "#a87c26", "#75828d")


@dataclass(frozen=True, slots=True)
class Series:
    """One line: (x, y) points, and optionally an interval (low, high) for each."""

    name: str
    points: Sequence[tuple[float, float]]
    intervals: Sequence[tuple[float, float]] = ()


def chart(title: str, x_name: str, y_name: str, series: Sequence[Series]) -> str:
    """Return the chart as SVG text. The y axis begins at 0, so small changes look small. No series: empty axes."""
    xs = [x for s in series for x, _ in s.points] or [0.0, 1.0]
    ys = [y for s in series for _, y in s.points] + [high for s in series for _, high in s.intervals] or [1.0]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    y_high = _nice(max(ys)) if max(ys) > 0 else 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        return (
            _LEFT + across * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - max(0.0, y) / y_high * (HEIGHT - _TOP - _BOTTOM),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="11" role="img" aria-label="{html.escape(title)}"><title>{html.escape(title)}</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--paper, #fff)"/>',
        _text(_LEFT, 18, title, size=13),
        _text((WIDTH + _LEFT) / 2, HEIGHT - 8, x_name, anchor="middle"),
        _text(4, _TOP - 6, y_name),
    ]
    for i in range(6):
        y = y_high * i / 5
        left, height = at(x_low, y)
        parts.append(f'<path d="M{left:.1f} {height:.1f}H{WIDTH - _RIGHT}" stroke="var(--line, #ddd)"/>')
        parts.append(_text(left - 6, height + 4, f"{y:g}", anchor="end"))
    ticks = sorted({x for s in series for x, _ in s.points})
    for x in ticks[:: math.ceil(len(ticks) / 8) or 1]:
        left, height = at(x, 0)
        parts.append(_text(left, height + 16, f"{x:g}", anchor="middle"))
    for i, s in enumerate(series):
        colour = _COLOURS[i % len(_COLOURS)]
        for (x, _), (low, high) in zip(s.points, s.intervals, strict=False):
            (left, top), (_, bottom) = at(x, high), at(x, low)
            parts.append(f'<path d="M{left:.1f} {top:.1f}V{bottom:.1f}" stroke="{colour}" stroke-width="1"/>')
        line = " ".join(f"{left:.1f},{height:.1f}" for left, height in (at(x, y) for x, y in s.points))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for n, (x, y) in enumerate(s.points):
            left, height = at(x, y)
            spread = f" ({s.intervals[n][0]:.4g}-{s.intervals[n][1]:.4g})" if n < len(s.intervals) else ""
            tooltip = html.escape(f"{s.name}: {x:g} {x_name}, {y:.4g} {y_name}{spread}")
            where = f'cx="{left:.1f}" cy="{height:.1f}"'
            parts.append(
                f'<g class="at"><title>{tooltip}</title><circle {where} r="9" fill="transparent"/>'
                f'<circle {where} r="3" fill="{colour}"/></g>'
            )
        parts.append(_text(WIDTH - _RIGHT, _TOP + 14 * i + 4, s.name, anchor="end", colour=colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


def charts(rows: Sequence[TimingResult]) -> dict[str, str]:
    """Return SVG texts by file name (`ttft.svg`, `decode.svg`) of the timing rows that have points."""
    drawn = {}
    for file, title, unit, names in (
        ("ttft.svg", "Time to first token against context", "ms", {"ttft_cold": "cold", "ttft_warm": "warm"}),
        ("decode.svg", "Decode rate against context", "tok/s", {"decode_flat": "one stream"}),
    ):
        found = [
            Series(names[row.name], [(p[0], p[1]) for p in row.points], [(p[2], p[3]) for p in row.points])
            for row in rows
            if row.name in names and row.points
        ]
        if found:
            drawn[file] = chart(title, "prompt tokens", unit, found)
    return drawn


def rows_chart(rows: Sequence[TimingResult], directory: Path) -> list[Path]:
    """Write the charts of the timing rows that have points into a directory; returns the written paths."""
    written = []
    for file, drawn in charts(rows).items():
        path = directory / file
        path.write_text(drawn, "utf-8")
        written.append(path)
    return written


def _nice(value: float) -> float:
    """Round up to 1, 2, 2.5 or 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * (1 - 1e-9))


def _text(x: float, y: float, content: str, *, anchor: str = "start", size: int = 11, colour: str = _INK) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {where}>{html.escape(content)}</text>"
