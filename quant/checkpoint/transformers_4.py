"""Converts config and tokenizer settings to the keys of transformers 4, for images with an older vLLM.

transformers 5 writes `rope_parameters`, where 4 looks for `rope_theta`, `rope_scaling`, `partial_rotary_factor` and
`rope_local_base_freq` and uses the default theta of 10000 if it is missing; `dtype` for `torch_dtype`; the class
`TokenizersBackend` for `PreTrainedTokenizerFast`; a list of `extra_special_tokens`, for which 4 needs a dictionary.
"""

from __future__ import annotations

from typing import Any

TOKENIZER_CLASS = "PreTrainedTokenizerFast"


def hides_rope(config: dict[str, Any]) -> str | None:
    """The key in which only transformers 5 finds rope_theta; None if transformers 4 finds it, too."""
    for prefix, part in (("", config), ("text_config.", config.get("text_config"))):
        rope = part.get("rope_parameters") if isinstance(part, dict) else None
        if isinstance(part, dict) and isinstance(rope, dict) and rope and part.get("rope_theta") is None:
            return f"{prefix}rope_parameters"
    return None


def older_config(config: dict[str, Any]) -> dict[str, Any]:
    """config.json as transformers 4 would have written it."""
    found = _older(config)
    if isinstance(config.get("text_config"), dict):
        found["text_config"] = _older(config["text_config"])
    return found


def _older(part: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in part.items() if key not in {"rope_parameters", "dtype"}}
    if "dtype" in part:
        found.setdefault("torch_dtype", part["dtype"])
    rope = part.get("rope_parameters")
    if not isinstance(rope, dict) or not rope:
        return found
    kinds = {kind: entry for kind, entry in rope.items() if isinstance(entry, dict)}
    full = kinds.get("full_attention", next(iter(kinds.values()))) if kinds else rope
    scaling = {key: value for key, value in full.items() if key not in {"rope_theta", "partial_rotary_factor"}}
    found["rope_theta"] = full.get("rope_theta", 10000.0)
    found["rope_scaling"] = None if scaling in ({}, {"rope_type": "default"}) else scaling
    if "partial_rotary_factor" in full:
        found["partial_rotary_factor"] = full["partial_rotary_factor"]
    if "rope_theta" in kinds.get("sliding_attention", {}):
        found["rope_local_base_freq"] = kinds["sliding_attention"]["rope_theta"]
    return found


def older_tokenizer(settings: dict[str, Any]) -> dict[str, Any]:
    """tokenizer_config.json as transformers 4 would have written it."""
    found = {key: value for key, value in settings.items() if key not in {"backend", "is_local"}}
    if found.get("tokenizer_class") == "TokenizersBackend":
        found["tokenizer_class"] = TOKENIZER_CLASS
    extra = found.get("extra_special_tokens")
    if isinstance(extra, list):
        del found["extra_special_tokens"]
        found["additional_special_tokens"] = [*(found.get("additional_special_tokens") or []), *extra]
    return found
