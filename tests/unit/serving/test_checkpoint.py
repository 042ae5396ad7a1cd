"""A directory that cannot be served, or would be served wrongly, is refused with file and fix."""

from __future__ import annotations

import contextlib
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from annie_eval.errors import UsageError
from annie_eval.serving import checkpoint as checkpoints
from tests.unit.serving.conftest import CONFIG, write_safetensors


def drop(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def only(name: str) -> Callable[[Path], object]:
    """Weights of that name instead of safetensors."""

    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(b"x" * 20)

    return change


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-2])


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text("{}")


def index(weight_map: object) -> Callable[[Path], object]:
    return write(checkpoints.INDEX, json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("config.json"), "no config.json in it"),
        (write("config.json", '{"model_type":'), "config.json: line 1: not JSON (Expecting value)"),
        (write("config.json", "[]"), "config.json: holds list, not an object"),
        (write("config.json", "[" * 100_000), "config.json: not JSON (nested too deeply)"),
        (write("config.json", "{}"), "neither model_type nor architectures"),
        (drop("model.safetensors"), "no *.safetensors in it"),
        (only("pytorch_model.bin"), "weights are pickles (pytorch_model.bin)"),
        (only("consolidated.00.pth"), "weights are pickles (consolidated.00.pth)"),
        (write("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer"),
        (write("model.safetensors", ""), "no safetensors file, or cut off within its header"),
        (write("model.safetensors", "x" * 4000), "no safetensors file, or cut off within its header"),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0[]"),
            "header is not that of a safetensors",
        ),
        (cut, "cut off or padded"),
        (
            index({"a": "model-00002-of-00002.safetensors"}),
            "names model-00002-of-00002.safetensors, which is not there",
        ),
        (index({"a": "../other/model.safetensors"}), "outside the directory"),
        (index([]), "no weight_map"),
        (no_tokenizer, "no tokenizer"),
        (drop("chat_template.jinja"), "no chat template"),
    ],
)
def test_a_directory_that_cannot_be_served(change: Callable[[Path], object], message: str, checkpoint: Path) -> None:
    checkpoints.read(checkpoint)
    change(checkpoint)
    with pytest.raises(UsageError) as caught:
        checkpoints.read(checkpoint)
    assert message in str(caught.value)
    assert str(checkpoint) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_directory_and_a_file(checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        checkpoints.read(checkpoint / "nowhere")
    with pytest.raises(UsageError, match="not a directory"):
        checkpoints.read(checkpoint / "config.json")


@pytest.mark.parametrize(
    ("name", "message"),
    [("adapter_config.json", "LoRA adapter"), ("model.gguf", "llama-server"), ("merged/config.json", "did you mean")],
)
def test_what_the_directory_holds_instead_is_named(name: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("{}")
    with pytest.raises(UsageError, match=message):
        checkpoints.read(tmp_path)


def test_server_arguments_stand_in_for_files(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "chat_template.jinja").unlink()
    checkpoints.read(checkpoint, ["--tokenizer=elsewhere", "--chat-template", "t.jinja"])


def test_the_template_may_be_in_the_tokenizers_config(checkpoint: Path) -> None:
    (checkpoint / "chat_template.jinja").unlink()
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    checkpoints.read(checkpoint)


@pytest.mark.parametrize(
    ("config", "quant_file", "algorithm"),
    [
        ({}, None, None),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, None, "NVFP4"),
        ({"text_config": {"quantization_config": {"quant_algo": "FP8"}}}, None, "FP8"),
        ({}, {"quantization": {"quant_algo": "MIXED_PRECISION"}}, "MIXED_PRECISION"),
        (
            {"quantization_config": {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}},
            None,
            "nvfp4-pack-quantized",
        ),
        ({"quantization_config": {"quant_method": "awq"}}, None, "awq"),
    ],
)
def test_how_it_is_quantised(
    config: dict[str, object], quant_file: object, algorithm: str | None, checkpoint: Path
) -> None:
    (checkpoint / "config.json").write_text(json.dumps({**CONFIG, **config}))
    if quant_file is not None:
        (checkpoint / "hf_quant_config.json").write_text(json.dumps(quant_file))
    found = checkpoints.read(checkpoint)
    assert found.algorithm == algorithm
    assert found.quantized == (algorithm is not None)


# Tensors.


def layer(number: int, modules: str = "mlp.down_proj", parts: str = "weight") -> dict[str, tuple[list[int], str]]:
    return {f"model.layers.{number}.{m}.{p}": ([4, 8], "BF16") for m in modules.split() for p in parts.split()}


BOTH = "mlp.down_proj self_attn.q_proj"
SCALES = "weight weight_scale weight_scale_2 input_scale"
EMBEDDING = {"model.embed_tokens.weight": ([10, 4], "BF16")}


@pytest.mark.parametrize(
    ("config", "tensors", "message"),
    [
        # vLLM 0.32 serves each of these, and the model answers with garbage.
        (
            {"tie_word_embeddings": False},
            EMBEDDING,
            "no lm_head.weight, but config.json says tie_word_embeddings: false",
        ),
        (
            {},
            {**layer(0, BOTH), **layer(1), **layer(2, BOTH)},
            "model.layers.1.self_attn.q_proj is missing, which the other layers have",
        ),
        (
            {},
            {**layer(0, parts=SCALES), **layer(1, parts=SCALES), **layer(2, parts="weight weight_scale input_scale")},
            "model.layers.2.mlp.down_proj.weight_scale_2 is missing",
        ),
        ({"intermediate_size": 6}, layer(0), "has shape [4, 8], but config.json says intermediate_size: 6"),
        ({"hidden_size": 5}, layer(0), "has shape [4, 8], but config.json says hidden_size: 5"),
        ({"num_hidden_layers": 3}, {**layer(0), **layer(1)}, "no weights for layer 2"),
        ({"text_config": {"num_hidden_layers": 2}}, layer(0), "no weights for layer 1"),
    ],
)
def test_tensors_that_are_missing_or_of_another_shape(
    config: dict[str, object], tensors: dict[str, tuple[list[int], str]], message: str, checkpoint: Path
) -> None:
    write_safetensors(checkpoint / "model.safetensors", tensors)
    (checkpoint / "config.json").write_text(json.dumps({**CONFIG, **config}))
    with pytest.raises(UsageError) as caught:
        checkpoints.read(checkpoint)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("config", "tensors"),
    [
        # Tied, or with its head.
        ({"tie_word_embeddings": True}, EMBEDDING),
        ({"tie_word_embeddings": False}, {**EMBEDDING, "lm_head.weight": ([10, 4], "BF16")}),
        # DeltaNet and attention layers differ and come more than once.
        (
            {"num_hidden_layers": 4},
            {
                k: v
                for n in range(4)
                for k, v in layer(n, "mlp.down_proj a.q" if n % 2 else "mlp.down_proj b.in").items()
            },
        ),
        # Layers that share their keys and values, several of them.
        ({}, {**layer(0, BOTH), **layer(1, BOTH), **layer(2), **layer(3)}),
        # Mixed precision: a layer that is left in BF16 has no scales at all.
        ({}, {**layer(0), **layer(1, parts=SCALES), **layer(2, parts=SCALES)}),
        # An expert that saw no calibration data has no input scale.
        (
            {},
            {
                **layer(0, parts=SCALES),
                **layer(1, parts=SCALES),
                **layer(2, parts="weight weight_scale weight_scale_2"),
            },
        ),
        # Packed weights have their own shapes.
        ({"intermediate_size": 16}, {"model.layers.0.mlp.down_proj.weight": ([4, 8], "U8")}),
        # A size per layer, and a draft layer beyond the model's own.
        ({"intermediate_size": [8, 8], "num_hidden_layers": 1}, {**layer(0), **layer(1)}),
        # The vision tower has layers of its own.
        (
            {"text_config": {"num_hidden_layers": 1}},
            {**layer(0), "model.visual.blocks.0.mlp.down_proj.weight": ([1, 1], "BF16")},
        ),
    ],
)
def test_whole_checkpoints_of_many_kinds_pass(
    config: dict[str, object], tensors: dict[str, tuple[list[int], str]], checkpoint: Path
) -> None:
    write_safetensors(checkpoint / "model.safetensors", tensors)
    (checkpoint / "config.json").write_text(json.dumps({**CONFIG, **config}))
    checkpoints.read(checkpoint)


