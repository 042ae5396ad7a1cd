"""The tables of docs/detectors.md, made of the counts in docs/benchmarks/detectors.json and put between markers.

A block of the page stands between `<!-- NAME: written by ... -->` and `<!-- end of NAME -->`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from annie_eval.stats import binomial
from benchmarks.detector_sets.rows import Row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "detectors.md"
FIGURES = ROOT / "docs" / "benchmarks" / "detectors.json"
_BLOCK = re.compile(
    r"(<!-- (?P<name>[\w ]+): written by [^\n]* -->\n)(?:.*?\n)??(<!-- end of (?P=name) -->)", re.DOTALL
)
_NEEDED = {"rows", "profiles", "speed", "curve"}

Figures = Mapping[str, Any]


def store(**figures: Any) -> None:
    """Store these figures, and write the page's tables again once all figures are there."""
    kept = read() if FIGURES.exists() else {}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({**kept, **figures}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if read().keys() >= _NEEDED:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), read()), encoding="utf-8")


def read() -> dict[str, Any]:
    """The stored figures."""
    found: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def counted(rows: Sequence[Row]) -> dict[str, Any]:
    """What is kept of rows: counts, and no text."""
    return {
        row.label: {
            "want": row.want,
            "n": row.n,
            "wrong": row.wrong,
            "deserved": row.right,
            "by_rule": dict(sorted(row.by_rule.items())),
        }
        for row in rows
    }


def filled(page: str, figures: Figures) -> str:
    """The page with each block made of the figures.

    Raises:
        KeyError: a block that nothing makes.
    """
    return _BLOCK.sub(lambda block: block[1] + "\n".join(_TABLES[block["name"]](figures)) + "\n" + block[3], page)


def names(page: str) -> list[str]:
    """The blocks of a page."""
    return [block["name"] for block in _BLOCK.finditer(page)]


def _table(head: Sequence[str], rows: Iterator[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in row)} |"


def _rows(figures: Figures, beginning: str) -> dict[str, Mapping[str, Any]]:
    return {label: row for label, row in figures["rows"].items() if label.startswith(beginning)}


def _share(wrong: int, n: int) -> str:
    return f"{wrong:,} ({100 * wrong / n:.1f} %)"


def _missed(beginning: str, head: str) -> Callable[[Figures], Iterator[str]]:
    def table(figures: Figures) -> Iterator[str]:
        rows = _rows(figures, beginning).items()
        cells = (
            (label.removeprefix(beginning).lstrip(": "), row["n"], _share(row["wrong"], row["n"]))
            for label, row in rows
        )
        return _table((head, "n", "missed"), cells)

    return table


def _sets(figures: Figures) -> Iterator[str]:
    speech, other = _rows(figures, "speech: thinking"), _rows(figures, "speech in other languages: thinking")
    cells = (
        ("speech, English (SGD, Taskmaster, phrases of home assistants)", _n(speech)),
        ("speech, 56 other languages (CrossWOZ, phrases of home assistants)", _n(other)),
        ("answers of 37 models in home-assistant voice runs", _n(_rows(figures, "answers, unlabelled: thinking"))),
        (
            "thoughts of two models there, before any tool result",
            _n(_rows(figures, "thoughts before any tool result, whole")),
        ),
        (
            "thoughts of two models there, after a tool result",
            _n(_rows(figures, "thoughts after a tool result, whole")),
        ),
        ("raw outputs with a call in vLLM's parser tests", _n(_rows(figures, "call text: whole, tool"))),
        ("cases of public bug reports and their probes", _n(_rows(figures, "cases "))),
        ("made-up relatives of the cases (detector_sets/relatives.jsonl)", _n(_rows(figures, "relatives "))),
        ("made-up leaks and plain sentences (detector_sets/reasoning_probes.jsonl)", _n(_rows(figures, "probes: "))),
    )
    return _table(("texts", "n"), iter(cells))


