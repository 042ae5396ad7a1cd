"""The samples of a run as data for the HTML page: request, expectation, answer and findings, compressed.

The page holds an index of all samples, and packs of their requests and responses, each of which is read when somebody
opens one of its samples. This module makes all texts safe to show; the script only sets them as text.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annie_eval.detectors.finding import Finding
from annie_eval.errors import ExchangeError
from annie_eval.gates.judgement import Judgement
from annie_eval.regression.diagnosis import words
from annie_eval.regression.run_data import replies
from annie_eval.report import exchange as parts
from annie_eval.report import expected
from annie_eval.report.markup import segments, shown
from annie_eval.report.phrases import natural
from annie_eval.run.store import Attempt, StoredSample

MOST = 12_000_000  # bytes of the page for requests and responses; beyond it those of passed samples are left out
_MOST_BODY = 64_000  # bytes of one raw body
_PACK = 100  # samples that one pack contains

Told = list[tuple[str, list[str]]]
"""(channel, its text split at the findings) of one reply."""


@dataclass(frozen=True)
class Source:
    """Where the samples of a run are read from, one at a time: a run may not fit into memory.

    Attributes:
        keys: of all finished samples.
        load: the stored sample of a key.
        judgements: of every gate.
        scenarios: of the profile's snapshot, by id.
        attempts: failed requests, by sample.
        before: returns the sample of the baseline; None if there is no baseline.
        worse, better: samples that passed a gate in only one of the two runs.
    """

    keys: Sequence[str]
    load: Callable[[str], StoredSample | None]
    judgements: Sequence[Judgement]
    scenarios: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    attempts: Mapping[str, Sequence[tuple[int, Attempt]]] = field(default_factory=dict)
    before: Callable[[str], StoredSample | None] | None = None
    worse: frozenset[str] = frozenset()
    better: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reply:
    """One exchange: the new messages of the request, and the reply."""

    asked: list[tuple[str, str]]
    told: Told
    streamed: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One sample, judged.

    Attributes:
        gates: `pass`, `miss` or `broke`, by gate.
        findings: each finding once, with the gates for which it counts.
        error: why it broke; "" otherwise.
        then: the replies of the baseline, if their words differ.
        changes: against the baseline: of `worse`, `better`, `other words`, `same words`, `new`; () without one.
    """

    key: str
    scenario: str
    category: str
    gates: Mapping[str, str]
    findings: Sequence[tuple[Finding, list[str]]]
    error: str
    replies: Sequence[Reply]
    tools: Sequence[str]
    then: Sequence[Told] = ()
    changes: Sequence[str] = ()

    @property
    def outcome(self) -> str:
        """`broke`, `miss`, `pass`, or `not judged`."""
        outcomes = set(self.gates.values())
        if self.error or "broke" in outcomes:
            return "broke"
        return "miss" if "miss" in outcomes else "pass" if outcomes else "not judged"

    @property
    def variant(self) -> str:
        """`stream.off`: how it was sent; "" for a question of the user's own test."""
        return self.key.removeprefix(self.scenario).removeprefix(".")


@dataclass(frozen=True)
class Gathered:
    """All samples of a run, ordered by scenario.

    Attributes:
        packs: requests and responses, compressed, as base64; `place` has (pack, place in it) by sample.
        left_out: number of samples whose responses do not fit into the page.
    """

    records: Sequence[Record]
    packs: Sequence[str]
    place: Mapping[str, tuple[int, int]]
    left_out: int


@dataclass(frozen=True, slots=True)
class _Texts:
    """What one stored sample says: (new messages, (channel, text) of the reply, streamed) of each exchange."""

    error: str | None
    replies: Sequence[tuple[list[tuple[str, str]], list[tuple[str, str]], bool]]


class Packer:
    """The texts of samples, and their requests and responses, compressed by the hundred.

    A run adds its finished samples while others are in flight; `gather` adds those that are missing.
    """

    def __init__(self) -> None:
        self.packs: list[str] = []
        self.place: dict[str, tuple[int, int]] = {}
        self.size = 0
        self.texts: dict[str, _Texts] = {}
        self._open: list[dict[str, Any]] = []

    def add(
        self, key: str, stored: StoredSample | None, attempts: Sequence[tuple[int, Attempt]], *, whole: bool
    ) -> None:
        """Add one sample. A sample that was judged but is not stored has no texts."""
        self.texts[key] = _Texts(None, ()) if stored is None else _Texts(stored.error, list(_texts(stored)))
        if stored is None or not (stored.exchanges or attempts):
            return
        self.place[key] = (len(self.packs), len(self._open))
        self._open.append(_wire(stored, attempts, whole=whole))
        if len(self._open) == _PACK:
            self.close()

    def close(self) -> None:
        """Compress what was added since the last pack."""
        if self._open:
            self.packs.append(packed(_columns(self._open)))
            self.size += len(self.packs[-1])
            self._open = []


