"""Preflight checks against the BF16 reference: same model, same tokenizer, plausible weights (points 2, 4, 7-10)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quant.checkpoint.safetensors_file import BadFile, e4m3_values, to_float
from quant.checkpoint.transformers_4 import older_tokenizer
from quant.checkpoint.untrusted import read_json, same_bytes
from quant.checkpoint.view import AGAIN, Problem, Tensor, View, has_centred_norms, view
from quant.preflight.config_meaning import meanings

#: Files whose bytes must be those of the reference.
SAME_BYTES = (
    "tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json",
    "chat_template.jinja", "chat_template.json", "preprocessor_config.json", "video_preprocessor_config.json",
    "processor_config.json",
)  # fmt: skip
#: Keys of config.json that an export may change.
_MAY_CHANGE = {
    "architectures", "auto_map", "dtype", "torch_dtype", "model_type", "quantization_config", "text_config",
    "tie_word_embeddings", "transformers_version", "_name_or_path", "use_cache", "is_encoder_decoder",
    "return_dict", "output_hidden_states", "output_attentions", "language_model_only", "problem_type",
    "chunk_size_feed_forward", "id2label", "label2id", "vision_config",
}  # fmt: skip
_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def file_findings(view_: View, reference: Path) -> Iterator[Problem]:
    """Findings about files that differ from the reference: tokenizer, template, generation config (point 9)."""
    fix = f"copy the file from {reference}"
    for name in SAME_BYTES:
        ours, theirs = view_.directory / name, reference / name
        if theirs.is_file() and not ours.is_file():
            yield Problem(9, name, "is missing, but the reference has it", fix)
        elif ours.is_file() and not theirs.is_file():
            yield Problem(9, name, "is there, but the reference has none", "remove it, or give the right --reference")
        elif ours.is_file() and not same_bytes(ours, theirs):
            yield Problem(9, name, "differs from the reference's", fix)
    for path in sorted(view_.directory.rglob("*.jinja")):
        name = str(path.relative_to(view_.directory))
        if name not in SAME_BYTES and not (reference / name).is_file():
            yield Problem(9, name, "is there, but the reference has none", "remove it, or give the right --reference")
    for name, may_change in (
        ("tokenizer_config.json", {"tokenizer_class", "transformers_version"}),
        ("generation_config.json", {"transformers_version", "eos_token_id", "do_sample"}),
    ):
        ours_json, theirs_json = _json(view_.directory / name), _json(reference / name)
        if theirs_json is not None and ours_json is None:
            yield Problem(9, name, "is missing or unreadable, but the reference has it", fix)
        elif theirs_json is not None and ours_json is not None:
            if name.startswith("tokenizer"):  # normalised to the keys of transformers 4
                ours_json, theirs_json = older_tokenizer(ours_json), older_tokenizer(theirs_json)
            for key in sorted((ours_json.keys() | theirs_json.keys()) - may_change):
                if ours_json.get(key) != theirs_json.get(key):
                    yield Problem(9, f"{name}: {key}", "differs from the reference's", fix)
            stops, wanted = _set(ours_json.get("eos_token_id")), _set(theirs_json.get("eos_token_id"))
            if name.startswith("generation") and not wanted <= stops:
                yield Problem(9, f"{name}: eos_token_id", f"lacks {sorted(wanted - stops)} of the reference", fix)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = read_json(path)
    except BadFile:
        return None
    return content if isinstance(content, dict) else None


def _set(value: Any) -> set[Any]:
    """The ids that a setting names, one or several; what is no id is none."""
    return {each for each in (value if isinstance(value, list) else [value]) if isinstance(each, int | str)}


def config_findings(ours: View, theirs: View) -> Iterator[Problem]:
    """Findings about a config that describes another model than the reference, compared by meaning."""
    if _settings(ours.text_config) != _settings(theirs.text_config):
        first, second = meanings(ours.config, theirs.config)
        for key in sorted((first.keys() | second.keys()) - _MAY_CHANGE):
            for name, one, other in _differences(key, first.get(key), second.get(key)):
                problem = f"is {_shown(one)}, but the reference has {_shown(other)}"
                yield Problem(7, f"config.json: {name}", problem, "take the reference's value")
        if first.get("dtype") not in (second.get("dtype"), "bfloat16", None):
            problem = f"is {first.get('dtype')!r:.60}, but the reference has {second.get('dtype')!r:.60}"
            yield Problem(7, "config.json: dtype", problem, "write bfloat16, or the reference's")
    vision, theirs_vision = ours.config.get("vision_config"), theirs.config.get("vision_config")
    if isinstance(vision, dict) and isinstance(theirs_vision, dict):
        for key in sorted(vision.keys() & theirs_vision.keys() - _MAY_CHANGE):
            if vision[key] != theirs_vision[key]:
                where = f"config.json: vision_config.{key}"
                yield Problem(7, where, "differs from the reference's", "take the reference's value")


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _MAY_CHANGE - {"dtype", "torch_dtype"}}


def _shown(value: Any) -> str:
    return "not set" if value is None else f"{value!r:.60}"


def _differences(key: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """The differences of two values; of objects, field by field: `rope_theta`, not all of `rope_parameters`."""
    if isinstance(one, dict) and isinstance(other, dict):
        for inner in sorted(one.keys() | other.keys()):
            yield from _differences(f"{key}.{inner}", one.get(inner), other.get(inner))
    elif one != other:
        yield key, one, other


Moved = Literal["rounded", "fitted", "trained", "unknown"]
"""How a checkpoint's weights came to differ from the reference's, by its provenance."""


def weight_findings(ours: View, theirs: View, provenance: dict[str, Any] | None) -> Iterator[Problem]:
    """Findings about tensors: all of the reference are there with their shape, and some rows agree (points 2, 4, 8,
    10).
    """
    recipe = (provenance or {}).get("recipe")
    moved: Moved = "unknown"
    if isinstance(recipe, dict) and (provenance or {}).get("kind") in {"ptq", "export", "qat", "merge"}:
        fitted = recipe.get("algorithm") in {"local_hessian", "gptq"}
        moved = "trained" if recipe.get("training") else "fitted" if fitted else "rounded"
    for name in theirs.by_plain_name:
        reference = theirs.get(name)
        tensor = ours.get(name)
        assert reference is not None
        if name == "lm_head.weight" and tensor is None:
            continue  # point 8 checks it together with the tie flag
        if tensor is None:
            what = "the MTP head's" if name.startswith("mtp.") else "a tensor of the reference"
            yield Problem(8 if what[0:3] == "the" else 2, ours.where(name), f"is missing: {what}", AGAIN)
            continue
        packed = tensor.info.dtype == "U8"
        shape = reference.info.shape
        wanted = (*shape[:-1], shape[-1] // 2) if packed else shape
        if tensor.info.shape != wanted:
            problem = f"has shape {list(tensor.info.shape)}, but the reference needs {list(wanted)}"
            yield Problem(2, ours.where(name), problem, AGAIN)
            continue
        yield from _row_findings(ours, theirs, name, moved)
    for name in ours.by_plain_name:
        last = name.rpartition(".")[2]
        if theirs.get(name) is None and not last.endswith("_scale") and last != "weight_scale_2":
            if name == "lm_head.weight":
                continue
            yield Problem(2, ours.where(name), "the reference has no such tensor", "remove it, or check --reference")
    total = sum(t.info.bytes for t in ours.tensors.values())
    whole = sum(t.info.bytes for t in theirs.tensors.values())
    if ours.quantization is not None and whole and total > 1.7 * whole:
        problem = f"is {total / whole:.0%} of the reference's size, though quantised"
        yield Problem(10, str(ours.directory.name), problem, AGAIN)


def _rows(tensor: Tensor, rows: list[int]) -> list[bytes]:
    width = tensor.info.bytes // tensor.info.shape[0]
    found = []
    with tensor.path.open("rb") as stream:
        for row in rows:
            stream.seek(tensor.info.begin + row * width)
            found.append(stream.read(width))
    return found


def _expanded(view_: View, name: str, tensor: Tensor, rows: list[int]) -> NDArray[np.float32] | None:
    raw = _rows(tensor, rows)
    parent = name.rpartition(".")[0]
    scale = view_.get(f"{parent}.weight_scale")
    if tensor.info.dtype == "U8":
        second = view_.get(f"{parent}.weight_scale_2")
        if scale is None or second is None or scale.info.dtype != "F8_E4M3" or second.info.elements != 1:
            return None
        if scale.info.shape != (tensor.info.shape[0], tensor.info.shape[1] // 8):
            return None
        data = np.frombuffer(b"".join(raw), np.uint8)
        elements = _E2M1[np.stack((data & 15, data >> 4), 1).ravel()]
        blocks = e4m3_values()[np.frombuffer(b"".join(_rows(scale, rows)), np.uint8)] * second.floats()[0]
        return elements * np.repeat(blocks, 16)
    values = to_float(b"".join(raw), tensor.info.dtype)
    if tensor.info.dtype == "F8_E4M3":
        if scale is None or scale.info.dtype != "F32" or scale.info.elements != 1:
            return None
        values = values * scale.floats()[0]
    return values


def _row_error(ours: View, theirs: View, name: str) -> tuple[float, float] | None:
    """For some rows of a weight: ||ours - theirs|| / ||theirs||, and the scale of ours relative to theirs; None:
    unknown.
    """
    tensor, reference = ours.get(name), theirs.get(name)
    assert tensor is not None
    assert reference is not None
    if not tensor.info.shape or reference.info.dtype not in {"BF16", "F16", "F32"} or tensor.info.elements == 0:
        return None
    if tensor.info.dtype not in {"U8", "F8_E4M3", "BF16", "F16", "F32"} or not name.endswith(".weight"):
        return None
    count = tensor.info.shape[0]
    rows = sorted({0, count // 3, 2 * count // 3, count - 1})
    try:
        values = _expanded(ours, name, tensor, rows)
    except ValueError:
        return None
    if values is None or not np.all(np.isfinite(values)):
        return None  # the checks of the scales report why
    expected = to_float(b"".join(_rows(reference, rows)), reference.info.dtype)
    if name in ours.changed_norms:
        return None  # checked together with the weights that use it
    smoothed = _norm_changed(ours, name)
    if smoothed is not None:
        # Smoothing moved a factor of every column from the weight into the norm before it; their product is unchanged.
        before, after = (_norm_factors(v, smoothed) for v in (theirs, ours))
        if before is None or after is None or expected.size % before.size or before.size != after.size:
            return None
        expected = expected * np.resize(before, expected.size)
        values = values * np.resize(after, values.size)
    norm = float(np.sqrt((expected**2).sum()))
    if norm == 0:
        return None
    error = float(np.sqrt(((values - expected) ** 2).sum())) / norm
    ratio = float((values * expected).sum()) / norm**2
    return error, ratio


def _row_findings(ours: View, theirs: View, name: str, moved: Moved) -> Iterator[Problem]:
    found, tensor = _row_error(ours, theirs, name), ours.get(name)
    if found is None or tensor is None:
        return
    error, ratio = found
    smoothed = _norm_changed(ours, name)
    quantised = tensor.info.dtype in {"U8", "F8_E4M3"}
    # Rounding to NVFP4 gives an error of 0.1, to FP8 of 0.03, and hardly any bias. Training may move weights by any
    # amount: if the provenance says that they were trained, its digests tell whether they are unchanged since. Weights
    # fitted to the inputs of a layer have a larger error and a bias, in exchange for less error in the layer's output.
    if moved == "rounded":
        limit, drift = (0.15 if quantised else 1e-6), 0.03
    elif moved == "fitted" and quantised:
        limit, drift = 0.3, 0.15
    elif moved == "trained" or not quantised:
        limit, drift = 0.6, 0.6
    else:
        limit, drift = 0.18, 0.1
    if smoothed is not None:
        limit, drift = max(limit, 0.4), max(drift, 0.15)  # the factor of a column also scales its rounding error
    if error <= limit and abs(ratio - 1) <= drift:
        return
    what = f"its values are {ratio:.2f} times the reference's, relative error {error:.2f}, in the rows compared"
    place = name if not quantised or abs(ratio - 1) <= drift else f"{name.rpartition('.')[0]}.weight_scale_2"
    at = ours.where(place if ours.get(place) is not None else name)
    if moved == "trained":
        yield Problem(4, at, what, "training changed it a lot: check the model's answers", "warned")
    else:
        yield Problem(4, at, what, "the scale or weight is another layer's, or --reference another model; " + AGAIN)


def movement(ours: View, theirs: View) -> dict[str, Any]:
    """How far training moved the weights: median and largest relative difference of linear layers, including rounding.

    Empty if nothing can be compared.
    """
    errors = {
        name: found[0]
        for name in theirs.by_plain_name
        if name.endswith(".weight") and (found := _row_error(ours, theirs, name)) is not None and found[0] > 0
    }
    if not errors:
        return {}
    most = max(errors, key=lambda name: errors[name])
    return {"median": float(np.median(list(errors.values()))), "largest": errors[most], "layer": most}


#: Last component of a linear layer's name -> the norm before it.
_NORM_OF = dict.fromkeys(
    ("q_proj", "k_proj", "v_proj", "in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b"), "input_layernorm"
) | dict.fromkeys(("gate_proj", "up_proj"), "post_attention_layernorm")


def _norm_changed(ours: View, name: str) -> str | None:
    """The changed norm before the weight `name`, if there is one."""
    parts = name.split(".")
    if len(parts) < 4 or parts[-2] not in _NORM_OF:
        return None
    norm = ".".join([*parts[:-3], _NORM_OF[parts[-2]], "weight"])
    if parts[-2] in {"gate_proj", "up_proj"}:  # Gemma has a separate norm before the MLP
        before = ".".join([*parts[:-3], "pre_feedforward_layernorm", "weight"])
        norm = before if ours.get(before) is not None else norm
    return norm if norm in ours.changed_norms else None


def _norm_factors(view_: View, name: str) -> NDArray[np.float32] | None:
    """The factor of a norm for each column: its weight, or 1 + weight."""
    tensor = view_.get(name)
    if tensor is None or tensor.info.dtype not in {"BF16", "F16", "F32"}:
        return None
    factors = tensor.floats()
    return factors + 1 if has_centred_norms(view_.config) else factors


def note_changed_norms(ours: View, theirs: View) -> None:
    """Record which norms differ from the reference, because AWQ's smoothing was folded into them."""
    changed = {
        name
        for name in ours.by_plain_name
        if name.endswith("layernorm.weight")
        and (first := ours.get(name)) is not None
        and (second := theirs.get(name)) is not None
        and first.raw() != second.raw()
    }
    ours.changed_norms = changed


def reference_findings(ours: View, reference: Path, provenance: dict[str, Any] | None) -> Iterator[Problem]:
    """All findings against the BF16 checkpoint."""
    theirs, broken = view(reference)
    if broken or theirs.bad_files or not theirs.tensors:
        problem = broken[0] if broken else next(iter(theirs.bad_files.items()), "no *.safetensors")
        yield Problem(2, f"--reference {reference}", f"cannot be read ({problem})", "give the BF16 checkpoint")
        return
    if theirs.quantization is not None:
        yield Problem(2, f"--reference {reference}", "is quantised itself", "give the BF16 checkpoint")
        return
    note_changed_norms(ours, theirs)
    yield from file_findings(ours, reference)
    yield from config_findings(ours, theirs)
    yield from weight_findings(ours, theirs, provenance)
