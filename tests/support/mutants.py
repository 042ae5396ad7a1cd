"""Checkpoints with one defect each, and which file or tensor preflight must name when it refuses them.

A mutant is a function that changes a checkpoint directory; its name says how. `needs` says what preflight needs to
find the defect: nothing, the image, the BF16 reference, or the checkpoint's provenance.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]
ATTN = "model.layers.3.self_attn"
MLP = "model.layers.1.mlp"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Mutant:
    """`base` is the recipe of the intact export, `names` the text that the refusal must contain."""

    name: str
    break_it: Callable[[Path], None]
    names: str
    base: str
    needs: str


ALL: list[Mutant] = []


def mutant(names: str, *, base: str = "nvfp4-default", needs: str = "") -> Callable[..., Callable[[Path], None]]:
    """Register a function that breaks a checkpoint directory."""

    def register(function: Callable[[Path], None]) -> Callable[[Path], None]:
        ALL.append(Mutant(function.__name__, function, names, base, needs))
        return function

    return register


def change(directory: Path, edit: Callable[[Tensors], Any]) -> None:
    """Load the weights, edit them, save them."""
    path = directory / WEIGHTS
    tensors = load_file(path)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    edit(tensors)
    save_file(tensors, path, {"format": "pt"})


def change_json(directory: Path, name: str, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Load a JSON file, edit it, save it."""
    path = directory / name
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content, indent=2))


def in_both(directory: Path, edit: Callable[[dict[str, Any], str], Any]) -> None:
    """Edit both copies of the quantisation config in the same way."""
    change_json(directory, "config.json", lambda c: edit(c["quantization_config"], "ignore"))
    change_json(directory, "hf_quant_config.json", lambda c: edit(c["quantization"], "exclude_modules"))


