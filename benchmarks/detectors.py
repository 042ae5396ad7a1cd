"""Measures how often the detectors are wrong on texts from other sources: false alarms, misses and examples of both.

    .venv/bin/python -m benchmarks.detectors [--corpora DIR] [--cases FILE] [--parser-tests WHEEL_OR_SDIST]
                                             [--rows WORD] [--examples 3] [--processes 2] [--write]

Without an option it measures what is in the repository: tags and their remnants, probes, relatives of cases, and
speed. `--corpora` adds speech, answers and thoughts (`detector_sets/corpora.py`), `--cases` a file of cases
(`detector_sets/cases.py`), and `--parser-tests` the raw outputs in vLLM's own tests
(`detector_sets/parser_outputs.py`). With all of them, `--write` stores the counts in docs/benchmarks/detectors.json
and makes the tables of docs/detectors.md of them; with `--rows` it does so for these rows, or for the table of speed.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from annie_eval.profile.types import DETECTORS
from benchmarks.detector_sets import cases, corpora, page, parser_outputs, probes, profiles, speed, tag_forms
from benchmarks.detector_sets.judging import judge
from benchmarks.detector_sets.rows import Item, Row

# `wire` looks at bytes, and there are none.
_JUDGES = tuple(name for name in DETECTORS if name != "wire")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, help="folder with thoughts.jsonl, answers.jsonl, speech.jsonl")
    parser.add_argument("--cases", type=Path, help="JSON Lines of cases")
    parser.add_argument("--parser-tests", type=Path, help="archive of sources with vLLM's tests")
    parser.add_argument("--rows", default="", help="only rows whose label holds this text")
    parser.add_argument("--examples", type=int, default=3, help="examples of a row (default 3)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="store the counts, and write the tables of the page")
    arguments = parser.parse_args()
    everything = arguments.corpora and arguments.cases and arguments.parser_tests and not arguments.rows
    if arguments.write and not everything and not arguments.rows:
        parser.error("--write needs --corpora, --cases and --parser-tests, or --rows")
    started = time.perf_counter()
    chosen = [item for item in _items(arguments) if arguments.rows in item.row]
    rows = judge(chosen, processes=arguments.processes)
    print("| texts | n | wrong | rate | found by |\n|---|---|---|---|---|")
    for row in rows:
        print(_line(row))
    if any(row.label.startswith(profiles.PREFIX) for row in rows):
        print("\nA model that is right on every scenario fails by false alarms alone:\n")
        print("\n".join(profiles.table(rows)))
    if arguments.write and everything:
        page.store(rows=page.counted(rows), profiles=list(profiles.table(rows)))
    elif arguments.write and rows:
        page.store(rows=page.read()["rows"] | page.counted(rows))
    if arguments.rows in "speed":
        print("\n| detector | seconds for 1 MB | worst unit |\n|---|---|---|")
        slowest = speed.slowest(_JUDGES, processes=arguments.processes)
        for detector, seconds, unit in slowest:
            print(f"| {detector} | {seconds:.2f} | {unit!r} |")
        if arguments.write:
            page.store(speed=[(name, round(seconds, 2), unit) for name, seconds, unit in slowest])
    print("\n" + "\n".join(_rules(rows)))
    for row in rows:
        if row.examples and arguments.examples:
            print(f"\n{row.label}:")
            print("\n".join(f"  {example}" for example in row.examples[: arguments.examples]))
    print(f"\n{time.perf_counter() - started:.0f} s")
    return 0


def _items(arguments: argparse.Namespace) -> Iterator[Item]:
    yield from tag_forms.items()
    yield from probes.items()
    yield from cases.items(cases.RELATIVES, "relatives")
    if arguments.corpora:
        yield from corpora.items(arguments.corpora)
    if arguments.parser_tests:
        yield from parser_outputs.items(arguments.parser_tests)
    if arguments.cases:
        yield from cases.items(arguments.cases)


def _rules(rows: list[Row]) -> Iterator[str]:
    """A table of how often each rule finds something in each set of texts."""
    sets = list(dict.fromkeys(_set(row) for row in rows))
    counts = {name: sum((row.by_rule for row in rows if _set(row) == name), Counter[str]()) for name in sets}
    yield f"| rule | {' | '.join(sets)} |\n|---{'|---' * len(sets)}|"
    for rule in sorted({rule for counter in counts.values() for rule in counter}):
        yield f"| {rule} | {' | '.join(str(counts[name][rule]) for name in sets)} |"


def _set(row: Row) -> str:
    """`cases K02 S, clean` is of the cases, `tags whole` of the tags."""
    first = re.split(r"[ ,:]", row.label)[0]
    return {"call": "call text", "tag": "tags"}.get(first, first)


def _line(row: Row) -> str:
    what = "alarms" if row.want == "nothing" else "misses"
    who = ", ".join(f"{name} {count}" for name, count in sorted(row.by_detector.items(), key=lambda one: -one[1]))
    read = f", {row.right} deserved" if row.right else ""
    return f"| {row.label} | {row.n} | {row.wrong} {what}{read} | {100 * row.wrong / row.n:.2f} % | {who} |"


if __name__ == "__main__":
    sys.exit(main())
