"""Reads the quantisation config of a checkpoint as vLLM does, from any of its places and in any of its forms.

Four places, in this order (vLLM 0.32, transformers_utils/config.py and model_arch_config_convertor.py):
`quantization_config` of config.json; hf_quant_config.json, which ModelOpt up to 0.29 wrote; `quantization_config` of
`text_config`; `compression_config`. ModelOpt's section is flat (`quant_algo`, `ignore`, `kv_cache_scheme`) or nested
(`producer`, `quantization: {quant_algo, exclude_modules, kv_cache_quant_algo}`); modelopt.py reads both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

WRAPPERS = ("model.language_model.", "language_model.model.")
#: Algorithms that vLLM accepts with `producer: modelopt` and without `quant_method`.
FP8_FAMILY = ("FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO")
BY_PRODUCER = (*FP8_FAMILY, "NVFP4")


def plain(name: str) -> str:
    """A tensor's or layer's name as in a text-only model, without the prefixes of vision-language classes."""
    for prefix in WRAPPERS:
        if name.startswith(prefix):
            return "model." + name.removeprefix(prefix)
    return name.removeprefix("language_model.") if name.startswith("language_model.lm_head") else name


@dataclass(frozen=True)
class Section:
    """One place that holds a quantisation config.

    Attributes:
        where: file and key, for findings.
        outer: the section itself, with `quant_method` or `producer`.
        inner: the part with `quant_algo`; the same as `outer` in the flat form.
        exclusions: the key of the excluded layers.
        layers_elsewhere: config.json says MIXED_PRECISION, and hf_quant_config.json lists the layers: vLLM takes the
            method from config.json and everything else from hf_quant_config.json.
    """

    where: str
    outer: dict[str, Any]
    inner: dict[str, Any]
    exclusions: Literal["ignore", "exclude_modules"]
    layers_elsewhere: bool = False

    @property
    def nested(self) -> bool:
        """Whether it has ModelOpt's older, nested form."""
        return self.inner is not self.outer

    @property
    def method(self) -> str:
        """`quant_method` as vLLM reads it; "" if there is none, "unknown" if vLLM fails on the producer."""
        producer = self.outer.get("producer")
        made_by = producer.get("name") if isinstance(producer, dict) else None
        if (
            self.nested
            and not self.layers_elsewhere
            and (made_by == "modelopt" or "modelopt_quant_config" in self.inner)
        ):
            algorithm = self.inner.get("quant_algo")
            if algorithm is not None:
                name = str(algorithm).upper()
                return "modelopt" if name in FP8_FAMILY else "modelopt_fp4" if name == "NVFP4" else "unknown"
        kind = self.outer.get("quant_method", "")
        return kind.lower().replace("compressed_tensors", "compressed-tensors") if isinstance(kind, str) else "unknown"


@dataclass(frozen=True)
class Quantization:
    """A quantisation config, normalised.

    Attributes:
        method: quant_method, see `Section.method`.
        algorithm: ModelOpt's quant_algo in capitals; W4A16_NVFP4 for NVFP4 that quantises no activations.
        excluded: patterns, as vLLM reads them.
        layers: plain layer names and their algorithms, for MIXED_PRECISION.
        kv_cache: format of the KV cache: FP8, NVFP4, another name; None if it is not quantised.
        kv_scales: whether vLLM reads the calibrated scales of the cache.
        group_size: the value, if it is an integer.
        weight_only: NVFP4 whose config_groups all say that activations are not quantised.
    """

    method: str
    algorithm: str | None
    excluded: tuple[str, ...]
    layers: dict[str, str]
    kv_cache: str | None
    kv_scales: bool
    group_size: Any
    weight_only: bool

    @property
    def is_modelopt(self) -> bool:
        """Whether vLLM reads it as a ModelOpt config: any method that begins with "modelopt"."""
        return self.method.startswith("modelopt")


def _inner(outer: dict[str, Any], where: str, exclusions: Literal["ignore", "exclude_modules"]) -> Section:
    inner = outer.get("quantization")
    if isinstance(inner, dict):
        return Section(f"{where}.quantization", outer, inner, "exclude_modules")
    return Section(where, outer, outer, exclusions)


