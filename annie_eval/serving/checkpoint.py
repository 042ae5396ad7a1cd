"""Reads a checkpoint directory without loading it: its config, and whether its files are complete.

Only JSON and the headers of safetensors files are read, never weights, and never a pickle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.serving.tensors import check_tensors
from annie_eval.text import shortened
from annie_eval.untrusted.regular_files import is_file, read_bytes, read_header, read_object

INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "spiece.model")
_PICKLES = (".bin", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A Hugging Face checkpoint directory.

    Attributes:
        config: config.json.
        quantization: `quantization_config` of config.json, else `quantization` of hf_quant_config.json; empty if
            neither is there.
        weights: the safetensors files, sorted by name.
        input_scales: every module with a weight scale also has one for its activations (W4A4, static FP8).
    """

    path: Path
    config: Mapping[str, Any]
    quantization: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[Path, ...] = ()
    input_scales: bool = False

    @property
    def quantized(self) -> bool:
        return bool(self.quantization)

    @property
    def algorithm(self) -> str | None:
        """Name of the quantisation, such as `NVFP4`; the method's name if there is no algorithm."""
        for key in ("quant_algo", "format", "quant_method"):
            if value := self.quantization.get(key):
                return str(value)
        return None

    @property
    def max_position_embeddings(self) -> int | None:
        """Maximum context of the text model in tokens; None if config.json does not say."""
        text = self.config.get("text_config", self.config)
        most = text.get("max_position_embeddings") if isinstance(text, Mapping) else None
        return most if isinstance(most, int) and most > 0 else None

    @property
    def trackable(self) -> bool:
        """Whether vLLM's check for missing tensors can be switched on.

        The check (`enable_weights_track`, 0.32) requires every parameter of a quantised layer in the file. ModelOpt's
        layers have an input scale, which weight-only checkpoints correctly do not have: they would be refused.
        """
        return self.quantization.get("quant_method") == "modelopt" and self.input_scales

    @property
    def vision(self) -> bool:
        """Whether it is a vision-language model around the text model."""
        return "vision_config" in self.config or "text_config" in self.config


def template(path: Path) -> str | None:
    """The text of a directory's chat template, the default one where it has several; None where it has none."""
    if is_file(file := path / "chat_template.jinja"):
        return read_bytes(file).decode("utf-8", "replace")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = read_object(path / name).get("chat_template") if is_file(path / name) else None
        if isinstance(found, list):
            named = [each for each in found if isinstance(each, Mapping)]
            found = next((each.get("template") for each in named if each.get("name") == "default"), None)
        if isinstance(found, str):
            return found
    return None


def read(path: Path, arguments: Sequence[str] = ()) -> Checkpoint:
    """Read a checkpoint's description and check its files.

    Args:
        path: the directory.
        arguments: further server arguments; some (`--tokenizer`, `--chat-template`) replace a file.

    Raises:
        UsageError: it does not exist, is not a checkpoint, not safetensors, incomplete or truncated.
    """
    if not path.exists():
        raise UsageError(f"--model-dir {path}: no such directory")
    if not path.is_dir():
        raise UsageError(f"--model-dir {path}: not a directory; name the directory that holds config.json")
    config_file = path / "config.json"
    if not config_file.is_file():
        raise UsageError(f"--model-dir {path}: {_without_config(path)}")
    config = read_object(config_file)
    if not config.get("model_type") and not config.get("architectures"):
        raise UsageError(f"{config_file}: neither model_type nor architectures; not the config of a model")
    weights = _weights(path)
    tensors: dict[str, Any] = {}
    for file in weights:
        tensors.update(read_header(file)[0])
    check_tensors(path, config, tensors)
    if not any(_is_flag(a, "--tokenizer") for a in arguments) and not any(
        (path / n).is_file() for n in TOKENIZER_FILES
    ):
        raise UsageError(
            f"--model-dir {path}: no tokenizer ({', '.join(TOKENIZER_FILES[:2])}, ...); copy the base model's"
        )
    if not any(_is_flag(a, "--chat-template") for a in arguments) and not _has_template(path):
        raise UsageError(
            f"--model-dir {path}: no chat template (chat_template.jinja, or chat_template in tokenizer_config.json);"
            " copy the base model's, or pass --vllm-arg=--chat-template=FILE"
        )
    scaled = [name.removesuffix(".weight_scale") for name in tensors if name.endswith(".weight_scale")]
    input_scales = bool(scaled) and all(f"{name}.input_scale" in tensors for name in scaled)
    return Checkpoint(path, config, _quantization(path, config), weights, input_scales)


def _is_flag(argument: str, flag: str) -> bool:
    return argument == flag or argument.startswith(f"{flag}=")


def _without_config(path: Path) -> str:
    if (path / "adapter_config.json").is_file():
        return "holds a LoRA adapter alone (adapter_config.json); merge it into its base model first"
    if any(path.glob("*.gguf")):
        return "holds a GGUF file and no config.json; serve it with llama-server and name that with --base-url"
    nested = sorted(p.parent for p in path.glob("*/config.json"))
    hint = f"; did you mean {nested[0]}?" if nested else "; name the directory of a Hugging Face checkpoint"
    return f"no config.json in it{hint}"


def _weights(path: Path) -> tuple[Path, ...]:
    """The safetensors files to load. Raises UsageError if one is missing."""
    index = path / INDEX
    if index.is_file():
        shards = read_object(index).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise UsageError(f"{index}: no weight_map; copy the file again")
        names = sorted({str(name) for name in shards.values()})
        for name in names:
            shown = shortened(name, 100)
            if Path(name).name != name:
                raise UsageError(f"{index}: weight_map names {shown!r}, which is outside the directory")
            if not is_file(path / name):
                raise UsageError(f"{index}: names {shown}, which is not there; copy the whole checkpoint")
        return tuple(path / name for name in names)
    found = tuple(sorted(path.glob("*.safetensors")))
    if not found:
        pickles = sorted(p.name for p in path.iterdir() if p.suffix in _PICKLES)
        if pickles:
            raise UsageError(
                f"--model-dir {path}: weights are pickles ({pickles[0]}), which can run code when loaded;"
                " save them as safetensors"
            )
        raise UsageError(f"--model-dir {path}: no *.safetensors in it; copy the weights as well")
    return found


def _has_template(path: Path) -> bool:
    if any((path / n).is_file() for n in ("chat_template.jinja", "chat_template.json", "tekken.json")):
        return True
    if any((path / "additional_chat_templates").glob("*.jinja")):
        return True
    config = path / "tokenizer_config.json"
    return config.is_file() and bool(read_object(config).get("chat_template"))


def _quantization(path: Path, config: Mapping[str, Any]) -> Mapping[str, Any]:
    texts = [config, config.get("text_config")]
    for part in texts:
        if isinstance(part, dict) and isinstance(part.get("quantization_config"), dict):
            return dict(part["quantization_config"])
    file = path / "hf_quant_config.json"
    if file.is_file():
        quantization = read_object(file).get("quantization")
        if isinstance(quantization, dict):
            return {"quant_method": "modelopt", **quantization}
    return {}
