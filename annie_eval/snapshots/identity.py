"""Names the model of a snapshot by its weights, not by its server. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

# For a checkpoint that is served here. For a server at a URL only the served name is known.
_OF_FILES = ("weights", "config", "tokenizer", "chat_template", "quantization")
_OF_SERVER = ("served_model", "root")


def identity(fingerprint: Mapping[str, Any], served_model: str) -> str:
    """A directory name: the model's name, and eight digits of a hash that identifies the model.

    The hash is over weights, configuration, tokenizer and chat template, if the files are known; else over the served
    name and, with vLLM, the path that it was loaded from. Server versions are not included: they may change.
    """
    if fingerprint.get("weights"):
        facts = {key: fingerprint.get(key) for key in _OF_FILES}
        # remove the suffix with which the gate makes served names unique
        name = re.sub(r"-[0-9a-f]{8}$", "", served_model)
    else:
        facts = {key: fingerprint.get(key) for key in _OF_SERVER} | {"served_model": served_model}
        name = served_model
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name.rstrip("/").rpartition("/")[2])[:60].strip(".-") or "model"
    return f"{readable}-{digest}"
