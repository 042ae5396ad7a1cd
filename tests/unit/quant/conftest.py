"""Fixtures of the quant tests: the embedded default model, built once."""

from pathlib import Path

import pytest

from quant.commands import default_model
from quant.commands.arguments import DEFAULT_MODEL

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The BF16 checkpoint of the embedded default model, built on first use."""
    out = ROOT / DEFAULT_MODEL
    default_model.build(out)
    return out
