"""Fixtures of the training tests: a tiny model with a longer context, and a few conversations."""

import json
from pathlib import Path

import pytest

from tests.support import tiny
from tests.support.made_up import conversations, write


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "data.jsonl", conversations())


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, hidden 128, a byte tokenizer, a context of 2048."""
    directory = tmp_path_factory.mktemp("models") / "llama"
    directory.mkdir()
    tiny.llama(directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    return directory
