"""What each serving image loads: reads `images.toml` (the images) and `releases.json` (features of vLLM versions)."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from quant.errors import UsageError

FILE = Path(__file__).parent / "images.toml"
RELEASES = Path(__file__).parent / "releases.json"


@dataclass(frozen=True)
class Release:
    """What one vLLM version loads, as `requirements/vllm_releases.py` read it from its wheel.

    Attributes:
        transformers: the versions that it requires, in pip's notation.
        algorithms: ModelOpt's quant_algo values; `mixed` those inside MIXED_PRECISION (others silently stay BF16).
        methods: quant_method values of other formats.
        kv_cache: KV cache formats.
        quantized_lm_head: supports a quantised lm_head; otherwise it is read as BF16.
        tied_modelopt: loads a ModelOpt checkpoint with tied embeddings.
        weight_only_nvfp4: reads NVFP4 whose config_groups quantise no activations as W4A16_NVFP4.
        own_configs: model types whose config class is vLLM's own.
        weights_track: supports enable_weights_track.
        machines: CPU architectures with a wheel on PyPI.
    """

    transformers: str
    algorithms: tuple[str, ...]
    mixed: tuple[str, ...]
    methods: frozenset[str]
    kv_cache: tuple[str, ...]
    quantized_lm_head: bool
    tied_modelopt: bool
    weight_only_nvfp4: bool
    weights_track: bool
    own_configs: frozenset[str]
    tool_parsers: frozenset[str]
    reasoning_parsers: frozenset[str]
    architectures: frozenset[str]
    machines: tuple[str, ...]

    @property
    def transformers_4(self) -> bool:
        """Whether its transformers is older than 5, which uses other config keys."""
        return bool(re.search(r"<\s*5(\.0)*\s*(,|$)", self.transformers))

    @property
    def qwen3_5_text(self) -> bool:
        """Whether it registers the text model of Qwen3.5; otherwise a text-only model needs the vision-language
        wrapper.
        """
        return "Qwen3_5ForCausalLM" in self.architectures


@dataclass(frozen=True)
class Image:
    """One serving image; the fields are explained at the head of `images.toml`."""

    name: str
    vllm: str
    docker: str
    docker_aarch64: str
    entrypoint: str
    machines: tuple[str, ...]
    release: Release
    environment: dict[str, str] = field(default_factory=dict)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


@cache
def releases() -> dict[str, Release]:
    """All releases of `releases.json`, oldest first."""
    found = {}
    for version, entry in json.loads(RELEASES.read_text()).items():
        sets = {"methods", "own_configs", "tool_parsers", "reasoning_parsers", "architectures"}
        fields: dict[str, Any] = {
            key: frozenset(value) if key in sets else tuple(value) if isinstance(value, list) else value
            for key, value in entry.items()
        }
        found[version] = Release(**fields)
    return dict(sorted(found.items(), key=lambda item: _version(item[0])))


def release_of(version: str) -> Release:
    """The release `version`, else the next older one in `releases.json`, else the oldest."""
    known = releases()
    older = [name for name in known if _version(name) <= _version(version)]
    return known[older[-1] if older else next(iter(known))]


@cache
def images() -> dict[str, Image]:
    """All known images by name."""
    found = {}
    for name, entry in tomllib.loads(FILE.read_text()).items():
        version = str(entry["vllm"])
        release = release_of(version)
        docker = entry.get("docker", f"vllm/vllm-openai:v{version}")
        found[name] = Image(
            name=name,
            vllm=version,
            docker=docker,
            docker_aarch64=entry.get("docker_aarch64", docker if "docker" in entry else f"{docker}-aarch64"),
            entrypoint=entry.get("entrypoint", ""),
            machines=tuple(entry.get("machines", release.machines)),
            release=release,
            environment=dict(entry.get("environment", {})),
        )
    return found


def find(name: str) -> Image:
    """The image called `name`. Raises UsageError with all names if there is none."""
    try:
        return images()[name]
    except KeyError:
        raise UsageError(
            f"no image {name!r}; the images are {', '.join(images())} (you can add one to {FILE})"
        ) from None
