"""Answers at the edges of the detectors' rules: each tells the code from one with a single place changed.

They were searched by machine, among the answers of the other tests and small changes of them. Nobody has judged them:
a changed finding may be right, and then the line is stored again. `tests/support/described_samples.py` says what a
line of edges.jsonl holds; `found` is what the code finds, and `ANNIE_UPDATE_TABLES=1 pytest FILE` writes it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from annie_eval.detectors import detect
from tests.support.described_samples import as_json, sample_from
from tests.support.stored_table import UPDATE

FILE = Path(__file__).with_name("edges.jsonl")
LINES: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
OF = {
    name: [line for line in LINES if line["detector"] == name] for name in sorted({each["detector"] for each in LINES})
}


@pytest.mark.parametrize("detector", OF)
def test_answers_at_the_edges_have_the_stored_findings(detector: str) -> None:
    changed = []
    for line in OF[detector]:
        found = json.loads(json.dumps(as_json(detect(detector, sample_from(line)))))
        if found != line["found"]:
            changed.append((line, found))
            line["found"] = found
    if os.environ.get(UPDATE):
        lines = (json.dumps(line, ensure_ascii=False) for line in LINES)
        FILE.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return
    assert changed == []
