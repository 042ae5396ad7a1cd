"""Preflight checks of the quantisation config: how an image reads it, and the format of each layer (points 1-3, 6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

from quant.checkpoint.quantization import BY_PRODUCER, Quantization, Section, legacy_section, normalise
from quant.checkpoint.view import AGAIN, Problem, View
from quant.formats.fused import FUSED, fused_groups
from quant.images import Image, images

#: Keys without which vLLM refuses NVFP4 in the section of older ModelOpt versions.
_NESTED_NVFP4 = ("group_size", "kv_cache_quant_algo", "exclude_modules")
#: Layers that vLLM builds without a quantisation method, whatever the config says: routers and the MTP head's input.
_ROUTER = re.compile(r"(^|\.)((mlp|moe|block_sparse_moe|feed_forward)\.gate|shared_expert_gate|router)$")
_NEVER = re.compile(r"(^|\.)mtp\.fc$|vision_tower|vision_model|vit_large_projector|embed_vision")
#: Model types whose router does get the quantisation method (`quant_config` of `self.gate` in vLLM 0.32's models).
_QUANTISED_ROUTER = {"qwen3_moe", "qwen3_vl_moe_text", "lfm2_moe", "k2_horizon"}


def quantization_findings(view: View, image: Image | None) -> Iterator[Problem]:
    """Findings about the quantisation config: valid, both copies equal, supported by the image."""
    declared, legacy = view.config.get("quantization_config"), legacy_section(view.legacy)
    if declared is not None and not isinstance(declared, dict):
        yield Problem(1, "config.json: quantization_config", "is no object", AGAIN)
        return
    section, quantization = view.section, view.quantization
    if view.legacy is not None and legacy is None:
        read = section is not None and section.where.startswith("config.json")
        level = {"level": "warned"} if read else {}
        yield Problem(1, "hf_quant_config.json: quantization", "is missing or no object", AGAIN, **level)  # type: ignore[arg-type]
    if section is None or quantization is None:
        return
    if section.layers_elsewhere:
        problem = "is missing under MIXED_PRECISION; vLLM reads hf_quant_config.json in its place"
        yield Problem(1, "config.json: quantization_config.quantized_layers", problem, "write it there, too", "warned")
    elif section.where.startswith("hf_quant_config"):
        yield from _alone(section, quantization)
    elif legacy is not None and quantization.is_modelopt:
        yield from _compare(quantization, normalise(legacy))
    if quantization.is_modelopt or quantization.algorithm is not None or quantization.method in {"", "unknown"}:
        yield from _modelopt_findings(section, quantization, image)


def _alone(section: Section, quantization: Quantization) -> Iterator[Problem]:
    """Findings if config.json has no section: vLLM reads hf_quant_config.json, but does not support all algorithms
    there.
    """
    where = "config.json: quantization_config"
    if quantization.is_modelopt and quantization.algorithm in BY_PRODUCER:
        problem = "is missing; vLLM reads hf_quant_config.json in its place, other readers may not"
        yield Problem(1, where, problem, "write the section into config.json: export --for does it", "warned")
    else:
        problem = f"is missing, and from hf_quant_config.json alone vLLM does not read {quantization.algorithm}"
        yield Problem(1, where, problem, AGAIN)


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
            if what == "KV cache" and first.kv_cache is None:
                problem += ", which vLLM goes by: the cache stays as it is"
                yield Problem(2, "hf_quant_config.json", problem, AGAIN, "warned")
            else:
                yield Problem(2, "hf_quant_config.json", problem, AGAIN)


def _short(value: Any, other: Any) -> str:
    """A value for a message; of a collection only what the other one does not have."""
    if isinstance(value, list) and isinstance(other, list):
        rest = [v for v in value if v not in other]
        return f"[… {', '.join(rest[:3])}]" if rest else "[…]"
    if isinstance(value, dict) and isinstance(other, dict):
        rest = [f"{k}: {v}" for k, v in value.items() if other.get(k) != v]
        return f"{{… {', '.join(rest[:3])}}}" if rest else "{…}"
    return str(value)


def _modelopt_findings(section: Section, quantization: Quantization, image: Image | None) -> Iterator[Problem]:
    candidates = [image] if image is not None else list(images().values())
    named = image.name if image is not None else "any image known here"
    where, algorithm, inner = section.where, quantization.algorithm, section.inner
    if algorithm is None:
        yield Problem(1, f"{where}.quant_algo", "is missing", AGAIN)
        return
    if not any(algorithm in candidate.release.algorithms for candidate in candidates):
        known = ", ".join(candidates[-1].release.algorithms)
        yield Problem(1, f"{where}.quant_algo", f"{algorithm} is not loaded by {named}; known: {known}", AGAIN)
    if quantization.weight_only and not any(candidate.release.weight_only_nvfp4 for candidate in candidates):
        problem = f"quantises no activations, but {named} reads NVFP4 with quantised activations, whatever it says"
        yield Problem(1, f"{where}.config_groups", problem, "write W4A16_NVFP4 as quant_algo, or take a newer image")
    if not quantization.is_modelopt:
        problem = f"is {section.outer.get('quant_method')!r:.60}, so vLLM does not read it as ModelOpt's"
        if quantization.method == "unknown":
            problem = f"is not written, and by its producer alone vLLM does not read {algorithm}"
        yield Problem(1, f"{where}.quant_method", problem, "write modelopt")
    excluded = inner.get(section.exclusions, [])
    if not isinstance(excluded, list):
        shown = "null" if excluded is None else f"{excluded!r:.40}"
        yield Problem(
            1, f"{where}.{section.exclusions}", f"is {shown}, on which vLLM fails", "write a list, or leave it out"
        )
    missing = [key for key in _NESTED_NVFP4 if key not in inner]
    if section.nested and "NVFP4" in algorithm and missing:
        yield Problem(1, f"{where}.{missing[0]}", "is missing, which vLLM asks for under NVFP4", AGAIN)
    uses = set(quantization.layers.values()) if algorithm == "MIXED_PRECISION" else {algorithm}
    if algorithm == "MIXED_PRECISION":
        if not quantization.layers:
            yield Problem(1, f"{where}.quantized_layers", "is missing or empty under MIXED_PRECISION", AGAIN)
        for name, used in quantization.layers.items():
            if not any(used in candidate.release.mixed for candidate in candidates):
                problem = f"{used} is not known inside MIXED_PRECISION by {named}: the layer would be taken as BF16"
                yield Problem(1, f"{where}.quantized_layers: {name}", problem, AGAIN)
    elif quantization.layers:
        yield Problem(1, f"{where}.quantized_layers", f"is there, but quant_algo is {algorithm}", AGAIN)
    if any("NVFP4" in used for used in uses) and quantization.group_size not in (16, None):
        yield Problem(1, f"{where}.group_size", f"is {quantization.group_size!r:.20}, but NVFP4 blocks are 16", AGAIN)
    yield from _kv_findings(section, quantization, candidates, named)
    yield from _group_findings(where, inner, uses)


def _kv_findings(
    section: Section, quantization: Quantization, candidates: list[Image], image_name: str
) -> Iterator[Problem]:
    """Findings about the KV cache format.

    Two parts of vLLM read it: one chooses the type, the other loads the scales.
    """
    raw = section.inner.get("kv_cache_scheme")
    where = f"{section.where}.kv_cache_scheme"
    if raw is not None and not isinstance(raw, dict | str):
        problem = f"is {raw!r:.40} and no object, so vLLM leaves the KV cache as it is"
        yield Problem(1, where, problem, "write num_bits, type and dynamic, or leave it out")
    elif isinstance(raw, dict) and quantization.kv_cache is None and raw:
        problem = f"is {raw!s:.60}, in which vLLM finds no format: it would leave the KV cache as it is"
        yield Problem(1, where, problem, "write num_bits 8, type float, dynamic false")
    elif section.nested and not isinstance(section.inner.get("kv_cache_quant_algo"), str | None):
        yield Problem(
            1, f"{section.where}.kv_cache_quant_algo", "is no string, on which vLLM fails", "write FP8 or null"
        )
    kind = quantization.kv_cache
    if kind is not None and not any(kind in candidate.release.kv_cache for candidate in candidates):
        problem = f"{kind} KV cache is not served by {image_name}"
        yield Problem(1, f"{section.where}: KV cache", problem, "use fp8 or none")


def _group_findings(where: str, section: dict[str, Any], uses: set[str]) -> Iterator[Problem]:
    groups = section.get("config_groups")
    if not isinstance(groups, dict):
        return
    bits = {4 for used in uses if "NVFP4" in used} | {8 for used in uses if used.startswith(("FP8", "MXFP8"))}
    for name, group in groups.items():
        weights = group.get("weights") if isinstance(group, dict) else None
        found = weights.get("num_bits") if isinstance(weights, dict) else None
        if bits and found not in bits:
            yield Problem(1, f"{where}.config_groups.{name}", f"says {found} bits, but quant_algo does not", AGAIN)


def is_excluded(prefix: str, patterns: tuple[str, ...]) -> bool | None:
    """Whether vLLM leaves a layer unquantised; None if vLLM fails because only some shards are listed.

    `prefix` is a plain layer name, of the fused layer if the server fuses. Follows `is_layer_excluded` and
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