def legacy_section(legacy: dict[str, Any] | None) -> Section | None:
    """The section of hf_quant_config.json; None if it has none."""
    if legacy is None or not isinstance(legacy.get("quantization"), dict):
        return None
    return Section("hf_quant_config.json: quantization", legacy, legacy["quantization"], "exclude_modules")


def find_section(config: dict[str, Any], legacy: dict[str, Any] | None) -> Section | None:
    """The section that vLLM uses; None for a checkpoint that is not quantised."""
    found = config.get("quantization_config")
    other = legacy_section(legacy)
    if isinstance(found, dict):
        mixed = str(found.get("quant_algo")).upper() == "MIXED_PRECISION" and "quantized_layers" not in found
        if mixed and other is not None and other.inner.get("quantized_layers"):
            return Section(other.where, found, other.inner, "exclude_modules", layers_elsewhere=True)
        return _inner(found, "config.json: quantization_config", "ignore")
    if other is not None:
        return other
    text = config.get("text_config")
    if isinstance(text, dict) and isinstance(text.get("quantization_config"), dict):
        return _inner(text["quantization_config"], "config.json: text_config.quantization_config", "ignore")
    compression = config.get("compression_config")
    if isinstance(compression, dict):
        return _inner(compression, "config.json: compression_config", "ignore")
    return None


def _kv_cache(section: Section) -> tuple[str | None, bool]:
    """Format of the KV cache, and whether its scales are read. vLLM reads the two separately; they can disagree."""
    inner, outer = section.inner, section.outer
    scheme = inner.get("kv_cache_scheme") or outer.get("kv_cache_scheme")
    named = scheme or inner.get("kv_cache_quant_algo") or outer.get("kv_cache_quant_algo")
    found: str | None = None
    older = section.nested and isinstance(inner.get("kv_cache_quant_algo"), str)
    if isinstance(named, dict):
        bits, kind = named.get("num_bits"), named.get("type")
        fp8 = bits == 8 and kind == "float"
        found = "FP8" if fp8 and named.get("dynamic") is False else "NVFP4" if bits == 4 and kind == "float" else None
        return found, older or (fp8 and not section.nested)
    if isinstance(named, str):
        found = named.upper()
    return found, older


def _group_size(inner: dict[str, Any]) -> Any:
    size = inner.get("group_size")
    groups, layers = inner.get("config_groups"), inner.get("quantized_layers")
    for entries in (groups, layers):
        if size is None and isinstance(entries, dict):
            parts = [entry for entry in entries.values() if isinstance(entry, dict)]
            parts += [part["weights"] for part in parts if isinstance(part.get("weights"), dict)]
            sizes = {str(part["group_size"]): part["group_size"] for part in parts if "group_size" in part}
            size = next(iter(sizes.values())) if len(sizes) == 1 else None
    return int(size) if isinstance(size, str) and size.strip().isdecimal() else size


def _quantises_no_activations(outer: dict[str, Any]) -> bool:
    groups = outer.get("config_groups")
    return (
        isinstance(groups, dict)
        and bool(groups)
        and all(isinstance(group, dict) and group.get("input_activations") is None for group in groups.values())
    )


def normalise(section: Section) -> Quantization:
    """Normalise a section. Values of wrong type count as absent; preflight reports them."""
    inner = section.inner
    excluded, layers = inner.get(section.exclusions), inner.get("quantized_layers")
    found: dict[str, str] = {}
    if isinstance(layers, dict):
        for name, entry in layers.items():
            algorithm = entry.get("quant_algo") if isinstance(entry, dict) else None
            found[plain(str(name))] = str(algorithm).upper()
    declared = inner.get("quant_algo")
    algorithm = str(declared).upper() if declared is not None else None
    kv_cache, kv_scales = _kv_cache(section)
    return Quantization(
        method=section.method,
        algorithm=algorithm,
        excluded=tuple(plain(str(name)) for name in excluded) if isinstance(excluded, list) else (),
        layers=found,
        kv_cache=kv_cache,
        kv_scales=kv_scales,
        group_size=_group_size(inner),
        weight_only=algorithm == "NVFP4" and _quantises_no_activations(section.outer),
    )
