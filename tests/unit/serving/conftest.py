"""Fixtures of the serving tests: a tiny checkpoint, a profile, and a fake vLLM that starts fast."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from annie_eval.profile.types import Profile, Serving

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}


def write_safetensors(path: Path, tensors: Mapping[str, tuple[list[int], str]] | None = None) -> None:
    """A valid file: name -> (shape, dtype); zeros, two bytes an element."""
    header, at = {}, 0
    for name, (shape, dtype) in (tensors or {"model.norm.weight": ([4], "BF16")}).items():
        size = 2
        for n in shape:
            size *= n
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))


SERVERS = Path(__file__).resolve().parents[2] / "servers"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint directory that passes every check."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    write_safetensors(folder / "model.safetensors")
    return folder


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    tool = {"type": "function", "function": {"name": "search_memory", "parameters": {"type": "object"}}}
    return Profile(
        name="test",
        path=tmp_path / "test.toml",
        system_prompt="You are Annie.",
        tools={"search_memory": tool},
        scenarios=(),
        gates={},
        serving=Serving(tool_parser="hermes", reasoning_parser="qwen3", max_model_len=4096),
        digest="d1",
    )


@pytest.fixture
def fake_python(tmp_path: Path) -> Path:
    """An executable that behaves as an interpreter with vLLM; see fake_vllm.py."""
    script = SERVERS / "fake_vllm.py"
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -I {script} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's own list of running servers."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "annie-eval" / "servers"


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """The pids of the stand-in and of every process that it started."""
    record, further = tmp_path / "record.jsonl", tmp_path / "pids"
    monkeypatch.setenv("FAKE_RECORD", str(record))
    monkeypatch.setenv("FAKE_PIDS", str(further))

    def read() -> list[int]:
        found = [json.loads(line)["pid"] for line in record.read_text().splitlines()] if record.exists() else []
        return found + ([int(line) for line in further.read_text().split()] if further.exists() else [])

    return read


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """What the stand-in was started with: `argv` and `environment`."""
    record = tmp_path / "record.jsonl"
    monkeypatch.setenv("FAKE_RECORD", str(record))

    def read() -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(record.read_text().splitlines()[-1])
        return loaded

    return read


@pytest.fixture
def living() -> Callable[[list[int]], list[int]]:
    """Those of some pids that still run; a zombie does not."""

    def find(candidates: list[int]) -> list[int]:
        found = []
        for pid in candidates:
            try:
                if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    found.append(pid)
            except psutil.NoSuchProcess:
                continue
        return found

    return find