def mixed_algorithm(name: str, prefix: str, layers: dict[str, str]) -> str | None:
    """The algorithm of a layer with MIXED_PRECISION, like `_resolve_quant_algo` of vLLM 0.32; None for BF16.

    `name` is the layer in the checkpoint, `prefix` the fused layer that it becomes part of, or the same. A listed name
    applies to all layers below it, an experts' module to all of its experts.
    """
    for wanted in (prefix, name):
        if wanted in layers:
            return layers[wanted]
    above, below = name, f"{prefix}."
    while "." in above:
        above = above.rpartition(".")[0]
        if above in layers:
            return layers[above]
    return next((used for listed, used in layers.items() if listed.startswith(below)), None)


def served_algorithms(view: View, layers: list[str]) -> tuple[dict[str, str | None], list[Problem]]:
    """How vLLM will read each linear layer: its algorithm, or None for BF16; and findings where vLLM would fail.

    `layers` are plain names of the layers in the checkpoint.
    """
    quantization = view.quantization
    if quantization is None or quantization.algorithm is None or not quantization.is_modelopt:
        return dict.fromkeys(layers), []
    findings: list[Problem] = []
    found: dict[str, str | None] = {}
    groups = fused_groups(layers)
    fused_of = {member: fused for fused, members in groups.items() for member in members}
    mixed = quantization.algorithm == "MIXED_PRECISION"
    whole = "W4A16_NVFP4" if quantization.weight_only else quantization.algorithm
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
        elif excluded or (_stays_plain(view, name) and not view.is_quantised(name)):
            found[name] = None
        else:
            found[name] = mixed_algorithm(name, prefix, quantization.layers) if mixed else whole
    if mixed:
        findings += _mixed_findings(quantization, groups, found, layers)
    return found, findings


