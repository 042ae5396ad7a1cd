"""Names the model that a snapshot belongs to, by its weights and not by its server. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

# Of a checkpoint that is served here; a server at a URL shows only the name it gives its model.
_OF_FILES = ("weights", "config", "tokenizer", "chat_template", "quantization")
_OF_SERVER = ("served_model", "root")


def identity(fingerprint: Mapping[str, Any], served_model: str) -> str:
    """A directory name: the model's name, and eight digits of a hash of what tells it from others.

    Weights, configuration, tokenizer and chat template where their files are known; else the served name and, on
    vLLM, the path that it was loaded from. Versions of the server are what may change under a snapshot.
    """
    if fingerprint.get("weights"):
        facts = {key: fingerprint.get(key) for key in _OF_FILES}
        name = re.sub(r"-[0-9a-f]{8}$", "", served_model)  # the gate makes served names unique
    else:
        facts = {key: fingerprint.get(key) for key in _OF_SERVER} | {"served_model": served_model}
        name = served_model
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name.rstrip("/").rpartition("/")[2])[:60].strip(".-") or "model"
    return f"{readable}-{digest}"
