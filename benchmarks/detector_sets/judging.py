"""Judge items as `annie-eval check` would, many at a time."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

from annie_eval.detectors import detect
from annie_eval.profile.load import load
from annie_eval.profile.types import Profile
from annie_eval.wire.messages import read_sample
from annie_eval.wire.sample import Sample
from benchmarks.detector_sets.rows import Item, Row, rule

PROFILE = "annie"
_CHUNK = 500
_EXAMPLES = 400


@cache
def profile() -> Profile:
    """The profile whose tools and limits the samples have."""
    return load(PROFILE)


@cache
def _plain() -> Sample:
    line = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "."}]}
    sample, _ = read_sample(line | {"expect": {"calls": []}}, profile(), "benchmark")
    return sample


def sample_of(item: Item) -> Sample:
    """The sample that an item describes."""
    line = item.line
    messages = line["messages"]
    plain = len(messages) == 2 and set(messages[1]) == {"role", "content"} and set(line) == {"messages", "expect"}
    if plain and line["expect"] == {"calls": []}:
        # The same as below, without reading the scenario again for each of many thousand lines.
        base = _plain()
        exchange = base.exchanges[0]
        request = {**exchange.request, "messages": messages[:1]}
        answer = replace(exchange.answer, content=messages[1]["content"])
        sample = replace(base, exchanges=(replace(exchange, request=request, answer=answer),))
    else:
        sample, _ = read_sample(line, profile(), str(line.get("id", "benchmark")))
    if item.language is not None:
        sample = replace(sample, scenario=replace(sample.scenario, language=item.language))
    if item.tools is None:
        return sample
    schemas = {name: {"type": "object"} | dict(schema) for name, schema in item.tools.items()}
    offered = [{"type": "function", "function": {"name": n, "parameters": s}} for n, s in schemas.items()]
    exchanges = tuple(replace(one, request={**one.request, "tools": offered}) for one in sample.exchanges)
    return replace(sample, tools=schemas, exchanges=exchanges)


@cache
def _read() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(Path(__file__).with_name("read.toml").read_text(encoding="utf-8"))


def deserved(item: Item) -> bool:
    """Whether somebody has read this line of speech and found that it deserves the alarm: see read.toml."""
    text = item.line["messages"][-1]["content"] or ""
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return any(key in _read().get(detector, {}) for detector in item.detectors)


def _judge(items: Sequence[Item]) -> list[Row]:
    rows: dict[str, Row] = {}
    for item in items:
        sample = sample_of(item)
        row = rows.setdefault(item.row, Row(item.row, item.want))
        found = [finding for detector in item.detectors for finding in detect(detector, sample)]
        row.n += 1
        row.by_detector.update({finding.detector for finding in found})
        row.by_rule.update({rule(finding.detector, finding.reason) for finding in found})
        if bool(found) != (item.want == "something"):
            row.wrong += 1
            row.right += deserved(item)
            shown = item.note or json.dumps(item.line["messages"][-1]["content"], ensure_ascii=False)[:160]
            why = "; ".join(f"{one.detector}: {one.reason} [{one.excerpt}]" for one in found)
            if len(row.examples) < _EXAMPLES:
                row.examples.append(f"{shown}  <- {why[:200]}" if why else shown)
    return list(rows.values())


def judge(items: Iterable[Item], *, processes: int) -> list[Row]:
    """A row for each label, in the order of the items."""
    every = list(items)
    chunks = [every[start : start + _CHUNK] for start in range(0, len(every), _CHUNK)]
    rows: dict[str, Row] = {}
    with ProcessPoolExecutor(processes) as pool:
        for part in pool.map(_judge, chunks):
            for one in part:
                row = rows.setdefault(one.label, Row(one.label, one.want))
                row.n += one.n
                row.wrong += one.wrong
                row.right += one.right
                row.examples += one.examples
                row.by_detector.update(one.by_detector)
                row.by_rule.update(one.by_rule)
    return list(rows.values())
