"""Preflight checks of the model config: architecture, lm_head, tied embeddings (points 7 and 8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from quant.checkpoint.quantization import plain
from quant.checkpoint.transformers_4 import hides_rope
from quant.checkpoint.view import AGAIN, Level, Problem, View, is_tied
from quant.images import Image, images
from quant.preflight.quantization import is_excluded

#: model_type -> its architecture, for the families whose tensors are known.
ARCHITECTURE = {
    "gemma3_text": "Gemma3ForCausalLM", "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM", "qwen3_5": "Qwen3_5ForConditionalGeneration", "qwen3_5_text": "Qwen3_5ForCausalLM",
}  # fmt: skip


_VISION = re.compile(
    r"(^|\.)(visual|vision_tower|vision_model|vision_encoder|vision_embedder|embed_vision|multi_modal_projector)\."
)


def architecture_findings(view: View, image: Image | None) -> Iterator[Problem]:
    """Findings about the architecture, tensor names of its class, lm_head and tied embeddings (points 7 and 8)."""
    config = view.config
    names = config.get("architectures")
    kind = config.get("model_type")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        yield Problem(7, "config.json: architectures", "is missing", "name the class, as in the BF16 checkpoint")
        return
    architecture = names[0]
    candidates = [image] if image is not None else list(images().values())
    if not any(architecture in candidate.release.architectures for candidate in candidates):
        image_name = image.name if image is not None else "vLLM"
        fix = "take the BF16 checkpoint's, or a newer image"
        yield Problem(7, "config.json: architectures", f"{image_name} knows no {architecture:.60}", fix)
    if not isinstance(kind, str):
        yield Problem(7, "config.json: model_type", "is missing", "take the BF16 checkpoint's")
        return
    if architecture == "Qwen3_5ForCausalLM" and image is not None and not image.release.qwen3_5_text:
        problem = f"{image.name} does not register Qwen3_5ForCausalLM"
        yield Problem(7, "config.json: architectures", problem, f"run: annie-quant export DIR --for {image.name}")
    text_only = kind == "qwen3_5_text"
    wanted = ARCHITECTURE.get(kind)
    if wanted is not None and architecture != wanted:
        problem = f"{architecture} does not go with model_type {kind}"
        yield Problem(7, "config.json: architectures", problem, f"write {wanted}, if the weights are that model's")
    elif wanted is None and (types := [t for t, a in ARCHITECTURE.items() if a == architecture]):
        problem = f"{kind!r:.60} does not go with {architecture}"
        yield Problem(7, "config.json: model_type", problem, f"write {types[0]}")
    if kind == "qwen3_5" and "text_config" not in config:
        yield Problem(7, "config.json: text_config", "is missing under model_type qwen3_5", AGAIN)
    yield from _rope_findings(config, image)
    vision = [name for name in view.tensors if _VISION.search(name)]
    if text_only and vision:
        where = f"{view.tensors[vision[0]].file}: {vision[0]}"
        yield Problem(
            7, where, "a text-only class has no vision tower: vLLM fails to load it", "remove model.visual.*"
        )
    if isinstance(config.get("vision_config"), dict) and not vision:
        level: Level = "refused" if kind in ARCHITECTURE else "warned"  # for other families the names are not known
        yield Problem(7, "config.json: vision_config", "is there, but the weights hold no vision tower", AGAIN, level)
    if kind == "qwen3_5" and vision and not isinstance(config.get("vision_config"), dict):
        where = f"{view.tensors[vision[0]].file}: {vision[0]}"
        yield Problem(7, "config.json: vision_config", f"is missing, but the weights hold {where}", AGAIN)
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


def _rope_findings(config: dict[str, Any], image: Image | None) -> Iterator[Problem]:
    """Check that rope_theta is where the image's transformers looks for it, and that two copies agree."""
    hidden = hides_rope(config)
    own = image is not None and config.get("model_type") in image.release.own_configs
    if image is not None and image.release.transformers_4 and hidden is not None and not own:
        problem = f"holds the theta, but {image.name} has transformers 4, which reads rope_theta and would take 10000"
        fix = f"run: annie-quant export DIR --for {image.name} --out NEW"
        yield Problem(7, f"config.json: {hidden}", problem, fix)
    for prefix, part in (("", config), ("text_config.", config.get("text_config"))):
        rope = part.get("rope_parameters") if isinstance(part, dict) else None
        if not isinstance(part, dict) or not isinstance(rope, dict):
            continue
        older, newer = part.get("rope_theta"), rope.get("rope_theta")
        if None not in (older, newer) and older != newer:
            problem = (
                f"is {older!r:.40}, but rope_parameters says {newer!r:.40}, and readers differ in which they take"
            )
            yield Problem(7, f"config.json: {prefix}rope_theta", problem, "write one of them")


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
    if head is not None and view.is_quantised("lm_head") and image is not None and not image.release.quantized_lm_head:
        problem = f"is quantised, but {image.name} knows no quantised lm_head and takes it for BF16"
        yield Problem(8, view.where("lm_head.weight"), problem, "leave lm_head in BF16, or take a newer image")
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
    if tied and quantization is not None and image is not None and not image.release.tied_modelopt:
        problem = f"{image.name} cannot load a ModelOpt checkpoint with tied embeddings"
        fix = f"run: annie-quant export DIR --for {image.name} --out NEW"
        yield Problem(8, "config.json: tie_word_embeddings", problem, fix)


def _equal(head: Any, embedding: Any) -> bool:
    same = head.info.dtype == embedding.info.dtype and head.info.shape == embedding.info.shape
    return bool(same and head.raw(1 << 20) == embedding.raw(1 << 20))
