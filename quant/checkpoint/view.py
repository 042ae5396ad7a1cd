"""A checkpoint as preflight reads it: configs, tokenizer files and tensor headers; weights only on demand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quant.checkpoint import untrusted
from quant.checkpoint.quantization import WRAPPERS, Quantization, Section, find_section, normalise, plain
from quant.checkpoint.safetensors_file import BadFile, TensorInfo, read_header, read_raw, to_float

INDEX = "model.safetensors.index.json"
#: Model types whose config class ties lm_head to the embedding by default (transformers 5).
TIED_BY_DEFAULT = {
    "bloom", "cohere", "cohere2", "cohere2_moe", "ernie4_5", "ernie4_5_moe", "falcon", "falcon_mamba", "gemma",
    "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "gemma4", "gemma4_text", "gpt2", "gpt_bigcode",
    "gpt_neo",
    "granite_swa", "jetmoe", "lfm2", "lfm2_moe", "mamba", "minicpm3", "mpt", "opt", "recurrent_gemma", "smollm3",
    "starcoder2", "vaultgemma", "xglm", "zamba", "zamba2",
}  # fmt: skip
#: Model types whose norms multiply by 1 + weight, so that a weight of zeros is valid.
_CENTRED_NORMS = {
    "gemma", "gemma2", "gemma3", "gemma3_text", "paligemma", "qwen3_next", "recurrent_gemma", "vaultgemma",
}  # fmt: skip


Level = Literal["refused", "warned"]


AGAIN = "export the checkpoint again"  # the fix of several problems


@dataclass(frozen=True)
class Problem:
    """A reason not to serve the checkpoint: which of the ten checks, where, what, and the fix.

    Attributes:
        level: "warned" if a server would load it and compute correctly, but something is not as it should be.
        layers: number of layers with the same problem; `where` is the first of them.
    """

    point: int
    where: str
    problem: str
    fix: str
    level: Level = "refused"
    layers: int = 1

    def __str__(self) -> str:
        more = f" (the same in {self.layers} layers)" if self.layers > 1 else ""
        text = f"{self.where:.500}: {self.problem:.500}{more}; {self.fix:.500}"
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)  # names are input


def is_tied(config: dict[str, Any]) -> bool:
    """Whether lm_head shares the embedding's weight, by the config or by the model type's default."""
    inner = config.get("text_config")
    parts = (config, inner if isinstance(inner, dict) else {})
    tied = next((part["tie_word_embeddings"] for part in parts if part.get("tie_word_embeddings") is not None), None)
    return bool(tied) if tied is not None else any(part.get("model_type") in TIED_BY_DEFAULT for part in parts)


def has_centred_norms(config: dict[str, Any]) -> bool:
    """Whether the model's norms multiply by 1 + weight."""
    kind = str(config.get("model_type"))
    return kind in _CENTRED_NORMS or kind.startswith("qwen3_5")


@dataclass(frozen=True)
class Tensor:
    """A tensor's file and header entry."""

    path: Path
    info: TensorInfo

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.path.name

    def raw(self, limit: int | None = None) -> bytes:
        """Its bytes, the first `limit` of them."""
        return read_raw(self.path, self.info, limit)

    def floats(self) -> NDArray[np.float32]:
        """All values as float32, flat."""
        return to_float(self.raw(), self.info.dtype)


