"""What export makes of a checkpoint for each kind of image: all its JSON files, the names of its weights, serve.md.

The expected values are in export_layouts.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from quant.errors import UsageError
from quant.export.export import check_loads, retarget
from quant.export.serve_md import serve_md
from quant.images import images
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("export_layouts.json")
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
Files = Mapping[str, Any]


def checkpoint(directory: Path, config: Mapping[str, Any], files: Files = {}, **weights: list[str]) -> Path:  # noqa: B006
    """A directory of these files, JSON or text; `weights` are tensor names by file name."""
    directory.mkdir(parents=True)
    for name, content in {"config.json": config, **files}.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (directory / name).write_text(text, encoding="utf-8")
    for number, (file, names) in enumerate(weights.items()):
        save_file(
            {name: torch.full((2, 2), 10.0 * number + i) for i, name in enumerate(names)},
            directory / f"{file}.safetensors",
        )
    return directory


def content(directory: Path) -> dict[str, Any]:
    """Everything but serve.md; a tensor as its first value, which is another one for each."""
    found: dict[str, Any] = {}
    for path in sorted(directory.iterdir()):
        if path.suffix == ".json":
            found[path.name] = json.loads(path.read_text())
        elif path.suffix == ".safetensors":
            found[path.name] = {name: float(tensor[0, 0]) for name, tensor in sorted(load_file(path).items())}
    return found


FLAT = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["model.layers.0.a", "z"]}
NESTED = {
    "producer": {"name": "modelopt"},
    "quantization": {"quant_algo": "NVFP4", "exclude_modules": ["z", "lm_head"]},
}
MIXED = {
    "quant_method": "modelopt",
    "quant_algo": "MIXED_PRECISION",
    "quantized_layers": {"model.layers.0.q": {"quant_algo": "FP8"}, "mtp.fc": {"quant_algo": "NVFP4"}},
    "config_groups": {"group_0": {"targets": ["model.layers.0.q"]}, "group_1": {"weights": {"num_bits": 4}}},
}
SMALL = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": False}
TIED = {**SMALL, "tie_word_embeddings": True}
ROPE = {"dtype": "bfloat16", "rope_parameters": {"rope_theta": 5e6}}
TEXT = {
    "architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "hidden_size": 128,
    "eos_token_id": 257, **ROPE,
}  # fmt: skip
WRAPPER = {
    "architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5", "transformers_version": "5.1",
    "text_config": {"model_type": "qwen3_5_text", "hidden_size": 128}, "tie_word_embeddings": False,
}  # fmt: skip
VISION = {**WRAPPER, "vision_config": {"depth": 1}}
PLAIN = ["model.embed_tokens.weight", "model.layers.0.q.weight", "lm_head.weight", "mtp.fc.weight"]
WRAPPED = ["model.language_model.embed_tokens.weight", "model.language_model.layers.0.q.weight", "lm_head.weight"]
INDEX = {
    "metadata": {},
    "weight_map": {"model.layers.0.q.weight": "b", "model.embed_tokens.weight": "a", "mtp.x": "b"},
}

Case = tuple[str, Mapping[str, Any], Files, dict[str, list[str]]]
LAYOUTS: dict[str, Case] = {
    "text, text class": ("vllm-0.32", {**TEXT, "quantization_config": FLAT}, {}, {"model": PLAIN}),
    "text, no text class": ("vllm-0.24", {**TEXT, "quantization_config": FLAT}, {}, {"model": PLAIN}),
    "text, transformers 4": ("vllm-0.19", {**TEXT, "tie_word_embeddings": True}, {}, {"model": PLAIN}),
    "text in two files": (
        "vllm-0.24",
        {**TEXT, "bos_token_id": 1, "pad_token_id": 2, "quantization_config": MIXED},
        {"model.safetensors.index.json": INDEX, "hf_quant_config.json": NESTED},
        {"a": [PLAIN[0], "model.visual.x"], "b": PLAIN[1:2], "c": PLAIN[2:3]},
    ),
    "wrapper, text class": ("vllm-0.32", {**WRAPPER, "quantization_config": FLAT}, {}, {"model": WRAPPED}),
    "wrapper, no text class": ("vllm-0.24", {**WRAPPER, "dtype": "bfloat16"}, {}, {"model": WRAPPED}),
    "wrapper named twice": (
        "vllm-0.32", WRAPPER, {},
        {"model": ["model.language_model.x.model.language_model.y", "x.model.language_model.z"]},
    ),
    "wrapper, tied": (
        "vllm-0.32", {**WRAPPER, "tie_word_embeddings": True, "eos_token_id": 7, "pad_token_id": 0}, {},
        {"model": WRAPPED[:2]},
    ),
    "vision": ("vllm-0.32", {**VISION, "quantization_config": FLAT}, {}, {"model": WRAPPED}),
    "tied": ("vllm-0.24", {**TIED, "quantization_config": FLAT}, {}, {"model": PLAIN[:2]}),
    "tied, an image that loads it": ("vllm-0.32", {**TIED, "quantization_config": FLAT}, {}, {"model": PLAIN[:2]}),
    "tied and not quantised": ("vllm-0.24", TIED, {}, {"model": PLAIN[:2]}),
    "untied": ("vllm-0.24", {**SMALL, "quantization_config": FLAT}, {}, {"model": PLAIN[:2]}),
    "tied in three files": (
        "vllm-0.24",
        {**VISION, "tie_word_embeddings": None, "text_config": TIED, "quantization_config": MIXED},
        {"model.safetensors.index.json": INDEX, "hf_quant_config.json": NESTED},
        {"a": WRAPPED[1:2], "b": WRAPPED[:1], "c": ["model.visual.embed_tokens.weight"]},
    ),
    "tied, no list of exclusions": (
        "vllm-0.24",
        {**TIED, "quantization_config": {"quant_algo": "NVFP4", "config_groups": None}},
        {}, {"model": PLAIN[:2]},
    ),
    "older ModelOpt": ("vllm-0.32", SMALL, {"hf_quant_config.json": NESTED}, {"model": PLAIN}),
    "older ModelOpt, both copies": (
        "vllm-0.32", {**SMALL, "quantization_config": FLAT}, {"hf_quant_config.json": NESTED}, {"model": PLAIN}
    ),
    "older ModelOpt, an unknown algorithm": (
        "vllm-0.32", SMALL,
        {"hf_quant_config.json": {**NESTED, "quantization": {"quant_algo": "INT9"}}}, {"model": PLAIN},
    ),
    "settings for transformers 4": (
        "vllm-0.19", {**SMALL, **ROPE},
        {"tokenizer_config.json": {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<a>"]}}, {},
    ),
    "settings for transformers 5": (
        "vllm-0.24", {**SMALL, **ROPE},
        {"tokenizer_config.json": {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<a>"]}}, {},
    ),
    "a config class of vLLM's own": (
        "vllm-0.19", {**SMALL, "model_type": "qwen3_next", **ROPE}, {}, {}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_checkpoint_is_converted_as_stored(case: str, tmp_path: Path) -> None:
    image, config, files, weights = LAYOUTS[case]
    directory = checkpoint(tmp_path / "made", config, files, **weights)
    retarget(directory, images()[image])
    expect(TABLE, f"layout: {case}", content(directory))
    assert (directory / "serve.md").read_text().startswith("# Serving this checkpoint")


def test_a_model_without_an_embedding_cannot_be_untied(tmp_path: Path) -> None:
    config = {**TIED, "quantization_config": FLAT}
    directory = checkpoint(tmp_path / "made", config, model=["model.layers.0.q.weight"])
    with pytest.raises(UsageError, match=r"holds no embed_tokens\.weight"):
        retarget(directory, images()["vllm-0.24"])


@pytest.mark.parametrize(("text", "says"), [("[1]", "is no JSON object"), ("{", "config.json: ")])
def test_a_config_that_is_none_is_named(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        retarget(checkpoint(tmp_path / "made", {}, {"config.json": text}), images()["vllm-0.32"])


def test_a_file_that_is_written_is_for_people_too(tmp_path: Path) -> None:
    config = {**SMALL, "name": "Zürich"}
    directory = checkpoint(tmp_path / "made", config, {"hf_quant_config.json": NESTED})
    retarget(directory, images()["vllm-0.32"])
    assert '\n  "name": "Zürich",\n' in (directory / "config.json").read_text(encoding="utf-8")


# --- frequent mistakes of fine-tunes --------------------------------------------------------------------------------

ADDED = {"added_tokens": [{"id": 7, "content": "<|im_end|>"}, {"id": 3, "content": "<|endoftext|>"}]}
FILES = {"chat_template.jinja": TEMPLATE, "tokenizer.json": ADDED}
QWEN2, GPT2 = (
    {"tokenizer_config.json": {"tokenizer_class": name, "x": 1}} for name in ("Qwen2Tokenizer", "GPT2Tokenizer")
)
COMPANIONS: dict[str, tuple[Mapping[str, Any], Files]] = {
    "no stop token at all": (SMALL, FILES),
    "another one in the config": (
        {**SMALL, "eos_token_id": 3}, FILES
    ),
    "another one in the text config": (
        {**VISION, "eos_token_id": 4, "text_config": {"eos_token_id": [3]}},
        FILES,
    ),
    "another one in generation_config": (
        {**SMALL, "eos_token_id": 7},
        {**FILES, "generation_config.json": {"eos_token_id": 3, "top_k": 9}},
    ),
    "the right one": (
        SMALL,
        {**FILES, "generation_config.json": {"eos_token_id": [3, 7]}},
    ),
    "a token of id 0": (
        {**SMALL, "eos_token_id": 3},
        {"chat_template.jinja": TEMPLATE, "tokenizer.json": {"added_tokens": [{"id": 0, "content": "<|im_end|>"}]}},
    ),
    "a token that the tokenizer lacks": (
        {**SMALL, "eos_token_id": 3}, {"chat_template.jinja": TEMPLATE, "tokenizer.json": {"added_tokens": None}}
    ),
    "no template": ({**SMALL, "eos_token_id": 3}, {"tokenizer.json": ADDED}),
    "no tokenizer": ({**SMALL, "eos_token_id": 3}, {"chat_template.jinja": TEMPLATE}),
    "Qwen2Tokenizer of a text model": (TEXT, QWEN2),
    "Qwen2Tokenizer of another model": (SMALL, QWEN2),
    "another tokenizer of a text model": (TEXT, GPT2),
    "a text model without tokenizer settings": (TEXT, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", COMPANIONS)
def test_the_stop_token_and_the_tokenizer_class_are_corrected_as_stored(case: str, tmp_path: Path) -> None:
    config, files = COMPANIONS[case]
    directory = checkpoint(tmp_path / "made", config, files)
    retarget(directory, images()["vllm-0.32"])
    found = content(directory)
    expect(
        TABLE,
        f"companions: {case}",
        {key: found.get(f"{key}.json") for key in ("generation_config", "tokenizer_config")},
    )


# --- what is refused ------------------------------------------------------------------------------------------------

LOADS: dict[str, tuple[str, Any, Files]] = {
    "not quantised": ("vllm-0.19", None, {}),
    "loaded": ("vllm-0.19", FLAT, {}),
    "loaded, mixed": ("vllm-0.19", MIXED, {}),
    "no algorithm": ("vllm-0.19", {"quant_method": "modelopt"}, {}),
    "another tool": ("vllm-0.32", {"quant_method": "compressed-tensors"}, {}),
    "another tool of a long name": ("vllm-0.32", {"quant_method": "x" * 50}, {}),
    "another tool with ModelOpt's field": ("vllm-0.32", {"quant_method": "awq", "quant_algo": "FP8"}, {}),
    "a later algorithm": ("vllm-0.19", {**FLAT, "quant_algo": "W4A16_NVFP4"}, {}),
    "a later algorithm inside": (
        "vllm-0.19",
        {**MIXED, "quantized_layers": {"a": {"quant_algo": "MXFP8"}, "b": {"quant_algo": "FP8"}, "c": {}}},
        {},
    ),
    "hf_quant_config.json alone": ("vllm-0.32", None, {"hf_quant_config.json": NESTED}),
    "a text": ("vllm-0.32", "fp8", {}),
    "layers in a list": ("vllm-0.32", {**MIXED, "quantized_layers": ["a"]}, {}),
    "one layer that is none": ("vllm-0.32", {"quantized_layers": {"a": {"quant_algo": "FP8"}, "b": "FP8"}}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", LOADS)
def test_what_an_image_does_not_load_is_refused_as_stored(case: str, tmp_path: Path) -> None:
    image, section, files = LOADS[case]
    config = SMALL if section is None else {**SMALL, "quantization_config": section}
    directory = checkpoint(tmp_path / "made", config, files)
    try:
        check_loads(directory, images()[image])
        found = "loads"
    except UsageError as error:
        found = str(error).replace(str(directory), "DIR")
    expect(TABLE, f"loads: {case}", found)


# --- serve.md -------------------------------------------------------------------------------------------------------

THINKS = TEMPLATE + "{% if enable_thinking %}<think>{% endif %}<tool_call>"
SERVED: dict[str, tuple[str, Mapping[str, Any], Files, str]] = {
    "plain": ("vllm-0.32", SMALL, {}, "made"),
    "quantised": ("vllm-0.32", {**SMALL, "max_position_embeddings": 512, "quantization_config": FLAT}, {}, "made"),
    "long": ("vllm-0.32", {**SMALL, "text_config": {"max_position_embeddings": 262144}}, {}, "made"),
    "an older image": ("vllm-0.19", SMALL, {"chat_template.jinja": "<|tool_call>" + THINKS}, "made"),
    "another entrypoint": ("ngc-26.09", SMALL, {"chat_template.jinja": THINKS}, "made"),
    "thinks": ("vllm-0.32", SMALL, {"chat_template.jinja": "<think>"}, "made"),
    "calls": ("vllm-0.32", SMALL, {"chat_template.jinja": "<function=<tool_call>"}, "made"),
    "sees": ("vllm-0.32", VISION, {"preprocessor_config.json": {}}, "made"),
    "sees no more": ("vllm-0.32", VISION, {}, "made"),
    "never saw": ("vllm-0.32", WRAPPER, {"preprocessor_config.json": {}}, "made"),
    "a cache in FP8": ("vllm-0.32", {"quantization_config": {**FLAT, "kv_cache_scheme": {"num_bits": 8}}}, {}, "made"),
    "a cache in FP8, older": ("vllm-0.32", {"quantization_config": {"kv_cache_quant_algo": "FP8"}}, {}, "made"),
    "a name for no shell": ("vllm-0.32", SMALL, {}, "it's me; v1.0"),
    "while it is built": ("vllm-0.32", SMALL, {}, ".made.by-me.partial-123"),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVED)
def test_the_commands_that_serve_it_are_as_stored(case: str, tmp_path: Path) -> None:
    image, config, files, name = SERVED[case]
    directory = checkpoint(tmp_path / name, config, files)
    expect(TABLE, f"serve.md: {case}", serve_md(dict(config), directory, images()[image]).splitlines())


def test_a_parser_that_the_image_lacks_is_not_asked_for(tmp_path: Path) -> None:
    image = images()["vllm-0.32"]
    image = replace(
        image, release=replace(image.release, tool_parsers=frozenset({"hermes"}), reasoning_parsers=frozenset())
    )
    directory = checkpoint(tmp_path / "made", SMALL, {"chat_template.jinja": "<function=<tool_call><think>"})
    said = serve_md(dict(SMALL), directory, image)
    assert "--tool-call-parser hermes" in said
    assert "reasoning" not in said
