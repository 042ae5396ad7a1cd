"""A resumed run recognises another server or checkpoint."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annie_eval.http_client import Response
from annie_eval.profile.load import load
from annie_eval.run import identity
from annie_eval.run.store import Store
from annie_eval.serving import checkpoint, fingerprint
from annie_eval.serving.remote import _started

KNOWN: dict[str, Any] = {
    "server": "vllm",
    "server_version": "0.32.0",
    "served_model": "annie",
    "root": "/models/annie",
    "max_model_len": 8192,
    "weights": "aa" * 32,
    "chat_template": "bb" * 32,
    "tokenizer": "cc" * 32,
    "sampling": {"temperature": 0.0, "seed": 0},
    "tool_parser": "hermes",
    "kernels": ["MarlinNvFp4LinearKernel for NVFP4"],
    "gpus": ["NVIDIA H100"],
    "arguments": ["--tool-call-parser", "hermes", "--enforce-eager"],
}


def run(path: Path, **facts: Any) -> Store:
    """A run with one answer."""
    path.mkdir(exist_ok=True)
    store = Store(path, create=True)
    store.save_sample("hello.stream.off", None)
    store.set_meta(**facts)
    return store


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"served_model": "another"}, "the served name changed (annie -> another)"),
        ({"server_version": "0.33.0"}, "the server's version changed (0.32.0 -> 0.33.0)"),
        ({"server_version": None}, "the server's version changed (0.32.0 -> none)"),
        ({"server": "sglang"}, "server changed (vllm -> sglang)"),
        ({"chat_template": "dd" * 32}, "the chat template changed (bbbbbbbb -> dddddddd)"),
        ({"sampling": {"temperature": 0.7, "seed": 0}}, "the sampling changed (temperature 0.0 -> 0.7)"),
        ({"weights": "ee" * 32}, "the weights changed (aaaaaaaa -> eeeeeeee)"),
        ({"weights": None}, "the weights changed (aaaaaaaa -> none)"),
        ({"tool_parser": "qwen3_coder"}, "the tool parser changed (hermes -> qwen3_coder)"),
        ({"arguments": ["--tool-call-parser", "hermes"]}, "server flag --enforce-eager was lost"),
        ({"max_model_len": 4096}, "the context length changed (8192 -> 4096)"),
        ({"kernels": []}, "the kernels changed (MarlinNvFp4LinearKernel for NVFP4 -> none)"),
        ({"something_new": 1}, "something new changed (none -> 1)"),
    ],
)
def test_each_difference_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    store = run(tmp_path, fingerprint=KNOWN)
    assert identity.differences(store, KNOWN, {}) == []
    assert identity.differences(store, {**KNOWN, **change}, {}) == [message]
    store.close()


def test_a_run_without_an_answer_has_nothing_to_mix(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    assert identity.differences(store, KNOWN, {}) == []
    store.save_timing("row", [{"name": "ttft_short", "verdict": "PASS"}])
    assert identity.differences(store, KNOWN, {}) == ["it does not say which server gave its answers"]
    store.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint of one tensor of 8 MB, as long as the fingerprint reads a part of it alone."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"architectures": ["X"], "model_type": "x"}))
    (path / "tokenizer.json").write_text("{}")
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    size = 8 << 20
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    (path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    return path


def changed_byte(path: Path, at: int) -> None:
    """One byte another, and the file as old as before."""
    was = path.stat()
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


@pytest.mark.parametrize("whole", [True, False], ids=["in what is hashed", "between two blocks"])
def test_replaced_weights_of_the_same_shapes_are_noticed(model: Path, whole: bool, tmp_path: Path) -> None:
    profile = load("annie-smol")
    known = fingerprint.of_files(checkpoint.read(model, ()), ())
    store = run(tmp_path / "run", fingerprint=known, instance={"weights_files": fingerprint.written(model)})
    assert identity.other_files(store, profile, model, ()) == []
    changed_byte(model / "model.safetensors", 200 if whole else 200_000)
    (message,) = identity.other_files(store, profile, model, ())
    assert message.startswith("the weights changed (" if whole else "the weights were written again since (model.safe")
    store.close()


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_other_files_of_a_checkpoint_are_noticed_too(file: str, model: Path, tmp_path: Path) -> None:
    profile = load("annie-smol")
    known = fingerprint.of_files(checkpoint.read(model, ()), ())
    store = run(tmp_path / "run", fingerprint=known)
    text = (model / file).read_text()
    (model / file).write_text(
        text.replace("{", '{"more": 1', 1) if text == "{}" else text.replace("{", '{"more": 1, ', 1)
    )
    assert identity.other_files(store, profile, model, ())
    store.close()


def test_a_process_that_says_it_is_the_same_needs_no_further_proof(tmp_path: Path) -> None:
    body = b"# TYPE x gauge\nprocess_start_time_seconds 1.79500000012e+09\nvllm:num_requests_running 0\n"
    process = _started(Response(200, (), body, ()))
    assert process == "1.79500000012e+09"
    store = run(tmp_path, instance={"process": process})
    assert identity.is_known(store, {"process": process})
    assert not identity.is_known(store, {"process": "1.8e+09"})
    assert not identity.is_known(store, {"process": None})
    store.set_meta(instance={"process": None})
    assert not identity.is_known(store, {"process": None})
    store.close()


def test_replicas_are_known_only_if_each_of_them_is(tmp_path: Path) -> None:
    store = run(tmp_path, instance={"process": ["1.0", "2.0"]})
    assert identity.is_known(store, {"process": ["1.0", "2.0"]})
    assert not identity.is_known(store, {"process": ["1.0", "3.0"]})
    assert not identity.is_known(store, {"process": "1.0"})
    assert not identity.is_known(store, {"process": None})
    store.close()


def test_sampled_answers_do_not_show_who_gave_them(tmp_path: Path) -> None:
    """At temperature 0 the server would be asked; here there is none, and it is not."""
    profile = load("annie")
    hot = replace(profile, sampling=replace(profile.sampling, temperature=0.7))
    store = Store(tmp_path, create=True)
    server = identity.Server((), "annie", None, False, 1)
    assert identity.answers_otherwise(hot, store, server, lambda key: 0) is None, "nothing was answered"
    store.save_sample(next(iter(profile.scenarios)).sample_keys()[0], None)
    assert "sampled at temperature 0.7" in str(identity.answers_otherwise(hot, store, server, lambda key: 0))
    store.close()


def test_a_timing_gate_that_passed_is_measured_again_on_a_server_that_is_not_proven(tmp_path: Path) -> None:
    rows = [{"name": name, "verdict": name} for name in ("PASS", "FAIL", "INCONCLUSIVE", "ERROR")]
    store = run(tmp_path)
    store.save_timing("row", rows)
    store.reopen(proven=True)
    assert [row["name"] for row in store.timing("row")] == ["PASS", "FAIL", "INCONCLUSIVE"]
    store.reopen(proven=False)
    assert [row["name"] for row in store.timing("row")] == ["FAIL"], "nothing turns green by resuming"
    store.close()


@pytest.mark.parametrize(("worse", "better", "other"), [(0, 0, False), (1, 0, True), (0, 1, True)])
def test_answers_may_not_be_judged_otherwise(
    worse: int, better: int, other: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = load("annie")
    scenarios = profile.gate_scenarios(profile.gates["thinking_leak"])
    outcomes = [(True, False)] * worse + [(False, True)] * better + [(True, True)] * 10
    pairs: Any = [
        tuple(SimpleNamespace(key=one.id, scenario=one, passed=passed) for passed in both)
        for one, both in zip(scenarios, outcomes, strict=False)
    ]
    monkeypatch.setattr(identity, "judge", lambda gate, sample: sample)
    assert bool(identity._judged_otherwise(profile, pairs)) == other
