"""Preflight, configs: the algorithm, the exclusions as vLLM's matcher reads them, the architecture (points 1, 6-8)."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from quant.checkpoint.view import Problem, Quantization, View, is_tied, normalise, plain
from quant.formats.fused import FUSED, fused_groups
from quant.images import Image, images

ANEW = "export the checkpoint again"


#: model_type -> the one architecture that goes with it, of the families whose tensors are known.
ARCHITECTURE = {
    "gemma3_text": "Gemma3ForCausalLM", "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM", "qwen3_5": "Qwen3_5ForConditionalGeneration", "qwen3_5_text": "Qwen3_5ForCausalLM",
}  # fmt: skip


@cache
def architectures() -> frozenset[str]:
    """Architectures that vLLM registers, from `architectures.txt`."""
    lines = (Path(__file__).parent / "architectures.txt").read_text().splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def quantization_findings(view: View, image: Image | None) -> Iterator[Problem]:
    """The quantisation config by itself, both copies against each other, and against what the image knows."""
    section = view.config.get("quantization_config")
    legacy = view.legacy.get("quantization") if view.legacy is not None else None
    if section is not None and not isinstance(section, dict):
        yield Problem(1, "config.json: quantization_config", "is no object", ANEW)
        return
    if view.legacy is not None and not isinstance(legacy, dict):
        yield Problem(1, "hf_quant_config.json: quantization", "is missing or no object", ANEW)
        return
    if section is None and legacy is not None:
        yield Problem(1, "config.json: quantization_config", "is missing, but hf_quant_config.json is there", ANEW)
    if isinstance(section, dict) and isinstance(legacy, dict):
        yield from _compare(normalise(section, "ignore"), normalise(legacy, "exclude_modules"))
    for where, part, key in (
        ("config.json: quantization_config", section, "ignore"),
        ("hf_quant_config.json: quantization", legacy, "exclude_modules"),
    ):
        if isinstance(part, dict):
            yield from _section_findings(where, part, normalise(part, key), image)


def _compare(first: Quantization, second: Quantization) -> Iterator[Problem]:
    for what, one, other in (
        ("quant_algo", first.algorithm, second.algorithm),
        ("excluded layers", sorted(set(first.excluded)), sorted(set(second.excluded))),
        ("quantized_layers", first.layers, second.layers),
        ("KV cache", first.kv_cache, second.kv_cache),
        ("group_size", first.group_size, second.group_size),
    ):
        if one != other and not (what == "group_size" and None in (one, other)):
            problem = f"{what} is {_short(other, one)}, but config.json: quantization_config says {_short(one, other)}"
            yield Problem(2, "hf_quant_config.json", problem, ANEW)


def _short(value: Any, other: Any) -> str:
    """A value, or of a collection only what the other lacks."""
    if isinstance(value, list) and isinstance(other, list):
        rest = [v for v in value if v not in other]
        return f"[… {', '.join(rest[:3])}]" if rest else "[…]"
    if isinstance(value, dict) and isinstance(other, dict):
        rest = [f"{k}: {v}" for k, v in value.items() if other.get(k) != v]
        return f"{{… {', '.join(rest[:3])}}}" if rest else "{…}"
    return str(value)


def _section_findings(
    where: str, section: dict[str, Any], quantization: Quantization, image: Image | None
) -> Iterator[Problem]:
    candidates = [image] if image is not None else list(images().values())
    algorithm = quantization.algorithm
    said = image.name if image is not None else "any image known here"
    if algorithm is None:
        yield Problem(1, f"{where}.quant_algo", "is missing", ANEW)
        return
    if not any(algorithm in candidate.algorithms for candidate in candidates):
        known = ", ".join(candidates[-1].algorithms)
        yield Problem(1, f"{where}.quant_algo", f"{algorithm} is not loaded by {said}; known: {known}", ANEW)
    if where.startswith("config") and section.get("quant_method") != "modelopt":
        problem = f"is {section.get('quant_method')!r}, so vLLM does not read it as ModelOpt's"
        yield Problem(1, f"{where}.quant_method", problem, "write modelopt")
    uses = set(quantization.layers.values()) if algorithm == "MIXED_PRECISION" else {algorithm}
    if algorithm == "MIXED_PRECISION":
        if not quantization.layers:
            yield Problem(1, f"{where}.quantized_layers", "is missing or empty under MIXED_PRECISION", ANEW)
        for name, used in quantization.layers.items():
            if not any(used in candidate.mixed for candidate in candidates):
                problem = f"{used} is not known inside MIXED_PRECISION by {said}: the layer would be taken as BF16"
                yield Problem(1, f"{where}.quantized_layers: {name}", problem, ANEW)
    elif quantization.layers:
        yield Problem(1, f"{where}.quantized_layers", f"is there, but quant_algo is {algorithm}", ANEW)
    if any("NVFP4" in used for used in uses) and quantization.group_size not in (16, None):
        yield Problem(1, f"{where}.group_size", f"is {quantization.group_size!r:.20}, but NVFP4's blocks are 16", ANEW)
    if quantization.kv_cache not in (None, "FP8"):
        problem = f"{quantization.kv_cache} KV cache is not served by {said}"
        yield Problem(1, f"{where}: KV cache", problem, "use fp8 or none")
    yield from _group_findings(where, section, uses)


def _group_findings(where: str, section: dict[str, Any], uses: set[str]) -> Iterator[Problem]:
    groups = section.get("config_groups")
    if not isinstance(groups, dict):
        return
    bits = {4 for used in uses if "NVFP4" in used} | {8 for used in uses if used.startswith(("FP8", "MXFP8"))}
    for name, group in groups.items():
        weights = group.get("weights") if isinstance(group, dict) else None
        found = weights.get("num_bits") if isinstance(weights, dict) else None
        if bits and found not in bits:
            yield Problem(1, f"{where}.config_groups.{name}", f"says {found} bits, but quant_algo does not", ANEW)


def is_excluded(prefix: str, patterns: tuple[str, ...]) -> bool | None:
    """Whether vLLM leaves a layer unquantised; None where it dies, because only some shards are listed.

    `prefix` is a plain layer name, of the fused layer where the server fuses. After `is_layer_excluded` and
    `apply_vllm_mapper` of vLLM 0.32, `layers/quantization/modelopt.py`: `x*` becomes `x` and `x.*`, then exact names
    (of all shards), then substrings, then wildcards.
    """
    expanded: list[str] = []
    for pattern in patterns:
        if len(pattern) >= 2 and pattern[-1] == "*" and pattern[-2] != ".":
            expanded += [pattern[:-1], pattern[:-1] + ".*"]
        else:
            expanded.append(pattern)
    parent, _, last = prefix.rpartition(".")
    if prefix in expanded:
        return True
    if last in FUSED:
        listed = [f"{parent}.{shard}" in expanded for shard in FUSED[last]]
        if all(listed):
            return True
        if any(listed):
            return None
    if any(pattern != prefix and pattern in prefix for pattern in expanded):
        return True
    return any(fnmatch(prefix, pattern) for pattern in expanded)


def served_algorithms(view: View, layers: list[str]) -> tuple[dict[str, str | None], list[Problem]]:
    """What vLLM will take each linear layer for: its algorithm, or None for BF16; and where it would die.

    `layers` are plain names of the layers in the checkpoint.
    """
    quantization = view.quantization
    if quantization is None or quantization.algorithm is None:
        return dict.fromkeys(layers), []
    findings: list[Problem] = []
    found: dict[str, str | None] = {}
    groups = fused_groups(layers)
    fused_of = {member: fused for fused, members in groups.items() for member in members}
    mixed = quantization.algorithm == "MIXED_PRECISION"
    for name in layers:
        prefix = fused_of.get(name, name)
        excluded = is_excluded(prefix, quantization.excluded)
        if excluded is None:
            members = groups[prefix]
            inside = [member for member in members if member in quantization.excluded]
            if name == members[0]:
                problem = f"excludes {', '.join(inside)} but not the others that are fused into {prefix}"
                findings.append(Problem(3, "config.json: quantization_config.ignore", problem, "list all or none"))
            found[name] = None if name in inside else quantization.algorithm
        elif excluded:
            found[name] = None
        elif mixed:
            found[name] = quantization.layers.get(name)
        else:
            found[name] = quantization.algorithm
    if mixed:
        for fused, members in groups.items():
            algorithms = {found[member] for member in members}
            if len(algorithms) > 1:
                said = ", ".join(f"{m.rpartition('.')[2]} {found[m] or 'BF16'}" for m in members)
                where = f"config.json: quantization_config.quantized_layers: {members[0]}"
                findings.append(Problem(3, where, f"{fused} is fused, but its parts differ: {said}", ANEW))
        for name in sorted(set(quantization.layers) - set(layers)):
            where = f"config.json: quantization_config.quantized_layers: {name}"
            findings.append(Problem(2, where, "there is no such layer in the weight files", ANEW))
    return found, findings


def architecture_findings(view: View, image: Image | None) -> Iterator[Problem]:
    """Architecture registered, names as its class wants them, head and tie (points 7 and 8)."""
    config = view.config
    names = config.get("architectures")
    kind = config.get("model_type")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        yield Problem(7, "config.json: architectures", "is missing", "name the class, as in the BF16 checkpoint")
        return
    architecture = names[0]
    if architecture not in architectures():
        yield Problem(7, "config.json: architectures", f"vLLM knows no {architecture}", "take the BF16 checkpoint's")
    if not isinstance(kind, str):
        yield Problem(7, "config.json: model_type", "is missing", "take the BF16 checkpoint's")
        return
    if architecture == "Qwen3_5ForCausalLM" and image is not None and not image.qwen3_5_text:
        problem = f"{image.name} does not register Qwen3_5ForCausalLM"
        yield Problem(7, "config.json: architectures", problem, f"run: python -m quant export DIR --for {image.name}")
    text_only = kind == "qwen3_5_text"
    wanted = ARCHITECTURE.get(kind)
    if wanted is not None and architecture != wanted:
        problem = f"{architecture} does not go with model_type {kind}"
        yield Problem(7, "config.json: architectures", problem, f"write {wanted}, if the weights are that model's")
    elif wanted is None and (types := [t for t, a in ARCHITECTURE.items() if a == architecture]):
        problem = f"{kind!r:.60} does not go with {architecture}"
        yield Problem(7, "config.json: model_type", problem, f"write {types[0]}")
    if kind == "qwen3_5" and "text_config" not in config:
        yield Problem(7, "config.json: text_config", "is missing under model_type qwen3_5", ANEW)
    vision = [name for name in view.tensors if "visual." in name]
    if text_only and vision:
        where = f"{view.tensors[vision[0]].file}: {vision[0]}"
        yield Problem(7, where, "a text-only class has no vision tower: vLLM dies on it", "remove model.visual.*")
    if isinstance(config.get("vision_config"), dict) and not vision:
        yield Problem(7, "config.json: vision_config", "is there, but the weights hold no model.visual.*", ANEW)
    if kind == "qwen3_5" and vision and not isinstance(config.get("vision_config"), dict):
        where = f"{view.tensors[vision[0]].file}: {vision[0]}"
        yield Problem(7, "config.json: vision_config", f"is missing, but the weights hold {where}", ANEW)
    wrapped = [name for name in view.tensors if plain(name) != name]
    if wrapped and wanted is not None and not kind.startswith("qwen3_5"):
        where = f"{view.tensors[wrapped[0]].file}: {wrapped[0]}"
        yield Problem(7, where, f"{architecture} has no language_model part", "rename it to model.*")
    if kind == "qwen3_5":
        bare = [
            n for n in view.tensors if n.startswith("model.") and plain(n) == n and not n.startswith("model.visual")
        ]
        if bare:
            where = f"{view.tensors[bare[0]].file}: {bare[0]}"
            yield Problem(7, where, "the VL class wants model.language_model.* here", "rename: export --for does it")
    yield from _head_findings(view, image)


def _head_findings(view: View, image: Image | None) -> Iterator[Problem]:
    outer, inner = view.config.get("tie_word_embeddings"), view.text_config.get("tie_word_embeddings")
    if outer is not None and inner is not None and outer != inner:
        problem = f"is {outer}, but text_config says {inner}"
        yield Problem(8, "config.json: tie_word_embeddings", problem, "write the same twice")
    tied = is_tied(view.config)
    head, embedding = view.get("lm_head.weight"), view.get("model.embed_tokens.weight")
    if not tied and head is None and embedding is not None:
        problem = "is missing, but config.json does not tie it to the embedding: vLLM would serve garbage, silently"
        yield Problem(
            8, view.where("lm_head.weight"), problem, "export again, or set tie_word_embeddings if it was tied"
        )
    if tied and head is not None and embedding is not None and not _equal(head, embedding):
        problem = "differs from the embedding, but config.json ties the two, so it would be ignored"
        yield Problem(8, view.where("lm_head.weight"), problem, "set tie_word_embeddings to false in config.json")
    quantization = view.quantization
    whole = quantization is not None and quantization.algorithm != "MIXED_PRECISION"
    if (
        quantization is not None
        and whole
        and tied
        and head is None
        and not is_excluded("lm_head", quantization.excluded)
    ):
        problem = "does not list lm_head, so vLLM quantises it and cannot tie it to the embedding"
        yield Problem(8, "config.json: quantization_config.ignore", problem, "add lm_head to both exclusion lists")
    if tied and quantization is not None and image is not None and not image.tied_modelopt:
        problem = f"{image.name} cannot load a ModelOpt checkpoint with tied embeddings"
        fix = f"run: python -m quant export DIR --for {image.name} --out NEW"
        yield Problem(8, "config.json: tie_word_embeddings", problem, fix)


def _equal(head: Any, embedding: Any) -> bool:
    same = head.info.dtype == embedding.info.dtype and head.info.shape == embedding.info.shape
    return bool(same and head.raw(1 << 20) == embedding.raw(1 << 20))
