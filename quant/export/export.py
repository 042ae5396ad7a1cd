"""Writes a quantised model as a checkpoint that a given serving image loads, with the commands to serve it.

ModelOpt packs the weights. This module adds the rest: MTP weights that transformers does not load, an untied lm_head,
the VL wrapper around a text-only Qwen3.5, tokenizer files copied byte for byte from the source, and `serve.md`.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.checkpoint import loading
from quant.checkpoint.quantization import find_section
from quant.checkpoint.safetensors_file import BadFile, TensorInfo, read_header, rewrite
from quant.checkpoint.templates import template_text, turn_end
from quant.checkpoint.transformers_4 import older_config, older_tokenizer
from quant.checkpoint.untrusted import LARGEST_COMPANION, read_json
from quant.checkpoint.view import is_tied
from quant.errors import UsageError
from quant.export.serve_md import serve_md
from quant.images import Image

if TYPE_CHECKING:
    from torch import Tensor

#: Files of the tokenizer and the processors, copied byte for byte from the source.
COMPANIONS = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json", "generation_config.json",
    "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json",
)  # fmt: skip
INDEX = "model.safetensors.index.json"
SHARD = "5GB"
"""Largest size of a weight file."""


def mtp_tensors(source: Path) -> dict[str, Tensor]:
    """Weights of the multi-token-prediction head, which transformers ignores when it loads a model."""
    from safetensors import safe_open

    found: dict[str, Tensor] = {}
    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            found.update({key: file.get_tensor(key) for key in file.keys() if key.startswith("mtp.")})  # noqa: SIM118
    return found


@contextmanager
def _saved_as(rename: Callable[[str], str]) -> Iterator[None]:
    """Let transformers write weights under new names, copied from the GPU by several threads.

    Renaming them afterwards copies every file (8 s of 8 GB).
    """
    from transformers import modeling_utils

    save = modeling_utils.safe_save_file

    def renamed(tensors: dict[str, Tensor], path: str, **options: Any) -> None:
        with ThreadPoolExecutor(8) as pool:
            held = list(pool.map(lambda tensor: tensor.cpu(), tensors.values()))
        save(dict(zip(map(rename, tensors), held, strict=True)), path, **options)

    modeling_utils.safe_save_file = renamed
    try:
        yield
    finally:
        modeling_utils.safe_save_file = save


def export_model(model: Any, source: Path, out: Path, image: Image) -> None:
    """Pack a calibrated or trained model into `out`, with tokenizer and other files of the checkpoint it came from."""
    from modelopt.torch.export import export_hf_checkpoint

    rename = _renames(model.config.to_dict(), image) or str
    extra = mtp_tensors(source)
    if not model.config.architectures:  # None for the text part of a vision checkpoint, but ModelOpt iterates over it
        model.config.architectures = [type(model).__name__]
    with warnings.catch_warnings(), _saved_as(rename):
        warnings.simplefilter("ignore")
        export_hf_checkpoint(model, export_dir=out, extra_state_dict=extra, max_shard_size=SHARD)
    for name in COMPANIONS:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)
    if extra:
        _edit_quantization(out, _exclude_mtp)


def _exclude_mtp(section: dict[str, Any], key: str) -> None:
    if section.get("quant_algo") != "MIXED_PRECISION":
        section[key] = sorted({*section.get(key, []), "mtp*"})


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path, LARGEST_COMPANION)
    except BadFile as error:
        raise UsageError(f"{path.name}: {error}; run preflight on the checkpoint") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path.name}: is no JSON object; run preflight on the checkpoint")
    return content


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _edit_quantization(directory: Path, edit: Callable[[dict[str, Any], str], None]) -> None:
    """Apply `edit(section, name of the exclusion list)` to both copies of the quantisation config."""
    path = directory / "config.json"
    config = _read_json(path)
    if section := config.get("quantization_config"):
        edit(section, "ignore")
        _write_json(path, config)
    path = directory / "hf_quant_config.json"
    if path.exists():
        legacy = _read_json(path)
        if not isinstance(legacy.get("quantization"), dict):
            raise UsageError(f"{path.name}: holds no quantization; run preflight on the checkpoint")
        edit(legacy["quantization"], "exclude_modules")
        _write_json(path, legacy)


def _rename_layers(directory: Path, rename: Callable[[str], str]) -> None:
    def edit(section: dict[str, Any], key: str) -> None:
        if key in section:
            section[key] = [rename(name) for name in section[key]]
        if "quantized_layers" in section:
            section["quantized_layers"] = {rename(name): value for name, value in section["quantized_layers"].items()}
        for group in (section.get("config_groups") or {}).values():
            if "targets" in group:
                group["targets"] = [rename(name) for name in group["targets"]]

    _edit_quantization(directory, edit)
    index = directory / INDEX
    if index.exists():
        content = _read_json(index)
        content["weight_map"] = {rename(name): file for name, file in content["weight_map"].items()}
        _write_json(index, content)
    for path in sorted(directory.glob("*.safetensors")):
        header = read_header(path)
        if any(rename(name) != name for name in header.tensors):
            new = path.with_suffix(".renamed")
            rewrite(path, new, rename)
            new.replace(path)


def to_wrapper_name(name: str) -> str:
    """`model.layers…` -> `model.language_model.layers…`, for the vision-language class."""
    if name.startswith("model.") and not name.startswith(("model.language_model", "model.visual")):
        return "model.language_model." + name.removeprefix("model.")
    return name


def to_text_name(name: str) -> str:
    """`model.language_model.layers…` -> `model.layers…`, for the text class."""
    return name.replace("model.language_model.", "model.", 1) if name.startswith("model.language_model.") else name


_OUTER = (
    "dtype", "transformers_version", "eos_token_id", "pad_token_id", "bos_token_id", "quantization_config",
)  # fmt: skip
"""Keys that the config of the vision-language class has, too."""


def _config_of_text(config: dict[str, Any]) -> dict[str, Any]:
    """Inverse of `_wrap`: the text-only config of a wrapper without vision."""
    outer = {key: config[key] for key in ("tie_word_embeddings", *_OUTER) if config.get(key) is not None}
    tokens = {key: outer.pop(key) for key in list(outer) if key.endswith("_token_id")}
    return {
        **tokens,
        **config["text_config"],
        **outer,
        "architectures": ["Qwen3_5ForCausalLM"],
        "model_type": "qwen3_5_text",
    }


def _wrap(config: dict[str, Any]) -> dict[str, Any]:
    text = {key: value for key, value in config.items() if key not in {"architectures", "quantization_config"}}
    return {
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "model_type": "qwen3_5",
        "text_config": text,
        "tie_word_embeddings": config.get("tie_word_embeddings", False),
        **{key: config[key] for key in _OUTER if key in config},
    }


def is_text_only_qwen3_5(config: dict[str, Any]) -> bool:
    """Whether this is a Qwen3.5 without a vision tower, with or without the vision-language wrapper."""
    kind = config.get("model_type")
    return kind == "qwen3_5_text" or (kind == "qwen3_5" and "vision_config" not in config)


def _renames(config: dict[str, Any], image: Image) -> Callable[[str], str] | None:
    """How `image` wants the layers named, if that depends on the image."""
    if not is_text_only_qwen3_5(config):
        return None
    return to_text_name if image.release.qwen3_5_text else to_wrapper_name


def _untie(directory: Path) -> None:
    """Untie lm_head: write `lm_head.weight` as a copy of the embedding, and change the config."""
    files = sorted(directory.glob("*.safetensors"))
    for path in files:
        tensors = read_header(path).tensors
        name = next((n for n in tensors if n.endswith("embed_tokens.weight")), None)
        if name is None:
            continue
        info: TensorInfo = tensors[name]
        new = path.with_suffix(".untied")
        rewrite(path, new, lambda n: n, {"lm_head.weight": info})
        new.replace(path)
        if (directory / INDEX).exists():
            index = _read_json(directory / INDEX)
            index["weight_map"]["lm_head.weight"] = path.name
            _write_json(directory / INDEX, index)
        break
    else:
        raise UsageError(f"{directory}: holds no embed_tokens.weight, so its lm_head cannot be untied")
    config = _read_json(directory / "config.json")
    config["tie_word_embeddings"] = False
    if "text_config" in config:
        config["text_config"]["tie_word_embeddings"] = False
    _write_json(directory / "config.json", config)

    def edit(section: dict[str, Any], key: str) -> None:
        if section.get("quant_algo") != "MIXED_PRECISION":
            section[key] = sorted({*section.get(key, []), "lm_head"})

    _edit_quantization(directory, edit)


def _correct_companions(directory: Path) -> None:
    """Correct two frequent mistakes of fine-tunes: the stop token, and the tokenizer class of a text-only Qwen3.5.

    The token that ends a turn in the chat template, such as `<|im_end|>`, has to be among generation_config's
    eos_token_id, or answers do not stop. With model type `qwen3_5_text`, `Qwen2Tokenizer` splits combining
    marks in another way than in the model's training.
    """
    config = _read_json(directory / "config.json")
    token, tokenizer = turn_end(template_text(directory)), directory / "tokenizer.json"
    if token is not None and tokenizer.exists():
        added = {token["content"]: token["id"] for token in _read_json(tokenizer).get("added_tokens") or []}
        path = directory / "generation_config.json"
        generation = _read_json(path) if path.exists() else {}
        stops = generation.get("eos_token_id", (config.get("text_config") or config).get("eos_token_id"))
        stops = stops if isinstance(stops, list) else [] if stops is None else [stops]
        if (end := added.get(token)) is not None and end not in stops:
            _write_json(path, {**generation, "eos_token_id": [*stops, end]})
    path = directory / "tokenizer_config.json"
    if config.get("model_type") == "qwen3_5_text" and path.exists():
        settings = _read_json(path)
        if settings.get("tokenizer_class") == "Qwen2Tokenizer":
            _write_json(path, {**settings, "tokenizer_class": "TokenizersBackend"})


def check_loads(directory: Path, image: Image) -> None:
    """Raise UsageError if `image` does not support an algorithm of the checkpoint."""
    config = loading.read_config(directory)
    legacy = directory / "hf_quant_config.json"
    found = find_section(config, _read_json(legacy) if legacy.is_file() else None)
    method = "" if found is None or "quant_algo" in found.inner else found.method
    if method and not method.startswith("modelopt"):
        raise UsageError(
            f"{directory}: is quantised by another tool ({method:.40}), and export converts what ModelOpt and this "
            "project make; serve it as it is, or quantise the BF16 checkpoint again"
        )
    section = config.get("quantization_config") or {}
    layers = (section.get("quantized_layers") or {}) if isinstance(section, dict) else None
    if not isinstance(layers, dict) or not all(isinstance(layer, dict) for layer in layers.values()):
        raise UsageError(f"{directory}/config.json: quantization_config is none; run preflight on the checkpoint")
    algorithm = section.get("quant_algo")
    if algorithm is not None and algorithm not in image.release.algorithms:
        known = ", ".join(image.release.algorithms)
        raise UsageError(f"{directory}: {image.name} does not load {algorithm}; it loads {known}")
    inside = {str(layer.get("quant_algo")) for layer in layers.values()}
    if unknown := sorted(inside - set(image.release.mixed)):
        known = ", ".join(image.release.mixed)
        raise UsageError(
            f"{directory}: {image.name} does not load {unknown[0]} inside MIXED_PRECISION; it loads {known} there"
        )


def _respell(directory: Path, image: Image) -> None:
    """Convert config and tokenizer settings for the image's transformers, and write both copies of the quantisation
    config.

    ModelOpt up to 0.29 wrote the quantisation config only to hf_quant_config.json, which not every program reads.
    """
    path = directory / "config.json"
    config = _read_json(path)
    legacy = directory / "hf_quant_config.json"
    section = find_section(config, _read_json(legacy) if legacy.is_file() else None)
    if section is not None and section.where.startswith("hf_quant_config") and section.method != "unknown":
        config["quantization_config"] = {**section.outer, "quant_method": section.method}
        _write_json(path, config)
    if not image.release.transformers_4:
        return
    if config.get("model_type") not in image.release.own_configs:
        _write_json(path, older_config(config))
    settings = directory / "tokenizer_config.json"
    if settings.is_file():
        _write_json(settings, older_tokenizer(_read_json(settings)))


def retarget(directory: Path, image: Image) -> None:
    """Convert a checkpoint in place to the layout of `image`, see `check_loads`. Weights are not changed."""
    config = _read_json(directory / "config.json")
    section = config.get("quantization_config")
    if (rename := _renames(config, image)) is not None:
        wrapped = config["model_type"] == "qwen3_5"
        if image.release.qwen3_5_text:
            _write_json(directory / "config.json", _config_of_text(config) if wrapped else config)
        else:
            _write_json(directory / "config.json", config if wrapped else _wrap(config))
        _rename_layers(directory, rename)
    config = _read_json(directory / "config.json")
    if section and is_tied(config) and not image.release.tied_modelopt:
        _untie(directory)
    _correct_companions(directory)
    _respell(directory, image)
    (directory / "serve.md").write_text(serve_md(_read_json(directory / "config.json"), directory, image))
