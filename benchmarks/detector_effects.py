"""Measures what each rule of the detectors does: in how many texts it matches, and in how many it decides the result.

    .venv/bin/python -m benchmarks.detector_effects [--corpora DIR] [--cases FILE] [--parser-tests SDIST] [--write]

A rule is what `detector_sets/rules.py` says. It decides in a text if a detector finds something with the rule and
nothing without it, or the other way round; of each set, at most 20 texts where it takes part are judged without it.
Sets: what an answer may hold of tags; the probes of untagged reasoning; the relatives of cases
(`detector_sets/relatives.jsonl`); the samples that the unit tests of the detectors judge; with `--corpora` thoughts,
speech and answers; with `--cases` a file of cases, and bodies of answers in `wire/` beside it; with `--parser-tests`
the calls in vLLM's own tests.

`--write` stores the counts, and no text, in docs/benchmarks/detector_effects.jsonl, one rule a line:
`[module and name, rule, {set: [texts, decided]}]`. Sets that were not measured keep their counts.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from annie_eval.detectors import detect
from annie_eval.profile.types import DETECTORS
from annie_eval.text import printable
from annie_eval.wire.sample import Sample
from benchmarks.detector_sets import cases, corpora, parser_outputs, probes, rules, tag_forms
from benchmarks.detector_sets.judging import sample_of
from benchmarks.detector_sets.rows import Item

ROOT = Path(__file__).parents[1]
EFFECTS = ROOT / "docs" / "benchmarks" / "detector_effects.jsonl"
_TESTS = tuple(ROOT / "tests" / "unit" / part for part in ("detectors", "wire"))
_TRIED = 20
_EACH = 4  # of speech and answers, every fourth text is judged: many are alike
_CHUNK = 400

Effects = dict[rules.Rule, dict[str, tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a set, who judges it, and the sample that it is, made when it is needed."""

    group: str
    item: Item | Sample
    detectors: tuple[str, ...]

    def verdict(self) -> tuple[bool, ...]:
        """Whether each of the detectors finds something; one that cannot judge the sample finds nothing."""
        sample = self.item if isinstance(self.item, Sample) else sample_of(self.item)
        found = []
        for name in self.detectors:
            try:
                found.append(bool(detect(name, sample)))
            except Exception:
                if self.group != "tests":  # where a test hands over what a detector must refuse
                    raise
                found.append(False)
        return tuple(found)


_TEXTS: list[Text] = []
_WATCH: list[Any] = []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, help="folder with thoughts.jsonl, answers.jsonl, speech.jsonl")
    parser.add_argument("--cases", type=Path, help="JSON Lines of cases")
    parser.add_argument("--parser-tests", type=Path, help="archive of sources with vLLM's tests")
    parser.add_argument("--write", action="store_true", help="store the counts in docs/benchmarks")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    started = time.perf_counter()
    tested, watched = _tested()
    _TEXTS.extend([*_gathered(arguments), *tested])
    effects = measure(watched, arguments.processes)
    without = [rule for rule, sets in effects.items() if not sets]
    idle = [rule for rule, sets in effects.items() if sets and not any(decided for _, decided in sets.values())]
    for title, some in (("take part in no text", without), ("decide in no text", idle)):
        print(f"\n{len(some)} of {len(effects)} rules {title}:")
        print("\n".join(f"  {name}: {printable(text)}" for name, text in some))
    if arguments.write:
        measured = {text.group for text in _TEXTS} | {"tests"}
        kept = read() if EFFECTS.exists() else {}
        write({rule: _others(kept.get(rule, {}), measured) | sets for rule, sets in effects.items()})
    print(f"\n{len(_TEXTS)} texts, {time.perf_counter() - started:.0f} s")
    return 0


def _others(sets: dict[str, tuple[int, int]], measured: set[str]) -> dict[str, tuple[int, int]]:
    return {group: counts for group, counts in sets.items() if group not in measured}


def write(effects: Effects) -> None:
    """Store the counts, a rule a line."""
    EFFECTS.parent.mkdir(exist_ok=True)
    lines = (json.dumps([name, text, sets]) for (name, text), sets in effects.items())
    EFFECTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read() -> Effects:
    """The counts that are stored."""
    rows = map(json.loads, EFFECTS.read_text(encoding="utf-8").splitlines())
    return {(name, text): {group: tuple(counts) for group, counts in sets.items()} for name, text, sets in rows}


