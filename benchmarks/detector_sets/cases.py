"""Cases in a file of JSON Lines: `kind`, `want` (`clean`, or the detectors of which one must find something), `line`.

`clean` means that nothing but `speakable` finds anything; `line` is a line for `annie-eval check`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from annie_eval.profile.types import DETECTORS
from benchmarks.detector_sets.rows import Item

# Made-up relatives of the kinds of cases, in the same form.
RELATIVES = Path(__file__).with_name("relatives.jsonl")
ALL = tuple(name for name in DETECTORS if name not in ("wire", "speakable"))


def items(path: Path, label: str = "cases") -> Iterator[Item]:
    """Each case in the row of its kind."""
    for raw in path.read_bytes().splitlines():
        case = json.loads(raw)
        line, want, weight = case["line"], case["want"], case["weight"]
        if want == "clean":
            yield Item(f"{label} {case['kind']} {weight}, clean", "nothing", line, ALL, note=line["id"])
        else:
            asked = tuple(name for name in want if name in DETECTORS)
            yield Item(f"{label} {case['kind']} {weight}, faults", "something", line, asked, note=line["id"])
