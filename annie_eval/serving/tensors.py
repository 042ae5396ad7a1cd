"""Checks that a checkpoint has the tensors of its config, by name and shape, from the file headers.

vLLM (0.32) serves an unquantised checkpoint that lacks a layer's weight, or whose weights are larger than its config
says. It prints no warning, and the model answers with garbage. The same is true without `lm_head.weight` if
embeddings are not tied, and for a quantised checkpoint with a missing scale, unless the server's check is switched on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError

_LAYER = re.compile(r"(.*?\blayers)\.(\d{1,6})\.(.+)\.([^.]+)$")
_FLOATS = ("BF16", "F16", "F32")


def check_tensors(path: Path, config: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Compare the headers of all weight files with the config.

    Args:
        tensors: name -> header entry (`dtype`, `shape`).

    Raises:
        UsageError: a tensor is missing, or has another shape than the config gives.
    """
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    assert isinstance(text, Mapping)
    tied = [part["tie_word_embeddings"] for part in (config, text) if "tie_word_embeddings" in part]
    embeddings = [name for name in tensors if name.endswith("embed_tokens.weight")]
    if tied and not any(tied) and embeddings and not any(name.endswith("lm_head.weight") for name in tensors):
        raise UsageError(
            f"--model-dir {path}: no lm_head.weight, but config.json says tie_word_embeddings: false; it would be"
            " served with a random head; export it again, or set tie_word_embeddings: true if they were tied"
        )
    _check_layers(path, text, tensors)
    for axis, key in enumerate(("hidden_size", "intermediate_size")):
        _check_shape(path, text, tensors, "layers.0.mlp.down_proj.weight", axis, key)


def _check_layers(path: Path, text: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    stacks: dict[str, dict[int, dict[str, set[str]]]] = {}
    for name in tensors:
        if match := _LAYER.match(name):
            modules = stacks.setdefault(match[1], {}).setdefault(int(match[2]), {})
            modules.setdefault(match[3], set()).add(match[4])
    stack = next((s for s in stacks if s in ("model.layers", "model.language_model.layers")), None)
    if stack is None:
        return
    layers = dict(sorted(stacks[stack].items()))
    wanted = text.get("num_hidden_layers")
    gone = next((n for n in range(wanted) if n not in layers), None) if isinstance(wanted, int) else None
    if gone is not None:
        raise UsageError(
            f"--model-dir {path}: no weights for layer {gone}, but config.json says num_hidden_layers: {wanted};"
            " copy the whole checkpoint"
        )
    # Kinds of layers differ (attention, DeltaNet, experts), but all layers of one kind have the same modules.
    if odd := _lacking({number: frozenset(modules) for number, modules in layers.items()}):
        number, lost = odd
        raise UsageError(
            f"--model-dir {path}: {stack}.{number}.{lost} is missing, which the other layers have; it would be"
            " served with random weights; copy or export it again"
        )
    for module in sorted({module for modules in layers.values() for module in modules}):
        parts = {n: frozenset(modules[module]) for n, modules in layers.items() if module in modules}
        odd = _lacking({n: found for n, found in parts.items() if any("scale" in part for part in found)})
        if odd and odd[1].startswith("weight_scale"):
            number, lost = odd
            raise UsageError(
                f"--model-dir {path}: {stack}.{number}.{module}.{lost} is missing, which the other layers have; it"
                " would be served with a wrong scale; export it again"
            )


def _lacking(sets: Mapping[int, frozenset[str]]) -> tuple[int, str] | None:
    """The layer that lacks something that several layers of its kind have, and what it lacks."""
    kinds = Counter(sets.values())
    for number, found in sets.items():
        whole = [kind for kind, count in kinds.items() if count > 1 and kind > found]
        if kinds[found] == 1 and whole:
            return number, min(min(whole, key=len) - found)
    return None


def _check_shape(
    path: Path, text: Mapping[str, Any], tensors: Mapping[str, Any], end: str, axis: int, key: str
) -> None:
    size = text.get(key)
    for name, entry in tensors.items():
        if "visual" in name or not name.endswith(end) or entry.get("dtype") not in _FLOATS:
            continue  # packed weights have other shapes
        shape = entry.get("shape")
        if isinstance(size, int) and isinstance(shape, list) and len(shape) == 2 and shape[axis] != size:
            raise UsageError(
                f"--model-dir {path}: {name} has shape {shape}, but config.json says {key}: {size}; it would be cut to"
                " fit; the config belongs to another model"
            )
