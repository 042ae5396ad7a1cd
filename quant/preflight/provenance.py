"""Preflight checks against the provenance: what was lost or changed since the checkpoint was written (points 2, 9)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quant.checkpoint.digests import is_scale, json_digest, tensor_digest
from quant.checkpoint.provenance import PROVENANCE
from quant.checkpoint.quantization import plain
from quant.checkpoint.untrusted import digest
from quant.checkpoint.view import Problem, View

#: JSON files that change what a server does with the checkpoint.
COMPANIONS = {
    "added_tokens.json", "chat_template.json", "generation_config.json", "hf_quant_config.json",
    "preprocessor_config.json", "processor_config.json", "special_tokens_map.json", "tokenizer_config.json",
    "video_preprocessor_config.json",
}  # fmt: skip
AGAIN = "copy or export the checkpoint again"


def provenance_findings(ours: View, provenance: dict[str, Any]) -> Iterator[Problem]:
    """Findings about changes since the checkpoint was written: single tensors, and the content of other files.

    Weight files may be saved again and JSON may be reformatted: only their content is compared.
    """
    tensors = provenance.get("tensors")
    if isinstance(tensors, dict):
        for name, written in tensors.items():
            tensor = ours.tensors.get(name)
            if tensor is None:
                yield Problem(2, ours.where(plain(name)), f"was written ({PROVENANCE}), but is gone", AGAIN)
            elif tensor_digest(tensor, complete=is_scale(name)) != written:
                yield Problem(2, f"{tensor.file}: {name}", f"is not what was written ({PROVENANCE})", AGAIN)
        for name in ours.tensors.keys() - tensors.keys():
            yield Problem(2, f"{ours.tensors[name].file}: {name}", f"was never written ({PROVENANCE})", AGAIN)
    files = provenance.get("files")
    if isinstance(files, dict):
        here = {path.name for path in ours.directory.glob("*.json")} & COMPANIONS
        here |= {str(path.relative_to(ours.directory)) for path in ours.directory.rglob("*.jinja")}
        for name in sorted(here - files.keys()):
            yield Problem(9, name, f"was never written ({PROVENANCE})", "remove it")
    for name, entry in (files if isinstance(files, dict) else {}).items():
        if name.endswith((".safetensors", ".md", ".png", ".csv")) or not isinstance(entry, dict):
            continue
        path = ours.directory / name
        if not path.is_file():
            yield Problem(9, name, f"was written ({PROVENANCE}), but is gone", AGAIN)
        elif path.suffix == ".json" and "json_sha256" in entry:
            if json_digest(path) != entry["json_sha256"]:
                yield Problem(9, name, f"says something else than when it was written ({PROVENANCE})", AGAIN)
        elif digest(path) != entry.get("sha256"):
            yield Problem(9, name, f"is not what was written ({PROVENANCE})", AGAIN)