def gather(source: Source, scenario_of: Callable[[str], str], packer: Packer | None = None) -> Gathered:
    """Read every sample once; those that `packer` has are not read again, unless there is a baseline."""
    packer = packer or Packer()
    judged: dict[str, list[Judgement]] = {}
    for judgement in source.judgements:
        judged.setdefault(judgement.sample, []).append(judgement)
    bad = {key for key, of in judged.items() if not all(one.passed for one in of)}
    groups: dict[str, list[str]] = {}
    for key in dict.fromkeys((*source.keys, *judged)):
        groups.setdefault(scenario_of(key), []).append(key)
    records: list[Record] = []
    left_out = 0
    for scenario in sorted(groups, key=natural):
        for key in sorted(groups[scenario], key=natural):
            if key not in packer.texts:
                whole = packer.size < MOST or (key in bad and packer.size < MOST * 1.1)
                packer.add(key, source.load(key), source.attempts.get(key, ()), whole=whole)
                left_out += not whole and key in packer.place
            records.append(_record(key, scenario, judged.get(key, ()), packer.texts[key], source))
    packer.close()
    return Gathered(records, packer.packs, packer.place, left_out)


def _record(key: str, scenario: str, judged: Sequence[Judgement], texts: _Texts, source: Source) -> Record:
    gates = {j.gate: "broke" if j.error is not None else "miss" if j.findings else "pass" for j in judged}
    findings: dict[Finding, list[str]] = {}
    for judgement in judged:
        for finding in judgement.findings:
            findings.setdefault(finding, []).append(judgement.gate)
    errors = [texts.error, *(judgement.error for judgement in judged)]
    shown_replies = _replies(texts, list(findings))
    told = {name for reply in shown_replies for name in _called(reply.told)}
    wanted = source.scenarios.get(scenario, {})
    old = source.before(key) if source.before is not None else None
    changes = _changes(key, old, source)
    return Record(
        key=key,
        scenario=scenario,
        category=str(wanted.get("category", "")),
        gates=gates,
        findings=list(findings.items()),
        error=next((error for error in errors if error is not None), ""),
        replies=shown_replies,
        tools=sorted(told | expected.tools(wanted)),
        then=[]
        if "same words" in changes or old is None
        else [reply.told for reply in _replies(_Texts(None, list(_texts(old))), ())],
        changes=changes,
    )


def _changes(key: str, old: StoredSample | None, source: Source) -> list[str]:
    if source.before is None:
        return []
    found = [name for name, keys in (("worse", source.worse), ("better", source.better)) if key in keys]
    if old is None:
        return [*found, "new"]
    now = source.load(key)
    if now is None or now.error is not None or old.error is not None:
        return found
    try:
        same = words(replies(now)) == words(replies(old))
    except ExchangeError:
        return found
    return [*found, "same words" if same else "other words"]


def _texts(stored: StoredSample) -> Iterator[tuple[list[tuple[str, str]], list[tuple[str, str]], bool]]:
    known = 0
    for exchange in stored.exchanges:
        messages = parts.messages(exchange.request)
        asked = [(shown(who), shown(text)) for who, text in messages[known:] if who != "system"]
        yield asked, parts.channels(exchange), bool(exchange.request.get("stream"))
        known = len(messages) + 1  # the reply itself comes back as a message of the next request


def _replies(texts: _Texts, findings: Sequence[Finding]) -> list[Reply]:
    shown_replies = []
    for n, (asked, channels, streamed) in enumerate(texts.replies):
        told: Told = []
        for name, text in channels:
            spans = [span for f in findings if f.exchange == n and (span := _span(f, name, text)) is not None]
            told.append((shown(name), segments(text, spans)))
        shown_replies.append(Reply(asked, told, streamed))
    return shown_replies


def _span(finding: Finding, channel: str, text: str) -> tuple[int, int] | None:
    """Return the position of a finding in the shown text of a channel; None if it is not in it.

    A span in a call counts from the start of the arguments or of the name; the excerpt tells which call.
    """
    if finding.channel is None or channel.partition("[")[0] != finding.channel:
        return None
    if finding.channel != "tool_calls":
        if finding.span is not None:
            return finding.span
        at = text.find(quote) if (quote := _quoted(finding)) else -1
        return None if at < 0 else (at, at + len(quote))
    start = text.find("(") + 1
    quote = _quoted(finding)
    if finding.span is not None:
        first, last = finding.span
        for offset, part in ((start, text[start:]), (0, text[:start])):
            if (piece := part[first:last]) and (piece[:100] in quote or quote in piece):
                return offset + first, offset + last
    at = text.find(quote) if quote else -1
    return None if at < 0 else (at, at + len(quote))


