"""Recorded signatures are read with the current variant names."""

from __future__ import annotations

from pathlib import Path

from annie_eval.plugin.snapshot_files import SignatureExtension

RECORDED = '{\n  "stream.off": [],\n  "whole.off": [\n    "\\"whole.off\\": []"\n  ],\n  "whole.unset.2": []\n}\n'


def test_a_variant_that_was_recorded_as_whole_is_unstreamed_and_text_stays(tmp_path: Path) -> None:
    file = tmp_path / "hello.json"
    file.write_text(RECORDED, "utf-8")
    place = {"snapshot_location": str(file), "snapshot_name": "hello", "session_id": ""}
    now = RECORDED.replace('  "whole.', '  "unstreamed.')
    assert SignatureExtension().read_snapshot_data_from_location(**place) == now
    assert SignatureExtension().read_snapshot_data_from_location(**{**place, "snapshot_location": "none"}) is None