def test_whether_embeddings_are_tied_is_not_guessed(checkpoint: Path) -> None:
    write_safetensors(checkpoint / "model.safetensors", EMBEDDING)
    (checkpoint / "config.json").write_text(json.dumps({"model_type": "llama"}))
    checkpoints.read(checkpoint)


@pytest.mark.parametrize(
    ("parts", "input_scales"),
    [(SCALES, True), ("weight weight_scale weight_scale_2", False), ("weight", False)],
)
def test_whether_activations_have_scales_is_read_from_the_headers(
    parts: str, input_scales: bool, checkpoint: Path
) -> None:
    write_safetensors(checkpoint / "model.safetensors", {**layer(0, parts=parts), **layer(1, parts=parts)})
    assert checkpoints.read(checkpoint).input_scales is input_scales


def pipe(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


def device(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("/dev/zero")

    return change


def sparse(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        with (folder / name).open("wb") as file:
            file.truncate(2 << 30)

    return change


def header(text: str) -> Callable[[Path], object]:
    raw = text.encode()
    return lambda folder: (folder / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw)


def many_layers(folder: Path) -> None:
    write_safetensors(folder / "model.safetensors", {"model.layers.0.mlp.up_proj.weight": ([1, 1], "BF16")})
    write("config.json", json.dumps({**CONFIG, "num_hidden_layers": 10**9}))(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pipe("config.json"), "no config.json"),
        (device("config.json"), "no config.json"),
        (pipe("model.safetensors"), "not a regular file"),
        (device("model.safetensors"), "not a regular file"),
        (sparse("config.json"), "more than the"),
        (sparse("model.safetensors.index.json"), "more than the"),
        (write("config.json", "[" * 100_000), "not JSON"),
        (many_layers, "no weights for layer 1, but"),
        (header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, -4]}}'), "not that of a safetensors"),
        (header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, "4"]}}'), "not that of a safetensors"),
        (header('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1e9]}}'), "not that of a safetensors"),
        (header('{"a": {"dtype": ["F32"], "shape": 1, "data_offsets": [0, 0]}}'), "not that of a safetensors"),
        (header('{"a": 1}'), "not that of a safetensors"),
        (index({"a": "x" * 5000}), "is not there"),
        (index({"a": "x\0y"}), "is not there"),
        (index({"a": "x\udc80y"}), "is not there"),
    ],
)
def test_hostile_files_are_refused_at_once(checkpoint: Path, change: Callable[[Path], object], message: str) -> None:
    change(checkpoint)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match=message) as caught:
        checkpoints.read(checkpoint)
    assert len(str(caught.value)) < 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_a_name_that_a_terminal_would_obey_is_shown_escaped(checkpoint: Path) -> None:
    index({"a": "\x1b]52;c;aGk=\x07\x9b2J.safetensors"})(checkpoint)
    with pytest.raises(UsageError) as caught:
        checkpoints.read(checkpoint)
    assert str(caught.value).isprintable()
    assert r"\x1b]52;c;aGk=\x07\x9b2J" in str(caught.value)


def test_a_layer_s_number_of_any_length_is_read_or_left(checkpoint: Path) -> None:
    write_safetensors(
        checkpoint / "model.safetensors", {f"model.layers.{'9' * 5000}.mlp.up_proj.weight": ([1, 1], "BF16")}
    )
    with contextlib.suppress(UsageError):
        checkpoints.read(checkpoint)