def _quoted(finding: Finding) -> str:
    """Return the part of the excerpt that is in the text."""
    return finding.excerpt.removeprefix("…").removesuffix("…").replace("\\n", "\n")


def _called(told: Told) -> Iterator[str]:
    for name, pieces in told:
        if name.startswith("tool_calls["):
            yield "".join(pieces).partition("(")[0]


def _wire(stored: StoredSample, attempts: Iterable[tuple[int, Attempt]], *, whole: bool) -> dict[str, Any]:
    """Return requests and responses byte for byte; bytes that cannot be shown are escaped."""
    exchanges = []
    for exchange in stored.exchanges:
        headers = [f"{name}: {value}" for name, value in exchange.headers]
        kept, cut = _limited(parts.reads(exchange)) if whole else ([], len(exchange.body))
        exchanges.append(
            {
                "request": _json(exchange.request),
                "head": shown("\n".join([f"HTTP {exchange.status}", *headers])),
                "body": "\n".join(parts.body_lines(kept)),
                "size": len(exchange.body),
                "cut": cut,
            }
        )
    broken = [
        {
            "cause": shown(f"exchange {n + 1}: {one.cause}" + ("" if one.status is None else f", HTTP {one.status}")),
            "body": "\n".join(parts.body_lines([(None, one.body[:_MOST_BODY])])) if one.body else "",
        }
        for n, one in attempts
    ]
    return {"exchanges": exchanges, "broken": broken}


def _limited(reads: Iterable[tuple[float | None, bytes]]) -> tuple[list[tuple[float | None, bytes]], int]:
    """Return the first reads, and the number of bytes after them."""
    left, cut, kept = _MOST_BODY, 0, []
    for milliseconds, data in reads:
        if left > 0:
            kept.append((milliseconds, data[:left]))
        cut += max(0, len(data) - max(0, left))
        left -= len(data)
    return kept, cut


def _json(value: Any) -> str:
    """Return exact JSON, safe to show, and without apostrophes, so that it can be put between a shell's quotes."""
    text = json.dumps(value, ensure_ascii=False).replace("'", "\\u0027")
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _columns(pack: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Order by kind (requests, then heads, then bodies), because similar texts compress better side by side."""
    names = ("request", "head", "body", "size", "cut")
    every = [exchange for sample in pack for exchange in sample["exchanges"]]
    return {
        "counts": [len(sample["exchanges"]) for sample in pack],
        "broken": [sample["broken"] for sample in pack],
        **{name: [exchange[name] for exchange in every] for name in names},
    }


def index(gathered: Gathered, source: Source) -> dict[str, Any]:
    """Return what the script filters, searches and shows immediately, as JSON values."""
    gates = list(dict.fromkeys(gate for record in gathered.records for gate in record.gates))
    groups: list[dict[str, Any]] = []
    for record in gathered.records:
        if not groups or groups[-1]["id"] != shown(record.scenario):
            wanted = source.scenarios.get(record.scenario, {})
            groups.append(
                {
                    "id": shown(record.scenario),
                    "category": shown(record.category),
                    "expected": [shown(line) for line in expected.expected(wanted)],
                    "samples": [],
                }
            )
        groups[-1]["samples"].append(_indexed(record, gates, gathered.place.get(record.key)))
    return {"gates": [shown(gate) for gate in gates], "groups": groups}


def _indexed(record: Record, gates: Sequence[str], place: tuple[int, int] | None) -> dict[str, Any]:
    plain = {
        "key": shown(record.key),
        "variant": shown(record.variant),
        "outcome": record.outcome,
        "gates": {gates.index(gate): outcome for gate, outcome in record.gates.items()},
        "findings": [
            [[gates.index(gate) for gate in of], shown(f.detector), shown(f.reason), f.channel, shown(f.excerpt)]
            for f, of in record.findings
        ],
        "error": shown(record.error),
        "replies": [
            {"asked": reply.asked, "told": reply.told, "streamed": reply.streamed} for reply in record.replies
        ],
        "tools": [shown(tool) for tool in record.tools],
        "then": record.then,
        "changes": record.changes,
        "place": place,
    }
    return {name: value for name, value in plain.items() if value}


def packed(value: Any) -> str:
    """Return compressed JSON as base64, which is inert in HTML."""
    raw = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return base64.b64encode(zlib.compress(raw, 6)).decode("ascii")
