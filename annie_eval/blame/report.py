"""Formats the result of a search as lines of text."""

from __future__ import annotations

from annie_eval.blame.blame import Answer
from annie_eval.blame.search import Row
from annie_eval.text import aligned, printable

_HEAD = ["tried", "with", "passed", "better", "worse", "p", "result"]


def lines(answer: Answer) -> list[str]:
    """The table of the changes that were tried, and the sentence with the result."""
    told: list[str] = []
    if answer.gate is not None:
        told += [f"gate {answer.gate}", ""]
    if rows := answer.finding.rows:
        told += [*aligned([_HEAD, *map(_cells, rows)]), ""]
        told += [f"{row.name}: {printable(row.note)}" for row in rows if row.note]
        told.append("")
    told.append(printable(answer.finding.sentence))
    if answer.others:
        told.append(f"Other gates fail, too; look into each with --gate: {', '.join(answer.others)}.")
    told += [f"Known defect of this vLLM: {defect}." for defect in answer.defects]
    return told


def _cells(row: Row) -> list[str]:
    found = row.comparison
    if found is None or found.n == 0:
        return [row.name, printable(row.how), "", "", "", "", row.result]
    counts = [f"{found.passed}/{found.asked}", str(found.better), str(found.worse), f"{found.p:.2g}"]
    return [row.name, printable(row.how), *counts, row.result]