def tensor_edit(name: str, edit: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    """A mutant that replaces one tensor."""
    return lambda directory: change(directory, lambda t: t.__setitem__(name, edit(t[name])))


def _simple(name: str, tensor: str, edit: Callable[[torch.Tensor], torch.Tensor], **options: str) -> None:
    ALL.append(
        Mutant(name, tensor_edit(tensor, edit), tensor, options.get("base", "nvfp4-default"), options.get("needs", ""))
    )


def _code(tensor: torch.Tensor, value: int) -> torch.Tensor:
    raw = tensor.view(torch.uint8).clone()
    raw.view(-1)[3] = value
    return raw.view(torch.float8_e4m3fn)


# --- scales ---------------------------------------------------------------------------------------------------------

for scale in ("weight_scale_2", "input_scale"):
    for word, value in (("nan", float("nan")), ("inf", float("inf")), ("zero", 0.0), ("negative", -1e-3)):
        _simple(f"{scale}_{word}", f"{MLP}.down_proj.{scale}", lambda t, v=value: torch.full_like(t, v))  # type: ignore[misc]
    _simple(f"{scale}_huge", f"{MLP}.down_proj.{scale}", lambda t: t * 1e12)
    _simple(f"{scale}_wrong_dtype", f"{MLP}.down_proj.{scale}", lambda t: t.to(torch.bfloat16))
    _simple(f"{scale}_per_channel", f"{MLP}.down_proj.{scale}", lambda t: t.repeat(128))
_simple("block_scale_nan", f"{MLP}.down_proj.weight_scale", lambda t: _code(t, 0x7F))
_simple("block_scale_negative", f"{MLP}.down_proj.weight_scale", lambda t: _code(t, 0xB8))
_simple("block_scale_zero", f"{MLP}.down_proj.weight_scale", lambda t: _code(t, 0))
_simple("block_scale_above_448", f"{MLP}.down_proj.weight_scale", lambda t: t.float() * 2)
_simple("block_scale_bf16", f"{MLP}.down_proj.weight_scale", lambda t: t.to(torch.bfloat16))
_simple("block_scale_e5m2", f"{MLP}.down_proj.weight_scale", lambda t: t.float().to(torch.float8_e5m2))
_simple(
    "block_scale_transposed",
    f"{MLP}.gate_proj.weight_scale",
    lambda t: t.view(torch.uint8).T.contiguous().view(torch.float8_e4m3fn),
)
_simple(
    "block_scale_of_32",
    f"{MLP}.down_proj.weight_scale",
    lambda t: t.view(torch.uint8)[:, ::2].contiguous().view(torch.float8_e4m3fn),
)
_simple(
    "block_scales_at_the_floor",
    f"{MLP}.down_proj.weight_scale",
    lambda t: torch.ones_like(t.view(torch.uint8)).view(torch.float8_e4m3fn),
)
_simple("fp8_scale_nan", f"{ATTN}.o_proj.weight_scale", lambda t: t * float("nan"), base="qwen3_5-mixed")
_simple("fp8_scale_zero", "model.layers.0.linear_attn.out_proj.weight_scale", lambda t: t * 0, base="qwen3_5-mixed")
_simple("kv_scale_nan", f"{ATTN}.k_proj.k_scale", lambda t: t * float("nan"), base="qwen3_5-mixed")


for _name, _tensor, _base in (
    ("weight_scale_missing", f"{MLP}.up_proj.weight_scale", "nvfp4-default"),
    ("weight_scale_2_missing", f"{MLP}.up_proj.weight_scale_2", "nvfp4-default"),
    ("input_scale_missing", f"{MLP}.up_proj.input_scale", "nvfp4-default"),
    ("weight_missing", f"{MLP}.up_proj.weight", "nvfp4-default"),
    ("norm_missing", "model.layers.2.input_layernorm.weight", "nvfp4-default"),
    ("deltanet_bias_missing", "model.layers.0.linear_attn.dt_bias", "nvfp4-default"),
    ("w4a16_scale_2_missing", f"{MLP}.up_proj.weight_scale_2", "nvfp4-w4a16"),
    ("fp8_input_scale_missing", f"{ATTN}.q_proj.input_scale", "fp8"),
    ("fp8_weight_scale_missing", f"{ATTN}.q_proj.weight_scale", "fp8"),
    ("v_scale_missing", f"{ATTN}.v_proj.v_scale", "qwen3_5-mixed"),
    ("lm_head_gone", "lm_head.weight", "nvfp4-default"),
    ("embedding_gone", "model.embed_tokens.weight", "nvfp4-default"),
):
    ALL.append(Mutant(_name, lambda d, t=_tensor: change(d, lambda ts: ts.pop(t)), _tensor, _base, ""))  # type: ignore[misc]


@mutant("weight_scale_2", needs="reference")
def global_scales_swapped_between_layers(directory: Path) -> None:
    def swap(t: Tensors) -> None:
        a, b = f"{MLP}.down_proj.weight_scale_2", f"{ATTN}.o_proj.weight_scale_2"
        t[a], t[b] = t[b] * 1.2, t[a]

    change(directory, swap)


@mutant(f"{MLP}.down_proj", needs="reference")
def block_scales_swapped_between_layers(directory: Path) -> None:
    def swap(t: Tensors) -> None:
        a, b = f"{MLP}.down_proj.weight_scale", "model.layers.2.mlp.down_proj.weight_scale"
        t[a], t[b] = t[b], t[a]

    change(directory, swap)


@mutant(f"{MLP}.down_proj.weight", needs="reference")
def weights_swapped_between_layers(directory: Path) -> None:
    def swap(t: Tensors) -> None:
        a, b = f"{MLP}.down_proj.weight", "model.layers.2.mlp.down_proj.weight"
        t[a], t[b] = t[b], t[a]

    change(directory, swap)


@mutant(f"{MLP}.down_proj.input_scale", needs="provenance")
def input_scales_swapped_between_layers(directory: Path) -> None:
    def swap(t: Tensors) -> None:
        a, b = f"{MLP}.down_proj.input_scale", "model.layers.2.mlp.down_proj.input_scale"
        t[a], t[b] = t[b] * 1.5, t[a]

    change(directory, swap)


@mutant(f"{ATTN}.v_proj.weight_scale_2")
def unequal_global_scale_in_qkv(directory: Path) -> None:
    change(
        directory, lambda t: t.__setitem__(f"{ATTN}.v_proj.weight_scale_2", t[f"{ATTN}.v_proj.weight_scale_2"] * 0.5)
    )


@mutant(f"{MLP}.up_proj.weight_scale_2")
def unequal_global_scale_in_gate_up(directory: Path) -> None:
    change(
        directory, lambda t: t.__setitem__(f"{MLP}.up_proj.weight_scale_2", t[f"{MLP}.up_proj.weight_scale_2"] * 1.01)
    )


@mutant("linear_attn.in_proj")
def unequal_global_scale_in_deltanet(directory: Path) -> None:
    name = "model.layers.0.linear_attn.in_proj_z.weight_scale_2"
    change(directory, lambda t: t.__setitem__(name, t[name] * 0.9))


# --- weights --------------------------------------------------------------------------------------------------------

_simple("packed_weights_all_zero", f"{MLP}.down_proj.weight", torch.zeros_like)
_simple("packed_weights_saturated", f"{MLP}.down_proj.weight", lambda t: torch.full_like(t, 0x7F))
_simple("packed_weights_int8", f"{MLP}.down_proj.weight", lambda t: t.view(torch.int8))
_simple("packed_weights_unpacked", f"{MLP}.down_proj.weight", lambda t: t.repeat(1, 2))
_simple("k_no_multiple_of_16", f"{MLP}.down_proj.weight", lambda t: t[:, :-4].contiguous())
_simple("rows_lost", f"{MLP}.down_proj.weight", lambda t: t[:-16].contiguous())
_simple("norm_nan", "model.norm.weight", lambda t: t * float("nan"))
_simple("embedding_zero", "model.embed_tokens.weight", torch.zeros_like)
_simple("embedding_shortened", "model.embed_tokens.weight", lambda t: t[:-8].contiguous())
_simple("fp8_weight_nan", f"{ATTN}.o_proj.weight", lambda t: _code(t, 0x7F), base="fp8")
_simple("fp8_weight_as_e5m2", f"{ATTN}.o_proj.weight", lambda t: t.float().to(torch.float8_e5m2), base="fp8")


@mutant(f"{MLP}.up_project")
def tensor_renamed(directory: Path) -> None:
    change(directory, lambda t: t.__setitem__(f"{MLP}.up_project.weight", t.pop(f"{MLP}.up_proj.weight")))


@mutant("layers.9.mlp")
def layer_too_many(directory: Path) -> None:
    change(directory, lambda t: t.__setitem__("model.layers.9.mlp.up_proj.weight", t[f"{MLP}.up_proj.weight"].clone()))


@mutant("o_proj.pre_quant_scale")
def leftover_pre_quant_scale(directory: Path) -> None:
    change(directory, lambda t: t.__setitem__(f"{ATTN}.o_proj.pre_quant_scale", torch.ones(128)))


@mutant("o_proj.weight_quantizer._amax")
def leftover_quantizer(directory: Path) -> None:
    change(directory, lambda t: t.__setitem__(f"{ATTN}.o_proj.weight_quantizer._amax", torch.ones(())))


@mutant("o_proj.lora_A")
def leftover_adapter(directory: Path) -> None:
    change(directory, lambda t: t.__setitem__(f"{ATTN}.o_proj.lora_A.weight", torch.ones(8, 128)))


@mutant("k_proj.k_scale")
def kv_scale_without_kv_cache(directory: Path) -> None:
    change(directory, lambda t: t.__setitem__(f"{ATTN}.k_proj.k_scale", torch.ones(())))


@mutant(f"{MLP}.down_proj.input_scale", base="nvfp4-w4a16")
def input_scale_under_w4a16(directory: Path) -> None:
    change(directory, lambda t: t.__setitem__(f"{MLP}.down_proj.input_scale", torch.ones(())))


@mutant("lm_head.weight")
def scale_beside_a_plain_layer(directory: Path) -> None:
    change(directory, lambda t: t.__setitem__("lm_head.weight_scale", torch.ones(())))


# --- quantisation configs -------------------------------------------------------------------------------------------


@mutant("quant_algo")
def algorithm_unknown(directory: Path) -> None:
    in_both(directory, lambda section, _: section.update(quant_algo="NVFP4_AWQ"))


@mutant("weight", base="nvfp4-default")
def algorithm_of_another_format(directory: Path) -> None:
    in_both(directory, lambda section, _: section.update(quant_algo="FP8"))


@mutant("input_scale")
def algorithm_w4a16_but_activations_scaled(directory: Path) -> None:
    in_both(directory, lambda section, _: section.update(quant_algo="W4A16_NVFP4"))


@mutant("hf_quant_config.json")
def algorithm_wrong_in_hf_quant_config(directory: Path) -> None:
    change_json(directory, "hf_quant_config.json", lambda c: c["quantization"].update(quant_algo="FP8"))


@mutant("quantization_config")
def algorithm_wrong_in_config(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c["quantization_config"].update(quant_algo="FP8"))


@mutant("hf_quant_config.json")
def exclusions_differ_between_configs(directory: Path) -> None:
    change_json(directory, "hf_quant_config.json", lambda c: c["quantization"]["exclude_modules"].append("model.norm"))


@mutant("quantization_config")
def quantization_config_gone(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.pop("quantization_config"))


@mutant("weight")
def both_quantization_configs_gone(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.pop("quantization_config"))
    (directory / "hf_quant_config.json").unlink()


@mutant("quant_method")
def quant_method_wrong(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c["quantization_config"].update(quant_method="awq"))


@mutant("group_size")
def group_size_wrong(directory: Path) -> None:
    def edit(section: dict[str, Any], _: str) -> None:
        section["group_size"] = 32

    in_both(directory, edit)


@mutant("fused into")
def one_shard_excluded(directory: Path) -> None:
    in_both(directory, lambda section, key: section[key].append(f"{ATTN}.q_proj"))


@mutant("weight")
def exclusion_lost(directory: Path) -> None:
    in_both(directory, lambda section, key: section[key].remove("lm_head"))


@mutant("model.layers.1.")
def exclusion_hits_quantised_layers_by_substring(directory: Path) -> None:
    in_both(directory, lambda section, key: section[key].append("model.layers.1"))


@mutant("in_proj_")
def exclusion_pattern_that_vllm_does_not_honour(directory: Path) -> None:
    def edit(section: dict[str, Any], key: str) -> None:
        section[key] = [name for name in section[key] if "in_proj_" not in name] + ["*linear_attn.in_proj_a"]

    in_both(directory, edit)


@mutant("q_proj", base="qwen3_5-mixed")
def mixed_layer_unlisted(directory: Path) -> None:
    in_both(directory, lambda section, _: section["quantized_layers"].pop(f"{ATTN}.q_proj"))


@mutant("down_proj", base="qwen3_5-mixed")
def mixed_layer_of_unknown_algorithm(directory: Path) -> None:
    in_both(directory, lambda s, _: s["quantized_layers"].update({f"{MLP}.down_proj": {"quant_algo": "NVFP4_AWQ"}}))


@mutant("quantized_layers", base="qwen3_5-mixed")
def mixed_without_layers(directory: Path) -> None:
    in_both(directory, lambda section, _: section.pop("quantized_layers"))


@mutant("layers.77", base="qwen3_5-mixed")
def mixed_layer_that_is_not_there(directory: Path) -> None:
    in_both(
        directory, lambda s, _: s["quantized_layers"].update({"model.layers.77.mlp.up_proj": {"quant_algo": "FP8"}})
    )


# --- model config ---------------------------------------------------------------------------------------------------


@mutant("config.json")
def config_missing(directory: Path) -> None:
    (directory / "config.json").unlink()


@mutant("config.json")
def config_cut_short(directory: Path) -> None:
    text = (directory / "config.json").read_text()
    (directory / "config.json").write_text(text[: len(text) // 2])


@mutant("architectures")
def architecture_unknown(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.update(architectures=["Qwen9ForCausalLM"]))


@mutant("architectures")
def architecture_missing(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.pop("architectures"))


@mutant("architectures")
def architecture_of_the_vision_model(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.update(architectures=["Qwen3_5ForConditionalGeneration"]))


@mutant("model.layers.4")
def one_layer_more_in_the_config(directory: Path) -> None:
    change_json(
        directory,
        "config.json",
        lambda c: c.update(num_hidden_layers=5, layer_types=[*c["layer_types"], "full_attention"]),
    )


@mutant("model.layers.3")
def one_layer_less_in_the_config(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.update(num_hidden_layers=3))


@mutant("embed_tokens")
def vocabulary_of_another_model(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.update(vocab_size=512))


@mutant("tokenizer.json")
def vocabulary_smaller_than_the_tokenizer(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.update(vocab_size=100))


@mutant("lm_head.weight")
def tied_although_the_head_differs(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.update(tie_word_embeddings=True))


@mutant("auto_map")
def remote_code_wanted(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.update(auto_map={"AutoModel": "modeling.Model"}))


@mutant("rms_norm_eps", needs="reference")
def norm_constant_changed(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.update(rms_norm_eps=1e-2))


# --- tokenizer and companions ---------------------------------------------------------------------------------------


@mutant("chat_template.jinja", needs="reference")
def template_changed(directory: Path) -> None:
    path = directory / "chat_template.jinja"
    path.write_text(path.read_text().replace("<think>", "<thinking>"))


@mutant("chat_template.jinja", needs="reference")
def template_gone(directory: Path) -> None:
    (directory / "chat_template.jinja").unlink()


@mutant("tokenizer.json", needs="reference")
def tokenizer_changed(directory: Path) -> None:
    change_json(directory, "tokenizer.json", lambda c: c["pre_tokenizer"].update(add_prefix_space=True))


@mutant("tokenizer.json")
def tokenizer_gone(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()


@mutant("tokenizer_config.json", needs="reference")
def tokenizer_config_changed(directory: Path) -> None:
    change_json(directory, "tokenizer_config.json", lambda c: c.update(eos_token="<|endoftext|>"))


@mutant("eos_token_id")
def stop_token_lost(directory: Path) -> None:
    change_json(directory, "generation_config.json", lambda c: c.update(eos_token_id=0))


@mutant("generation_config.json", needs="reference")
def sampling_default_added(directory: Path) -> None:
    change_json(directory, "generation_config.json", lambda c: c.update(temperature=1.7))


@mutant("generation_config.json", needs="reference")
def generation_config_gone(directory: Path) -> None:
    (directory / "generation_config.json").unlink()


# --- files ----------------------------------------------------------------------------------------------------------


@mutant(WEIGHTS)
def weights_truncated(directory: Path) -> None:
    os.truncate(directory / WEIGHTS, (directory / WEIGHTS).stat().st_size - 100)


@mutant(WEIGHTS)
def weights_longer_than_the_header(directory: Path) -> None:
    with (directory / WEIGHTS).open("ab") as stream:
        stream.write(b"\0" * 64)


@mutant(WEIGHTS)
def weights_header_garbage(directory: Path) -> None:
    with (directory / WEIGHTS).open("r+b") as stream:
        stream.seek(8)
        stream.write(b"\xff" * 40)


@mutant(WEIGHTS)
def weights_header_length_absurd(directory: Path) -> None:
    with (directory / WEIGHTS).open("r+b") as stream:
        stream.write(struct.pack("<Q", 1 << 60))


@mutant(WEIGHTS)
def weights_empty(directory: Path) -> None:
    (directory / WEIGHTS).write_bytes(b"")


@mutant("safetensors")
def weights_gone(directory: Path) -> None:
    (directory / WEIGHTS).unlink()


def _index(directory: Path, **extra: str) -> None:
    names = dict.fromkeys(load_file(directory / WEIGHTS), WEIGHTS) | extra
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


@mutant("model-00002-of-00002.safetensors")
def index_names_a_missing_file(directory: Path) -> None:
    _index(directory, **{"model.norm.weight": "model-00002-of-00002.safetensors"})


@mutant("model.ghost.weight")
def index_names_a_missing_tensor(directory: Path) -> None:
    _index(directory, **{"model.ghost.weight": WEIGHTS})


@mutant("model.norm.weight")
def tensor_in_two_files(directory: Path) -> None:
    save_file(
        {"model.norm.weight": load_file(directory / WEIGHTS)["model.norm.weight"]}, directory / "more.safetensors"
    )


@mutant("model-00001-of-00002.safetensors")
def shard_missing(directory: Path) -> None:
    (directory / WEIGHTS).rename(directory / "model-00002-of-00002.safetensors")


@mutant("pytorch_model.bin")
def pickle_beside_the_weights(directory: Path) -> None:
    torch.save({}, directory / "pytorch_model.bin")


@mutant("modeling_evil.py")
def code_beside_the_weights(directory: Path) -> None:
    (directory / "modeling_evil.py").write_text("raise SystemExit\n")


@mutant(WEIGHTS)
def link_out_of_the_directory(directory: Path) -> None:
    outside = directory.parent / f"{directory.name}-outside.safetensors"
    (directory / WEIGHTS).rename(outside)
    (directory / WEIGHTS).symlink_to(outside)


@mutant("INCOMPLETE")
def build_never_ended(directory: Path) -> None:
    (directory / "INCOMPLETE").write_text("")


@mutant("empty")
def directory_empty(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()


@mutant("quant_run.json", needs="provenance")
def provenance_cut_short(directory: Path) -> None:
    (directory / "quant_run.json").write_text('{"files": ')