def _n(rows: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(row["n"] for row in rows.values())


def _alarms(figures: Figures) -> Iterator[str]:
    def cells() -> Iterator[Sequence[object]]:
        for label, english in _rows(figures, "speech: ").items():
            detector = label.removeprefix("speech: ")
            if detector == "speakable":
                continue
            other = figures["rows"][f"speech in other languages: {detector}"]
            n, wrong = english["n"] + other["n"], english["wrong"] + other["wrong"]
            undeserved = wrong - english["deserved"] - other["deserved"]
            most = 100_000 * binomial.upper_bound(undeserved, n)
            yield f"`{detector}`", english["wrong"], other["wrong"], undeserved, f"{most:.1f}"

    head = ("detector", "alarms, English", "other languages", "not deserved", "at most in 100,000 (95 %)")
    return _table(head, cells())


def _kinds(beginning: str) -> Callable[[Figures], Iterator[str]]:
    """Cases or relatives by kind: faults missed and clean ones flagged."""

    def table(figures: Figures) -> Iterator[str]:
        kinds: dict[str, Counter[str]] = {}
        for label, row in _rows(figures, beginning).items():
            kind, want = label.removeprefix(beginning).split()[0].rstrip(","), row["want"]
            counts = kinds.setdefault(kind, Counter())
            counts[f"{want} n"] += row["n"]
            counts[f"{want} wrong"] += row["wrong"]
        cells = (
            (
                kind,
                f"{counts['something wrong']} of {counts['something n']}" if counts["something n"] else "",
                f"{counts['nothing wrong']} of {counts['nothing n']}" if counts["nothing n"] else "",
            )
            for kind, counts in sorted(kinds.items())
        )
        return _table(("kind", "faults missed", "clean ones flagged"), cells)

    return table


def _profiles(figures: Figures) -> Iterator[str]:
    return iter(figures["profiles"])


def _speed(figures: Figures) -> Iterator[str]:
    cells = ((f"`{name}`", f"{seconds:.2f}", f"`{unit!r}`") for name, seconds, unit in figures["speed"])
    return _table(("detector", "seconds for 1 MB", "worst unit"), cells)


def _curve(figures: Figures) -> Iterator[str]:
    return iter(figures["curve"])


def _spoken(figures: Figures) -> Iterator[str]:
    """Lines with each kind of what cannot be spoken, in 100,000."""
    rows = [figures["rows"][f"{which}: speakable"] for which in ("speech", "speech in other languages")]
    kinds = sorted({rule for row in rows for rule in row["by_rule"]})

    def cells() -> Iterator[Sequence[object]]:
        for rule in kinds:
            english, other = (100_000 * row["by_rule"].get(rule, 0) / row["n"] for row in rows)
            # The name of `clock24` has digits, which the name of a rule loses.
            kind = rule.removeprefix("speakable:").strip().removesuffix(" in speech") or "clock24"
            yield f"`{kind.replace(' ', '_')}`", f"{english:.0f}", f"{other:.0f}"
        yield "any", *(f"{100_000 * row['wrong'] / row['n']:.0f}" for row in rows)

    return _table(("kind", "English, in 100,000 lines", "other languages"), cells())


def _found(figures: Figures) -> Iterator[str]:
    """How often each rule of `thinking` finds something in each set of texts."""
    sets = ("tags", "speech", "answers", "thoughts", "cases", "relatives")
    counts = {
        name: sum(
            (Counter(row["by_rule"]) for label, row in figures["rows"].items() if _set(label) == name), Counter[str]()
        )
        for name in sets
    }
    rules = sorted({rule for counter in counts.values() for rule in counter if rule.startswith("thinking: ")})
    return _table(
        ("rule", *sets), ((rule.removeprefix("thinking: "), *(counts[name][rule] for name in sets)) for rule in rules)
    )


def _set(label: str) -> str:
    first = re.split(r"[ ,:]", label)[0]
    return {"tag": "tags"}.get(first, first)


_TABLES: Mapping[str, Callable[[Figures], Iterator[str]]] = {
    "texts": _sets,
    "curve": _curve,
    "thoughts": _missed("thoughts ", "thoughts"),
    "tags": _missed("tag", "form"),
    "calls": _missed("call text", "form"),
    "cases": _kinds("cases "),
    "relatives": _kinds("relatives "),
    "alarms": _alarms,
    "profiles": _profiles,
    "speakable": _spoken,
    "speed": _speed,
    "rules of thinking": _found,
}