def measure(in_tests: dict[rules.Rule, int], processes: int) -> Effects:
    """The effect of each rule in the texts that were gathered, and the tests that it takes part in."""
    taken: dict[rules.Rule, dict[str, list[int]]] = {rule: {} for rule in rules.every()}
    with ProcessPoolExecutor(processes) as pool:
        starts = range(0, len(_TEXTS), _CHUNK)
        for start, seen in zip(starts, pool.map(_seen, starts), strict=True):
            for place, some in enumerate(seen, start):
                for rule in some:
                    taken[rule].setdefault(_TEXTS[place].group, []).append(place)
        work = [(rule, group, _spread(places)) for rule, sets in taken.items() for group, places in sets.items()]
        decided = dict(zip([one[:2] for one in work], pool.map(_decides, work, chunksize=16), strict=True))
    return {
        rule: {group: (len(places), decided[rule, group]) for group, places in sets.items()}
        | ({"tests": (in_tests[rule], 0)} if rule in in_tests and "tests" not in sets else {})
        for rule, sets in taken.items()
    }


def _spread(places: list[int]) -> list[int]:
    return places[:: -(-len(places) // _TRIED)]


def _watch() -> Any:
    if not _WATCH:
        for name in DETECTORS:
            importlib.import_module(f"annie_eval.detectors.{name}")
        _WATCH.append(rules.watched())
    return _WATCH[0]


def _seen(start: int) -> list[set[rules.Rule]]:
    """The rules that take part in each text of a chunk."""
    watch, found = _watch(), []
    for text in _TEXTS[start : start + _CHUNK]:
        watch.seen = set()
        watch.leave_out(None)
        text.verdict()
        found.append(watch.seen)
    return found


def _decides(work: tuple[rules.Rule, str, list[int]]) -> int:
    """In how many texts the verdict is another one without the rule."""
    rule, _, places = work
    watch, changed = _watch(), 0
    for place in places:
        watch.leave_out(None)
        with_it = _TEXTS[place].verdict()
        watch.leave_out(rule)
        try:
            changed += _TEXTS[place].verdict() != with_it
        except Exception:  # a detector that cannot do without the rule
            changed += 1
    watch.leave_out(None)
    return changed


def _gathered(arguments: argparse.Namespace) -> Iterator[Text]:
    if arguments.corpora:
        for one in _of("thoughts", corpora.items(arguments.corpora), "thoughts"):
            if isinstance(one.item, Item) and not one.item.row.endswith("three sentences"):
                yield one
        yield from _together("speech", corpora.items(arguments.corpora))
        yield from _together("answers", corpora.items(arguments.corpora))
    if arguments.parser_tests:
        yield from _of("calls", parser_outputs.items(arguments.parser_tests))
    if arguments.cases:
        yield from _of("cases", cases.items(arguments.cases))
        yield from (
            Text("cases", sample, ("wire", *cases.ALL)) for sample in cases.bodies(arguments.cases.parent / "wire")
        )
    yield from _of("tags", tag_forms.items())
    yield from _of("probes", probes.items())
    yield from _of("relatives", cases.items(cases.RELATIVES, "relatives"))


def _of(group: str, items: Iterable[Item], beginning: str = "") -> Iterator[Text]:
    return (Text(group, item, item.detectors) for item in items if item.row.startswith(beginning))


def _together(group: str, items: Iterable[Item]) -> Iterator[Text]:
    """Every fourth text of a set, judged by all detectors that the set is judged by."""
    once = (one for one in _of(group, items, group) if one.detectors == corpora.HEARD[:1])
    for one in islice(once, 0, None, _EACH):
        yield Text(group, one.item, corpora.HEARD)


def _tested() -> tuple[list[Text], dict[rules.Rule, int]]:
    """The samples that the unit tests of the detectors judge, and in how many tests each rule takes part.

    The tests run in a process of their own: stand-ins stay in the modules.
    """
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(_run_tests).result()


def _run_tests() -> tuple[list[Text], dict[rules.Rule, int]]:
    watch = _watch()
    watch.leave_out(None)
    texts: list[Text] = []
    in_tests: dict[rules.Rule, int] = {}

    def recorded(name: str, judge: Callable[[Sample], Any]) -> Callable[[Sample], Any]:
        def find(sample: Sample) -> Any:
            texts.append(Text("tests", sample, (name,)))
            return judge(sample)

        return find

    for name in DETECTORS:
        module = importlib.import_module(f"annie_eval.detectors.{name}")
        module.find = recorded(name, module.find)  # type: ignore[attr-defined]

    class Plugin:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.when == "call":
                for rule in watch.seen:
                    in_tests[rule] = in_tests.get(rule, 0) + 1
                watch.seen = set()

    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(
            [
                "-q",
                "-p",
                "no:cacheprovider",
                "-n0",
                "--tb=no",
                *map(str, _TESTS),
                f"--ignore={_TESTS[0] / 'test_effects.py'}",
            ],
            plugins=[Plugin()],
        )
    return texts, in_tests


if __name__ == "__main__":
    sys.exit(main())