def _stays_plain(view: View, name: str) -> bool:
    """Whether vLLM builds the layer without a quantisation method."""
    router = _ROUTER.search(name) is not None and view.text_config.get("model_type") not in _QUANTISED_ROUTER
    return router or _NEVER.search(name) is not None


def _mixed_findings(
    quantization: Quantization, groups: dict[str, list[str]], found: dict[str, str | None], layers: list[str]
) -> Iterator[Problem]:
    for fused, members in groups.items():
        algorithms = {found[member] for member in members}
        if len(algorithms) > 1:
            listed = ", ".join(f"{m.rpartition('.')[2]} {found[m] or 'BF16'}" for m in members)
            where = f"config.json: quantization_config.quantized_layers: {members[0]}"
            yield Problem(3, where, f"{fused} is fused, but its parts differ: {listed}", AGAIN)
    above = {
        ".".join(parts[:depth]) for name in layers for parts in [name.split(".")] for depth in range(1, len(parts))
    }
    for name in sorted(quantization.layers.keys() - set(layers) - groups.keys() - above):
        where = f"config.json: quantization_config.quantized_layers: {name}"
        problem = "there is no such layer in the weight files, so vLLM never looks this entry up"
        yield Problem(2, where, problem, "remove it, or export the missing layer", "warned")
