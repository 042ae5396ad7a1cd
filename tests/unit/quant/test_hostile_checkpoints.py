"""A checkpoint whose files are anything at all: the gate and preflight say what is wrong in short lines, and soon."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annie_eval.errors import UsageError
from annie_eval.serving import checkpoint, fingerprint
from quant.cli import main
from tests.support import tiny

FILES = (
    "config.json", "tokenizer_config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer.json",
    "hf_quant_config.json", "chat_template.jinja", "chat_template.json", "quant_run.json", "adapter_config.json",
    "model.safetensors",
)  # fmt: skip
WEIGHTS = "model.safetensors"
ODD_TYPES = {
    "chat_template": {"a": [1]}, "text_config": 3, "architectures": 5, "quantization_config": [1], "metadata": 7,
    "eos_token_id": {"a": 1}, "weight_map": {"a": 5, "b": "../../x", "c": "\0", "d": "x" * 5000}, "files": 3,
    "quantization": "x", "rope_parameters": "x", "tie_word_embeddings": "x", "vision_config": 2, "model_type": ["x"],
}  # fmt: skip
ESCAPES = {
    "model_type": "a\0\x1b]52;c;x\x07", "architectures": ["\ud800\u202e"], "chat_template": "\0\ud800\u2028",
    "quantization": {"quant_algo": "\ud800\x1b[2J"}, "base_model_name_or_path": "\x1b[2J",
}  # fmt: skip
HUGE = b'{"model_type": "llama", "num_hidden_layers": %s, "eos_token_id": %s, "hidden_size": 1e999}'


def large(path: Path) -> None:
    path.write_bytes(b'{"a": "')
    os.truncate(path, 3 << 30)  # sparse: it takes no room


ANYTHING: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "itself": lambda path: path.symlink_to(path.name),
    "directory": Path.mkdir,
    "empty": lambda path: path.write_bytes(b""),
    "3 GB": large,
    "brackets": lambda path: path.write_bytes(b"[" * 200_000),
    "deep": lambda path: path.write_bytes(b'{"chat_template": ' * 400 + b"1" + b"}" * 400),
    "list": lambda path: path.write_bytes(b"[1]"),
    "long numbers": lambda path: path.write_bytes(HUGE % (b"9" * 4200, b"9" * 4200)),
    "longer number": lambda path: path.write_bytes(b'{"a": ' + b"9" * 5000 + b"}"),
    "no UTF-8": lambda path: path.write_bytes(b'{"a": "\xff"}'),
    "odd types": lambda path: path.write_text(json.dumps(ODD_TYPES)),
    "escapes": lambda path: path.write_text(json.dumps(ESCAPES)),
}


def headed(header: Any) -> Callable[[Path], Any]:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda path: path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(4))


def tensor(shape: list[Any], begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


HEADERS: dict[str, Callable[[Path], Any]] = {
    "cut": lambda path: path.write_bytes(b"\x10\0\0\0"),
    "length": lambda path: path.write_bytes(struct.pack("<Q", 2**63) + b"{}"),
    "backwards": headed({"a": tensor([1], 4, 0)}),
    "beyond": headed({"a": tensor([10**30], 0, 4 * 10**30)}),
    "negative": headed({"a": tensor([-1], -4, 0)}),
    "boolean": headed({"a": tensor([True], 0, True)}),
    "many axes": headed({"a": tensor([1] * 100_000, 0, 4)}),
    "long names": headed({"x" * 5000 + f"\x1b[2J{i}": tensor([0], 0, 0) for i in range(300)}),
    "dtype": headed({"a": tensor([1], 0, 4, "\x1b]52;c;x\x07")}),
    "deep": headed(b'{"__metadata__": ' + b"[" * 400 + b"]" * 400 + b"}"),
    "many layers": headed({f"model.layers.{10**5 * i}.mlp.down_proj.weight": tensor([0], 0, 0) for i in range(9)}),
    "long number": headed({"model.layers." + "9" * 4000 + ".w.weight": tensor([0], 0, 0)}),
}
CONFIGS: dict[str, dict[str, Any]] = {
    "layers": {"num_hidden_layers": 10**9},
    "no layers": {"num_hidden_layers": -1},
    "vocabulary": {"vocab_size": 10**18},
    "heads": {"num_attention_heads": 0, "num_key_value_heads": 0, "hidden_size": 0},
    "method": {"quantization_config": {"quant_method": "\x1b]52;c;x\x07" * 500}},
    "patterns": {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "config_groups": {"g": {"targets": ["re:" + "(.*a)*" * 30], "weights": {"num_bits": 10**300}}},
            "ignore": [5],
        }
    },
}
CASES = [
    *((name, what, make) for name in FILES for what, make in ANYTHING.items()),
    *((WEIGHTS, what, make) for what, make in HEADERS.items()),
]


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("intact") / "model")


@pytest.fixture
def copied(intact: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(intact, tmp_path / "model")
    yield tmp_path / "model"
    shutil.rmtree(tmp_path / "model")


def judged(directory: Path, reference: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the gate's reader, preflight, and preflight against the reference say, line by line."""
    said = []
    try:
        fingerprint.of_files(checkpoint.read(directory), ())
    except UsageError as error:
        said.append(str(error))
    for more in ([], ["--reference", str(reference), "--for", "vllm-0.32"]):
        with contextlib.suppress(SystemExit):
            assert main(["preflight", str(directory), *more]) in (0, 1, 2)
    out, err = capsys.readouterr()
    return "\n".join([*said, out, err]).split("\n")


@pytest.mark.parametrize(("name", "make"), [(n, make) for n, _, make in CASES], ids=[f"{n}-{w}" for n, w, _ in CASES])
def test_a_file_that_is_anything(
    name: str, make: Callable[[Path], Any], copied: Path, intact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(FileNotFoundError):
        (copied / name).unlink()
    make(copied / name)
    for line in judged(copied, intact, capsys):
        assert line.isprintable()
        assert len(line) <= 2000


@pytest.mark.parametrize("what", CONFIGS)
def test_a_config_that_says_anything(
    what: str, copied: Path, intact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | CONFIGS[what]))
    for line in judged(copied, intact, capsys):
        assert line.isprintable()
        assert len(line) <= 2000
