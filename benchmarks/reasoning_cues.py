"""Measure the cues of untagged reasoning: counts, weights, and the curve of misses against false alarms.

    .venv/bin/python -m benchmarks.reasoning_cues --corpora DIR [--write]

`--corpora` is a folder as `detector_sets/corpora.py` describes it; the probes are in the repository
(`detector_sets/reasoning_probes.jsonl`). `--write` stores the counts and weights in
annie_eval/detectors/untagged_reasoning/counts.toml, and the second curve in docs/detectors.md. The curve is printed
twice: with the weights of everything, and cross-validated, where each half of every set is judged with the weights of
the other half. The last table judges the thoughts of each model with the weights of the others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from annie_eval.detectors.call_text import find_call_text
from annie_eval.detectors.tags import scan
from annie_eval.detectors.untagged_reasoning.find import ASKED, CUES, Hit, best_stretch, hits
from annie_eval.detectors.untagged_reasoning.weights import OTHER, THRESHOLD, Counts, log_odds
from benchmarks.detector_sets import page
from benchmarks.detector_sets.corpora import first_sentences, read
from benchmarks.detector_sets.probes import PROBES

COUNTS = Path(__file__).parents[1] / "annie_eval" / "detectors" / "untagged_reasoning" / "counts.toml"
NAMES = (*dict.fromkeys(cue.name for cue in CUES), *ASKED)
# The tools that are offered with the probes: those of the profile `annie` that they name.
TOOLS = ("search_memory", "web_search", "get_time")
CURVE = tuple(half / 2 for half in range(6, 19))


@dataclass(frozen=True, slots=True)
class Text:
    """One text, the set that it belongs to, and what was seen in it."""

    kind: str
    text: str
    group: str
    seen: tuple[Hit, ...]

    @property
    def half(self) -> int:
        return hashlib.sha256(self.text.encode()).digest()[0] & 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="store counts and weights in the package")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    texts = _texts(arguments.corpora, arguments.processes)

    seen, of = measure(texts)
    weights = _weights(seen, of)
    print(_table(seen, of, weights))
    print("\nwith the weights of everything:")
    print(_curve([(text, weights) for text in texts]))
    print("\ncross-validated, each half of every set with the weights of the other:")
    halves = [_weights(*measure([text for text in texts if text.half != half])) for half in (0, 1)]
    crossed = _curve([(text, halves[text.half]) for text in texts])
    print(crossed)
    print(f"\nthoughts of each model with the weights of the others, missed at {THRESHOLD:g}:")
    for model in sorted({text.group for text in texts if text.kind == "thoughts"}):
        others = _weights(*measure([text for text in texts if text.group != model]))
        own = [text for text in texts if text.group == model]
        for kind in ("thoughts", "thoughts, whole"):
            print(f"  {model}, {kind}: {_misses([(text, others) for text in own if text.kind == kind], THRESHOLD)}")
    if arguments.write:
        COUNTS.write_text(_stored(seen, of, weights), encoding="utf-8")
        page.store(curve=crossed.splitlines())
        print(f"\nwrote {COUNTS}")
    return 0


def measure(texts: Sequence[Text]) -> tuple[Mapping[str, Counts], Mapping[bool, Counts]]:
    """In how many texts each cue is seen; and how many texts there are, for cues of other languages (True) or not."""
    found: dict[str, Counter[str]] = {}
    size: Counter[str] = Counter()
    for text in texts:
        kind = text.kind
        if kind == "leaks":
            kind = "leaks" if text.group == "en" else "leaks, other"
        size[kind] += 1
        found.setdefault(kind, Counter()).update({hit.cue.name for hit in text.seen})

    def counts(of: Callable[[str], int], *, other: bool) -> Counts:
        leaks = of("leaks, other" if other else "leaks")
        return Counts(of("thoughts"), of("speech"), of("answers"), leaks, of("plain"))

    def seen(name: str) -> Counts:
        return counts(lambda kind: found.get(kind, Counter())[name], other=name.startswith(OTHER))

    total = {other: counts(lambda kind: size[kind], other=other) for other in (False, True)}
    return {name: seen(name) for name in NAMES}, total


def _weights(seen: Mapping[str, Counts], of: Mapping[bool, Counts]) -> dict[str, float]:
    return {n: round(log_odds(seen[n], of[n.startswith(OTHER)], other=n.startswith(OTHER)), 2) for n in NAMES}


def _texts(folder: Path, processes: int) -> list[Text]:
    raw = [
        ("thoughts", first_sentences(t["text"]), t["model"])
        for t in read(folder, "thoughts.jsonl")
        if not t["after_tool"]
    ]
    raw += [("thoughts, whole", t["text"], t["model"]) for t in read(folder, "thoughts.jsonl") if not t["after_tool"]]
    raw += [("speech", one["text"], one["source"]) for one in read(folder, "speech.jsonl")]
    raw += [("answers", one["text"], one["model"]) for one in read(folder, "answers.jsonl") if _speaks(one["text"])]
    questions = [""] * len(raw)
    for line in PROBES.read_bytes().splitlines():
        probe = json.loads(line)
        raw.append(("leaks" if probe["leak"] else "plain", probe["text"], probe["language"]))
        questions.append(probe["user"])
    offered = [TOOLS if kind in ("leaks", "plain") else () for kind, _, _ in raw]
    with ProcessPoolExecutor(processes) as pool:
        found = pool.map(hits, [text for _, text, _ in raw], questions, offered, chunksize=1000)
    return [Text(*one, tuple(seen)) for one, seen in zip(raw, found, strict=True)]


def _speaks(answer: str) -> bool:
    """Whether an answer holds neither a tag nor a call, so that it is likely to be speech."""
    return not scan(answer) and find_call_text(answer, {}) is None and not re.search(r"[{}]|\w\(\w+=", answer)


def _score(text: Text, weights: Mapping[str, float]) -> float:
    best = best_stretch(text.seen, weights)
    return best[0] if best else 0.0


def _misses(judged: Sequence[tuple[Text, Mapping[str, float]]], threshold: float) -> str:
    missed = sum(_score(*one) < threshold for one in judged)
    return f"{missed} of {len(judged)} ({100 * missed / max(1, len(judged)):.1f} %)"


def _curve(judged: Sequence[tuple[Text, Mapping[str, float]]]) -> str:
    sets = {
        "thoughts missed": [one for one in judged if one[0].kind == "thoughts"],
        "whole missed": [one for one in judged if one[0].kind == "thoughts, whole"],
        "leaks missed": [one for one in judged if one[0].kind == "leaks" and one[0].group == "en"],
        "other languages missed": [one for one in judged if one[0].kind == "leaks" and one[0].group != "en"],
        "speech alarms": [one for one in judged if one[0].kind == "speech"],
        "answers flagged": [one for one in judged if one[0].kind == "answers"],
        "plain alarms": [one for one in judged if one[0].kind == "plain"],
    }
    scores = {name: [_score(*one) for one in ones] for name, ones in sets.items()}
    lines = ["| threshold | " + " | ".join(f"{n} (of {len(s)})" for n, s in scores.items()) + " |"]
    lines.append("|---" * (len(sets) + 1) + "|")
    for threshold in CURVE:
        row = [
            sum(x < threshold for x in s) if "missed" in name else sum(x >= threshold for x in s)
            for name, s in scores.items()
        ]
        lines.append(f"| {threshold:g} | " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)


def _table(seen: Mapping[str, Counts], of: Mapping[bool, Counts], weights: Mapping[str, float]) -> str:
    lines = [f"of {of[False]}, other languages {of[True]}", f"| cue | weight | {' | '.join(asdict(of[False]))} |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name in sorted(NAMES, key=lambda name: -weights[name]):
        one = seen[name]
        cells = (weights[name], *astuple(one))
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _stored(seen: Mapping[str, Counts], of: Mapping[bool, Counts], weights: Mapping[str, float]) -> str:
    def fields(one: Counts) -> str:
        return ", ".join(f"{name} = {count}" for name, count in asdict(one).items())

    lines = [
        "# Written by benchmarks/reasoning_cues.py --write. In how many texts each cue is seen, and the weight that",
        "# follows; weights.py says what the sets are and has the formula.",
        "",
        "[of]",
        f"english = {{ {fields(of[False])} }}",
        f"other = {{ {fields(of[True])} }}",
        "",
        "[cues]",
    ]
    for name in sorted(NAMES, key=lambda name: -weights[name]):
        lines.append(f'"{name}" = {{ weight = {weights[name]:.2f}, {fields(seen[name])} }}')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
