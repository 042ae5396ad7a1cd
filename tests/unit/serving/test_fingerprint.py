"""The fingerprint shows every difference that can change answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from annie_eval.profile.types import Profile, Sampling
from annie_eval.serving import checkpoint as checkpoints
from annie_eval.serving import fingerprint
from tests.unit.serving.conftest import CONFIG, write_safetensors


def flip(name: str, at: int) -> Callable[[Path], object]:
    """Change one byte."""

    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[at] ^= 1
        (folder / name).write_bytes(bytes(data))

    return change


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("config", write("config.json", json.dumps({**CONFIG, "x": 1}))),
        ("weights", flip("model.safetensors", -1)),
        ("weights", lambda f: (f / "model.safetensors").rename(f / "other.safetensors")),
        ("chat_template", write("chat_template.jinja", "{{ messages[0] }}")),
        ("tokenizer", write("tokenizer.json", '{"a": 1}')),
        ("tokenizer", write("tokenizer_config.json", "{}")),
        ("generation_config", write("generation_config.json", '{"temperature": 0.6}')),
        ("quantization", write("hf_quant_config.json", '{"quantization": {"quant_algo": "NVFP4"}}')),
        (
            "quantized_layers",
            write("hf_quant_config.json", '{"quantization": {"exclude_modules": ["lm_head"]}}'),
        ),
    ],
)
def test_every_file_shows_in_its_field(field: str, change: Callable[[Path], object], checkpoint: Path) -> None:
    before = fingerprint.of_files(checkpoints.read(checkpoint), [])
    assert before == fingerprint.of_files(checkpoints.read(checkpoint), [])
    change(checkpoint)
    after = fingerprint.of_files(checkpoints.read(checkpoint), [])
    assert before[field] != after[field]
    assert {k for k in before if before[k] != after[k]} <= {field, "quantization", "quantized_layers"}


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_trained_weights_show_wherever_they_changed(share: float, checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    write_safetensors(file, {"model.norm.weight": ([8_000_000], "BF16")})
    data = bytearray(file.read_bytes())
    before = fingerprint.of_files(checkpoints.read(checkpoint), [])["weights"]
    # Training moves whole tensors; 1.2 MB is less than any linear layer has.
    start = int((len(data) - 1_200_000 - 200) * share) + 200
    data[start : start + 1_200_000] = b"\1" * 1_200_000
    file.write_bytes(bytes(data))
    assert fingerprint.of_files(checkpoints.read(checkpoint), [])["weights"] != before


def test_a_template_is_the_same_in_whichever_file_it_lies(checkpoint: Path) -> None:
    text = "{% for m in messages %}{{ m['content'] }} ä{% endfor %}"
    found = checkpoints.read(checkpoint)
    hashes = set()
    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        for other in ("chat_template.jinja", "chat_template.json"):
            (checkpoint / other).unlink(missing_ok=True)
        (checkpoint / "tokenizer_config.json").write_text("{}")
        whole = text if name.endswith(".jinja") else json.dumps({"chat_template": text})
        (checkpoint / name).write_text(whole, encoding="utf-8")
        hashes.add(fingerprint.of_files(found, [])["chat_template"])
    assert len(hashes) == 1
    assert None not in hashes


def test_a_template_given_to_the_server_is_the_one_that_counts(checkpoint: Path, tmp_path: Path) -> None:
    found = checkpoints.read(checkpoint)
    (tmp_path / "t.jinja").write_text("{{ other }}")
    own = fingerprint.of_files(found, [])["chat_template"]
    given = fingerprint.of_files(found, ["--chat-template", str(tmp_path / "t.jinja")])["chat_template"]
    assert given != own
    assert given == fingerprint.of_files(found, [f"--chat-template={tmp_path / 't.jinja'}"])["chat_template"]


def test_layers_are_counted_by_algorithm(checkpoint: Path) -> None:
    layers = {f"model.layers.{n}.mlp.down_proj": {"quant_algo": "NVFP4" if n else "FP8"} for n in range(3)}
    quantization = {"quant_algo": "MIXED_PRECISION", "quantized_layers": layers, "kv_cache_quant_algo": "FP8"}
    (checkpoint / "hf_quant_config.json").write_text(json.dumps({"quantization": quantization}))
    facts = fingerprint.of_files(checkpoints.read(checkpoint), [])
    assert facts["quantization"] == "MIXED_PRECISION"
    assert facts["quantized_layers"] == {"FP8": 1, "NVFP4": 2, "kv_cache_quant_algo": "FP8"}


def test_the_kernels_are_those_that_vllm_says_it_uses() -> None:
    log = (
        "(EngineCore pid=9) INFO 11-23 10:22:14 [__init__.py:1240] Using MarlinNvFp4LinearKernel for NVFP4 GEMM\n"
        "(EngineCore pid=9) INFO 11-23 10:22:14 [__init__.py:1240] Using MarlinNvFp4LinearKernel for NVFP4 GEMM\n"
        "(EngineCore pid=9) INFO 11-23 10:22:15 [cuda.py:506] Using FLASH_ATTN attention backend out of potential"
        " backends: ['FLASH_ATTN', 'TRITON_ATTN'].\n"
    )
    assert fingerprint.of_log(log) == {
        "kernels": ["MarlinNvFp4LinearKernel for NVFP4 GEMM"],
        "attention_backend": "FLASH_ATTN",
    }
    assert fingerprint.of_log("") == {"kernels": [], "attention_backend": None}


def test_what_differs_in_every_run_is_left_out() -> None:
    arguments = ["--served-model-name", "annie-1234", "--port=8123", "--max-model-len", "4096", "--enforce-eager"]
    assert fingerprint.stable_arguments(arguments) == ["--max-model-len", "4096", "--enforce-eager"]


def test_the_profile_s_part(profile: Profile) -> None:
    facts = fingerprint.of_profile(replace(profile, sampling=Sampling(extra={"top_k": 20})))
    assert (facts["tool_parser"], facts["reasoning_parser"], facts["max_model_len"]) == ("hermes", "qwen3", 4096)
    assert facts["sampling"]["extra"] == {"top_k": 20}
    assert json.loads(json.dumps(facts)) == facts
