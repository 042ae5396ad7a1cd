"""Text from a server, a file or a model cannot control the terminal: error messages are escaped."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from annie_eval.errors import ExchangeError, TargetError, UsageError
from annie_eval.http_client import TransportError
from annie_eval.profile.load import load
from annie_eval.run.reader import SampleBroken
from annie_eval.serving import doctor
from annie_eval.serving.spec import TargetSpec

OSC_52 = "\x1b]52;c;ZWNobyBoaQ==\x07 and \x9b2J \u202egnp.exe"


@pytest.mark.parametrize("kind", [UsageError, TargetError, ExchangeError, SampleBroken])
def test_an_error_says_it_escaped(kind: type[Exception]) -> None:
    assert str(kind(OSC_52)) == r"\x1b]52;c;ZWNobyBoaQ==\x07 and \x9b2J \u202egnp.exe"
    assert str(kind(f"two\nlines {OSC_52}")).count("\n") == 1


def test_what_a_transport_error_quotes_is_escaped() -> None:
    error = TransportError(f"HTTP 500: {OSC_52}", resend=False)
    assert error.cause == str(error)
    assert error.cause.isprintable()


def test_the_doctor_escapes_what_it_is_told(tmp_path: Path) -> None:
    out = io.StringIO()
    spec = TargetSpec(model_dir=tmp_path / f"no{OSC_52}", vllm_python=Path("python"))
    assert doctor.doctor(spec, load("annie"), out, lambda response: None) == 2
    assert all(line.isprintable() for line in out.getvalue().splitlines())
