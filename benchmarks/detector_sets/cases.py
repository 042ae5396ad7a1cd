"""Cases in a file of JSON Lines: `kind`, `want` (`clean`, or the detectors of which one must find something), `line`.

`clean` means that nothing but `speakable` finds anything; `line` is a line for `annie-eval check`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from annie_eval.errors import ExchangeError
from annie_eval.profile.types import DETECTORS
from annie_eval.wire.parse import parse
from annie_eval.wire.sample import Sample
from benchmarks.detector_sets.judging import sample_of
from benchmarks.detector_sets.rows import Item, answer_line

# Made-up relatives of the kinds of cases, in the same form.
RELATIVES = Path(__file__).with_name("relatives.jsonl")
ALL = tuple(name for name in DETECTORS if name not in ("wire", "speakable"))


def bodies(folder: Path) -> Iterator[Sample]:
    """A sample of each response body (`*.sse` streamed, `*.json` whole) in a folder, with the tools of the profile."""
    base = sample_of(Item("", "nothing", answer_line("."), ()))
    for path in sorted([*folder.glob("*.sse"), *folder.glob("*.json")]):
        streamed, body = path.suffix == ".sse", path.read_bytes()
        headers = (("content-type", "text/event-stream" if streamed else "application/json"),)
        try:
            answer = parse(body, streamed=streamed)
        except ExchangeError:
            continue  # an ERROR, which no detector sees
        request = {**base.exchanges[0].request, "stream": streamed}
        exchange = replace(base.exchanges[0], request=request, body=body, headers=headers, answer=answer)
        yield replace(base, exchanges=(exchange,), variant=replace(base.variant, stream=streamed))


def items(path: Path, label: str = "cases") -> Iterator[Item]:
    """Each case in the row of its kind."""
    for raw in path.read_bytes().splitlines():
        case = json.loads(raw)
        line, want, weight = case["line"], case["want"], case["weight"]
        heard = (*ALL, "speakable") if case["kind"] == "speakable" else ALL
        if want == "clean":
            yield Item(f"{label} {case['kind']} {weight}, clean", "nothing", line, heard, note=line["id"])
        else:
            asked = tuple(name for name in want if name in DETECTORS)
            yield Item(f"{label} {case['kind']} {weight}, faults", "something", line, asked, note=line["id"])