@dataclass
class View:
    """One checkpoint directory. `tensors` is keyed by the name in the file; `config` is the parsed config.json."""

    directory: Path
    config: dict[str, Any] = field(default_factory=dict)
    legacy: dict[str, Any] | None = None
    index: dict[str, str] | None = None
    tensors: dict[str, Tensor] = field(default_factory=dict)
    bad_files: dict[str, str] = field(default_factory=dict)
    duplicates: dict[str, tuple[str, str]] = field(default_factory=dict)
    weight_files: list[str] = field(default_factory=list)
    changed_norms: set[str] = field(default_factory=set)  # those that differ from the reference's

    @cached_property
    def text_config(self) -> dict[str, Any]:
        """The language model's part of the config."""
        inner = self.config.get("text_config")
        return inner if isinstance(inner, dict) else self.config

    @cached_property
    def by_plain_name(self) -> dict[str, str]:
        """Plain tensor name -> name in the file."""
        return {plain(name): name for name in self.tensors}

    def get(self, plain_name: str) -> Tensor | None:
        """A tensor by plain name."""
        name = self.by_plain_name.get(plain_name)
        return None if name is None else self.tensors[name]

    def is_quantised(self, layer: str) -> bool:
        """Whether a layer, by plain name, holds packed or 8-bit weights."""
        weight = self.get(f"{layer}.weight")
        return weight is not None and weight.info.dtype in {"U8", "I8", "F8_E4M3"}

    def where(self, plain_name: str) -> str:
        """`file: tensor` for a finding; for a missing tensor, the file that the index names or that has its
        neighbours.
        """
        name = self.by_plain_name.get(plain_name)
        if name is not None:
            return f"{self.tensors[name].file}: {name}"
        for listed, file in (self.index or {}).items():
            if plain(listed) == plain_name:
                return f"{file}: {listed}"
        near, parent = None, plain_name
        while near is None and "." in parent:
            parent = parent.rpartition(".")[0]
            near = next((n for p, n in self.by_plain_name.items() if p.startswith(f"{parent}.")), None)
        if near is None:
            return f"{self.weight_files[0] if self.weight_files else INDEX}: {plain_name}"
        wrapper = next((w for w in WRAPPERS if near.startswith(w)), "model.")
        return f"{self.tensors[near].file}: {plain_name.replace('model.', wrapper, 1)}"

    @cached_property
    def section(self) -> Section | None:
        """The quantisation config that vLLM uses, as it is in its file."""
        return find_section(self.config, self.legacy)

    @cached_property
    def quantization(self) -> Quantization | None:
        """The same, normalised; None for a checkpoint that is not quantised."""
        return None if self.section is None else normalise(self.section)


def read_json(path: Path) -> Any:
    """A JSON file. Raises BadFile for what is none, too large, holds NaN, or names a key twice."""
    large = path.name in {"tokenizer.json", INDEX}
    most = untrusted.LARGEST_COMPANION if large else untrusted.LARGEST_JSON
    hook = None if path.name == "tokenizer.json" else _unique
    return untrusted.read_json(path, most, constant=_constant, pairs=hook)


def _constant(literal: str) -> float:
    if literal == "NaN":
        raise BadFile("holds NaN, which is no number")
    return float(literal)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise BadFile(f"names {twice} twice, and readers differ in which they take")
    return found


def view(directory: Path) -> tuple[View, list[Problem]]:
    """Read the directory's configs and headers. The returned findings are about files that cannot be read."""
    found = View(directory)
    findings: list[Problem] = []
    for name, required in (("config.json", True), ("hf_quant_config.json", False), (INDEX, False)):
        path = directory / name
        if not path.exists():
            if required:
                findings.append(Problem(1, name, "is missing", "export the checkpoint again"))
            continue
        try:
            content = read_json(path)
            if not isinstance(content, dict):
                raise BadFile("is no JSON object")
            if name == INDEX and not isinstance(content.get("weight_map"), dict):
                raise BadFile("holds no weight_map")
        except BadFile as error:
            findings.append(Problem(1, name, str(error), "copy or export it again"))
            continue
        if name == "config.json":
            found.config = content
        elif name == INDEX:
            found.index = {str(tensor): str(file) for tensor, file in content["weight_map"].items()}
        else:
            found.legacy = content
    for path in sorted(directory.glob("*.safetensors")):
        found.weight_files.append(path.name)
        try:
            header = read_header(path)
        except (BadFile, OSError) as error:
            found.bad_files[path.name] = str(error)
            continue
        for name, info in header.tensors.items():
            if name in found.tensors:
                found.duplicates[name] = (found.tensors[name].file, path.name)
            found.tensors[name] = Tensor(path, info)
    return found, findings
