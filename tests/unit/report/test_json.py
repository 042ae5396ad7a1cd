"""verdict.json is valid, strict and complete, is written atomically, and can be read back."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.detectors.finding import Finding
from annie_eval.errors import UsageError
from annie_eval.gates.decide import RunVerdict, decide, overall
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import Gate
from annie_eval.run import verdict_json

SCHEMA = json.loads(verdict_json.SCHEMA.read_text(encoding="utf-8"))


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


def parsed(verdict: RunVerdict) -> Any:
    raw = json.loads(verdict_json.dumps(verdict), parse_constant=refuse)
    jsonschema.Draft202012Validator(SCHEMA).validate(raw)
    return raw


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_file_holds_what_readers_rely_on(failed: RunVerdict) -> None:
    raw = parsed(failed)
    assert raw["verdict"] == "FAIL"
    markdown = next(gate for gate in raw["gates"] if gate["name"] == "no_markdown")
    assert {key: markdown[key] for key in ("verdict", "passed", "n", "required", "expected")} == {
        "verdict": "FAIL",
        "passed": 7,
        "n": 15,
        "required": 12,
        "expected": 15,
    }
    assert markdown["interval"] == pytest.approx([0.2127, 0.7341], abs=1e-4)
    assert markdown["findings"][:2] == [
        {
            "sample": "no-markdown-00.stream.off",
            "detector": "markdown",
            "reason": "a bullet list",
            "excerpt": "Sure! \\n- milk\\n- eggs\\n- bread",
            "channel": "content",
            "exchange": 0,
            "span": [7, 13],
        },
        {
            "sample": "no-markdown-00.stream.off",
            "detector": "markdown",
            "reason": "bold text",
            "excerpt": "**milk**",
            "channel": "content",
            "exchange": 0,
            "span": [9, 17],
        },
    ]
    assert len(markdown["findings"]) == 16
    assert [error["sample"] for error in raw["errors"]] == [f"wire-integrity-0{i}.stream.off" for i in range(3)]
    assert raw["started"] == "2026-11-23T10:00:00.250000+00:00"
    assert raw["fingerprint"]["sampling"] == {"temperature": 0.0}
    assert raw["timings"][0]["roofline"] == 0.61


def without_surrogates(verdict: RunVerdict) -> RunVerdict:
    return dataclasses.replace(verdict, gates=tuple(gate for gate in verdict.gates if gate.name != "restraint"))


def test_file_reads_back_as_it_was(failed: RunVerdict, tmp_path: Path) -> None:
    verdict = without_surrogates(failed)
    verdict_json.write(tmp_path / "verdict.json", verdict)
    again = verdict_json.load(tmp_path / "verdict.json")
    assert again.gates == verdict.gates
    assert again.timings == verdict.timings
    assert again.started == verdict.started
    assert verdict_json.dumps(again) == verdict_json.dumps(verdict)
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


def test_hostile_text_stays_text(failed: RunVerdict, tmp_path: Path) -> None:
    verdict_json.write(tmp_path / "verdict.json", failed)
    data = (tmp_path / "verdict.json").read_bytes()
    assert data.isascii()
    assert b"\x1b" not in data
    assert b"\\udc80" not in data.replace(b"\\\\udc80", b"")  # lone surrogates are no Unicode text
    verdict_json.load(tmp_path / "verdict.json")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(values, st.text(st.characters(codec=None)), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_whatever_was_found_the_file_is_strict_json_and_valid(
    facts: Any, text: str, passed: int, missed: int, broken: int
) -> None:
    gate = Gate("g", ("d",), ("c",), required=2, lower_bound=0.5, baseline={text: text})
    judgements = [Judgement("g", f"p{i}") for i in range(passed)]
    judgements += [Judgement("g", f"m{i}{text}", (Finding("d", text, text),)) for i in range(missed)]
    judgements += [Judgement("g", f"b{i}", error=text) for i in range(broken)]
    result = decide(gate, judgements, 15)
    row = {"name": text, "verdict": "ERROR", "median": math.nan, "interval": [math.nan, math.inf], "limit": 1}
    verdict = RunVerdict(
        overall([result], [row]), gates=(result,), fingerprint={"x": facts}, timings=(row,), seconds=1.0
    )
    raw = parsed(verdict)
    assert raw["timings"][0]["interval"] == [None, None]
    assert raw["gates"][0]["n"] == passed + missed


def test_a_failed_write_leaves_the_old_file_and_no_rest(
    failed: RunVerdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "verdict.json"
    verdict_json.write(path, failed)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(verdict_json.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        verdict_json.write(path, dataclasses.replace(failed, seconds=1.0))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["verdict.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no verdict here; the run did not finish"),
        (b"", "not readable as JSON"),
        (b'{"verdict": "PASS"', "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"[]", "the whole file: [] is not of type 'object'"),
        (b'{"verdict": "PASS"}', "'format' is a required property"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "verdict.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        verdict_json.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"verdict": "MAYBE"}, "verdict"),
        ({"format": 2}, "format"),
        ({"seconds": "long"}, "seconds"),
        ({"gates": [{"name": "g"}]}, "gates[0]"),
    ],
)
def test_a_changed_field_is_named(failed: RunVerdict, tmp_path: Path, change: dict[str, Any], field: str) -> None:
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps({**verdict_json.to_dict(failed), **change}))
    with pytest.raises(UsageError, match=rf"verdict\.json: {field}".replace("[", r"\[").replace("]", r"\]")):
        verdict_json.load(path)
