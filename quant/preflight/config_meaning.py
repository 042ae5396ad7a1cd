"""Compares two config.json by meaning: settings as transformers reads them, whatever keys the files use.

transformers 4 wrote `rope_theta`, `rope_scaling`, `torch_dtype` and a `sliding_window` that `use_sliding_window`
switches off; transformers 5 writes `rope_parameters`, `dtype` and null for a window that is not used. Both are read by
the same classes, which fill in defaults. The values in these classes are compared, not the keys of the files.
"""

from __future__ import annotations

import re
from typing import Any

#: Keys whose value determines how much time or memory it takes to build a config class.
_COUNTS = re.compile(r"layer|block|depth|num_labels|n_head|experts")
_LARGEST_COUNT, _LARGEST = 10_000, 1 << 31
_ROPE_DEFAULT = "default"


def is_bounded(config: Any) -> bool:
    """Whether every integer in an untrusted config is small enough to build a config class from it."""
    if isinstance(config, list):
        return all(is_bounded(item) for item in config)
    if not isinstance(config, dict):
        return isinstance(config, float | str | bool | None) or -_LARGEST <= config <= _LARGEST
    return all(
        is_bounded(value) and not (isinstance(value, int) and value > _LARGEST_COUNT and _COUNTS.search(str(key)))
        for key, value in config.items()
    )


def meanings(first: dict[str, Any], second: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The language model's settings of two configs: with defaults, and with rope, window, dtype and ids normalised.

    If transformers does not know `model_type`, or refuses one of them, the defaults are unknown. Then only the keys
    are normalised, and settings that are in only one of the two files are left out.
    """
    known = [_by_transformers(config) if is_bounded(config) else None for config in (first, second)]
    if known[0] is not None and known[1] is not None:
        return known[0], known[1]
    one, other = _by_hand(_text(first)), _by_hand(_text(second))
    shared = one.keys() & other.keys()
    return {key: one[key] for key in shared}, {key: other[key] for key in shared}


def _text(config: dict[str, Any]) -> dict[str, Any]:
    inner = config.get("text_config")
    outer: dict[str, Any] = {key: config[key] for key in ("dtype", "torch_dtype") if key in config}
    return {**outer, **inner} if isinstance(inner, dict) else dict(config)


def _by_transformers(config: dict[str, Any]) -> dict[str, Any] | None:
    import logging

    from transformers import CONFIG_MAPPING

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        return None
    content = {key: value for key, value in config.items() if key not in {"auto_map", "quantization_config"}}
    logging.disable(logging.WARNING)
    try:
        whole = CONFIG_MAPPING[kind].from_dict(content)
        found: dict[str, Any] = whole.get_text_config().to_dict()
        dtype = found.get("dtype") or whole.to_dict().get("dtype")
    except Exception:  # config classes can raise anything, and the config is untrusted
        return None
    finally:
        logging.disable(logging.NOTSET)
    # A class keeps keys that it does not know, such as those of the other version.
    return {**_by_hand(found), "dtype": None if dtype is None else str(dtype)}


def _by_hand(config: dict[str, Any]) -> dict[str, Any]:
    theta, scaling = config.pop("rope_theta", None), config.pop("rope_scaling", None)
    rope = config.get("rope_parameters")
    if not isinstance(rope, dict):
        rope = dict(scaling) if isinstance(scaling, dict) else {}
        if theta is not None:
            rope["rope_theta"] = theta
    if not any(isinstance(value, dict) for value in rope.values()):  # one set of values for all kinds of layers
        rope = {"rope_type": rope.get("type", _ROPE_DEFAULT), **rope}
        rope.pop("type", None)
    config["rope_parameters"] = rope
    if config.get("use_sliding_window") is False:
        config["sliding_window"] = None
    if "torch_dtype" in config:
        config.setdefault("dtype", config.pop("torch_dtype"))
    for key in ("eos_token_id", "bos_token_id", "pad_token_id"):
        if isinstance(config.get(key), list) and len(config[key]) == 1:
            config[key] = config[key][0]
    return config
