"""Draws the history as SVG: a panel for each gate and timing, with changes and drift marked."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annie_eval.errors import UsageError
from annie_eval.nightly.drift import Drift, Reset
from annie_eval.nightly.records import History, Night

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _GAP = 860, 92, 64, 16, 24, 34
_BLUE, _RED, _GREY = "#2f7fc1", "#d34545", "#9aa2ab"
_TIMED = {
    "ttft_short": "TTFT, ms",
    "decode": "decode, tok/s",
    "ttft_under_load": "TTFT under load, ms",
    "decode_under_load": "decode under load, tok/s",
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One series: (night index, value, low, high) in the unit of `title`; `top` is the upper end of the axis."""

    series: str
    title: str
    points: Sequence[tuple[int, float, float, float]]
    top: float


def panels(nights: Sequence[Night]) -> list[Panel]:
    """Gates in the profile's order, then timings. A gate's panel goes from 0 to 100 %."""
    found = []
    for gate in dict.fromkeys(name for night in nights for name in night.gates):
        points = []
        for at, night in enumerate(nights):
            count = night.gates.get(gate)
            if count is not None and count.n:
                rate = 100 * count.passed / count.n
                low, high = count.interval or (rate / 100, rate / 100)
                points.append((at, rate, 100 * low, 100 * high))
        found.append(Panel(gate, f"{gate}, % passed", points, 100.0))
    for row, title in _TIMED.items():
        values = [(at, night.timings[row]) for at, night in enumerate(nights) if row in night.timings]
        if values:
            top = 1.15 * max(value for _, value in values)
            found.append(Panel(row, title, [(at, value, value, value) for at, value in values], top or 1.0))
    return found


def svg(nights: Sequence[Night], resets: Sequence[Reset], drifts: Sequence[Drift]) -> str:
    """The self-contained SVG; an empty frame if there are no nights."""
    shown = panels(nights)
    height = _TOP + max(1, len(shown)) * (_PANEL + _GAP) + 30
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(nights) - 1)
    index = {night.name: at for at, night in enumerate(nights)}

    def x(at: int) -> float:
        return round(_LEFT + step * at, 1)

    body = []
    for place, panel in enumerate(shown):
        base = _TOP + place * (_PANEL + _GAP) + _PANEL

        def y(value: float, base: int = base, panel: Panel = panel) -> float:
            return round(base - _PANEL * min(max(value / panel.top, 0.0), 1.0), 1)

        body.append(f'<text x="{_LEFT}" y="{base - _PANEL - 6}" class="t">{html.escape(panel.title)}</text>')
        for value in (0.0, panel.top):
            body.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value)}" y2="{y(value)}" class="g"/>')
            body.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4}" class="a">{value:.4g}</text>')
        for reset in resets:
            title = f"<title>{html.escape(f'{nights[reset.at].name}: {reset.reason}')}</title>"
            body.append(
                f'<line x1="{x(reset.at) - 2}" x2="{x(reset.at) - 2}" y1="{base - _PANEL}" y2="{base}" class="c">'
                f"{title}</line>"
            )
        for at, value, low, high in panel.points:
            if high > low:
                body.append(f'<line x1="{x(at)}" x2="{x(at)}" y1="{y(low)}" y2="{y(high)}" class="i"/>')
            tooltip = html.escape(f"{nights[at].name}: {value:.4g} ({low:.4g}-{high:.4g})")
            body.append(f'<circle cx="{x(at)}" cy="{y(value)}" r="2.4" class="p"><title>{tooltip}</title></circle>')
        for drift in drifts:
            if drift.series == panel.series:
                first, last = x(index[drift.since]), x(index[drift.seen])
                body.append(
                    f'<rect x="{first}" y="{base + 3}" width="{max(2.0, last - first):.1f}" height="4" class="d">'
                    f"<title>drift, seen on {html.escape(drift.seen)}</title></rect>"
                )
    if nights:
        low_y = height - 10
        body.append(f'<text x="{_LEFT}" y="{low_y}" class="t">{html.escape(_label(nights[0]))}</text>')
        body.append(f'<text x="{_WIDTH - _RIGHT}" y="{low_y}" class="e">{html.escape(_label(nights[-1]))}</text>')
    style = (
        "text{font:12px system-ui,sans-serif;fill:var(--soft,#60666d)}"
        ".a,.e{text-anchor:end}.g{stroke:var(--line,#dfe2e6)}"
        f".i{{stroke:{_BLUE};opacity:.35;stroke-width:2}}.p{{fill:{_BLUE}}}.c{{stroke:{_GREY};stroke-dasharray:3 3}}"
        f".d{{fill:{_RED}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="history of {len(nights)} nights"><style>{style}</style>'
        f'<rect width="{_WIDTH}" height="{height}" fill="var(--paper,#fff)"/>{"".join(body)}</svg>\n'
    )


def _label(night: Night) -> str:
    return f"{night.name} ({night.started[:10]})"


def write(path: Path, history: History, resets: Sequence[Reset], drifts: Sequence[Drift]) -> None:
    """Write the plot in the format of the suffix of `path`: .svg, .html (the page) or .png (needs matplotlib).

    Raises:
        UsageError: another suffix, or matplotlib is not installed.
        OSError: the file cannot be written.
    """
    check_ending(path)
    nights = history.nights
    kind = path.suffix.lower()
    if kind == ".svg":
        path.write_text(svg(nights, resets, drifts), encoding="utf-8")
    elif kind == ".html":
        from annie_eval.nightly.page import page

        drawn = svg(nights, resets, drifts)
        path.write_text(page(history, resets, drifts, drawn, path.parent), encoding="utf-8")
    else:
        _png(path, nights, resets, drifts)


def check_ending(path: Path) -> None:
    """Raise UsageError for an unsupported suffix."""
    if path.suffix.lower() not in (".svg", ".html", ".png"):
        raise UsageError(f"--plot {path}: must end with .svg, .html or .png")


def _png(path: Path, nights: Sequence[Night], resets: Sequence[Reset], drifts: Sequence[Drift]) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(f"--plot {path}: a PNG needs matplotlib; install it, or write .svg or .html") from None
    shown = panels(nights)
    figure = Figure(figsize=(9, 1.4 * max(1, len(shown)) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    for place, panel in enumerate(shown):
        axes = figure.add_subplot(len(shown), 1, place + 1)
        xs, ys = [at for at, *_ in panel.points], [value for _, value, _, _ in panel.points]
        spread = [[v - low for _, v, low, _ in panel.points], [high - v for _, v, _, high in panel.points]]
        axes.errorbar(xs, ys, yerr=spread, fmt=".", color=_BLUE, ecolor=_BLUE, elinewidth=1, alpha=0.8)
        axes.set(title=panel.title, xlim=(-0.5, len(nights) - 0.5), ylim=(0, panel.top * 1.02))
        for reset in resets:
            axes.axvline(reset.at - 0.5, color=_GREY, linestyle="--")
        index = {night.name: at for at, night in enumerate(nights)}
        for drift in drifts:
            if drift.series == panel.series:
                axes.axvspan(index[drift.since], index[drift.seen], color=_RED, alpha=0.15)
    figure.savefig(path, format="png")
