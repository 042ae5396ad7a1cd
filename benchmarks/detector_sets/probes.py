"""The probes of untagged reasoning: leaks of one to three sentences, and plain sentences made to be mistaken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.detector_sets.rows import Item, Want, answer_line

PROBES = Path(__file__).with_name("reasoning_probes.jsonl")


def items() -> Iterator[Item]:
    """Each probe, with the user's question."""
    for line in PROBES.read_bytes().splitlines():
        probe = json.loads(line)
        want: Want = "something" if probe["leak"] else "nothing"
        label = (
            f"probes: {'leaks' if probe['leak'] else 'plain'}, {'English' if probe['language'] == 'en' else 'other'}"
        )
        yield Item(label, want, answer_line(probe["text"], probe["user"]), ("thinking",), language=probe["language"])
