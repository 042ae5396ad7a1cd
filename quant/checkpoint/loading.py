"""Loads a checkpoint directory as a transformers model: checked before torch is imported, without remote code."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from quant.checkpoint.atomic import INCOMPLETE
from quant.checkpoint.safetensors_file import BadFile, read_header
from quant.checkpoint.untrusted import read_json
from quant.errors import UsageError

_HUB_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")


def not_a_checkpoint(path: Path) -> str | None:
    """What is at `path` instead of a checkpoint directory, and what to do with it; None if it may be a checkpoint."""
    adapter = path / "adapter_config.json"
    if path.suffix == ".gguf" or (path.is_dir() and not (path / "config.json").exists() and any(path.glob("*.gguf"))):
        return "is a GGUF file, for llama.cpp and quantised already; give the BF16 checkpoint that it was made from"
    if adapter.is_file() and not (path / "config.json").exists():
        base = ""
        with contextlib.suppress(BadFile, AttributeError):
            base = str(read_json(adapter).get("base_model_name_or_path") or "")
        named = f", made for {base:.80}" if base else ""
        return (
            f"holds adapter_config.json, so it is an adapter (LoRA){named} and no model; merge it into its base first "
            "(peft: merge_and_unload, then save_pretrained; one of ours: `merge --model BASE --adapter DIR`)"
        )
    if path.is_dir():
        return None
    if path.is_file():
        return "is a file; give the directory that holds config.json and *.safetensors"
    if _HUB_NAME.match(str(path)):
        return (
            f"no such directory; if it is a name on the hub, fetch it first: hf download {path} --local-dir DIR, "
            "and give DIR"
        )
    return "no such directory; give one that holds config.json and *.safetensors"


def read_config(directory: Path) -> dict[str, Any]:
    """`config.json` of a checkpoint. Raises UsageError if the directory is not a checkpoint."""
    if what := not_a_checkpoint(directory):
        raise UsageError(f"{directory}: {what}")
    if (directory / INCOMPLETE).exists():
        raise UsageError(f"{directory}: holds {INCOMPLETE}, so its build never ended; make it again")
    path = directory / "config.json"
    if not path.exists():
        raise UsageError(f"{path}: missing, so {directory} is no checkpoint")
    try:
        config = read_json(path)
    except BadFile as error:
        raise UsageError(f"{path}: {error}") from None
    if not isinstance(config, dict):
        raise UsageError(f"{path}: is no JSON object")
    return config


def check_source(directory: Path) -> dict[str, Any]:
    """The config of an unquantised checkpoint. Raises UsageError for anything else."""
    config = read_config(directory)
    if "quantization_config" in config:
        raise UsageError(f"{directory}: is quantised already; give the BF16 checkpoint that it was made from")
    for path in directory.glob("*.safetensors"):
        try:
            read_header(path)
        except BadFile as error:
            raise UsageError(f"{path}: {error}; copy it again") from None
    if not any(directory.glob("*.safetensors")):
        raise UsageError(f"{directory}: holds no *.safetensors; convert the weights first (pickle files are not read)")
    return config


def load_tokenizer(directory: Path) -> Any:
    """The tokenizer beside the weights."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{directory}: its tokenizer cannot be read ({str(error).splitlines()[0]})") from error


def load_model(directory: Path, device: str, meanwhile: Callable[[], object] | None = None) -> Any:
    """The model in BF16 and evaluation mode; vision-language models with their vision tower.

    `meanwhile` is called by another thread while weights are copied to a GPU, such as an import that takes seconds.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    from quant.formats import cpu_bf16

    if device == "cpu":
        cpu_bf16.install()
    config = read_config(directory)
    architecture = (config.get("architectures") or [""])[0]
    kind = AutoModelForImageTextToText if "vision_config" in config else AutoModelForCausalLM
    try:
        model, info = kind.from_pretrained(
            directory,
            dtype=torch.bfloat16,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except RuntimeError as error:
        if "mismatched" not in str(error):
            raise
        raise UsageError(f"{directory}: its weights do not have the shapes that config.json says") from error
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"{directory}: transformers cannot load {architecture} ({str(error).splitlines()[0]})"
        ) from error
    if missing := sorted(info["missing_keys"]):
        raise UsageError(f"{directory}: config.json asks for {missing[0]}, which its weight files do not hold")
    if not device.startswith("cpu"):
        _copy_weights(model, device, meanwhile)
    return model.to(device).eval()


_PIECE = 64 << 20
"""Bytes that a thread copies at a time."""


def _copy_weights(model: Any, device: str, meanwhile: Callable[[], object] | None = None) -> None:
    """Copy the parameters to a GPU by several threads.

    They are views of files in the page cache. One thread alone waits for page faults, and the GPU's own copy from
    memory that is not pinned is slow.
    """
    import torch

    here = threading.local()
    where = torch.device(device)
    if where.type == "cuda":  # threads begin with GPU 0
        where = torch.device("cuda", torch.cuda.current_device() if where.index is None else where.index)

    def copy(parameter: Any) -> None:
        if not hasattr(here, "held"):
            if where.type == "cuda":
                torch.cuda.set_device(where)
            here.held = torch.empty(_PIECE, dtype=torch.uint8, pin_memory=where.type == "cuda")
        source = parameter.detach().contiguous()
        target = torch.empty_like(source, device=where)
        pieces = (tensor.view(-1).view(torch.uint8).split(_PIECE) for tensor in (source, target))
        for old, new in zip(*pieces, strict=True):
            new.copy_(here.held[: len(old)].copy_(old))
        parameter.data = target

    with ThreadPoolExecutor(1 + min(8, os.cpu_count() or 1)) as pool:
        other = None if meanwhile is None else pool.submit(meanwhile)
        list(pool.map(copy, (parameter for parameter in model.parameters() if parameter.numel())))
        if other is not None:
            other.result()


def device_of(model: Any) -> Any:
    """The device that a model computes on: that of its weights or, if they are in host memory, that of its hooks."""
    for module in model.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return device
    return model.device


def weight_bytes(directory: Path) -> int:
    """Bytes of a checkpoint's weights."""
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))


def size_of(directory: Path) -> str:
    """`DIR, 17.9 GB`: a checkpoint with the size of its weights, for messages."""
    return f"{directory}, {weight_bytes(directory) / 1e9:.1f} GB"


class WeightsInFiles(Mapping[str, Any]):
    """A model's parameters by name, each read from the checkpoint when it is asked for.

    Those that the files do not hold under the same name and shape, such as a tied lm_head, stay in memory.

    Attributes:
        state_dict: empty. ModelOpt writes the weights of every layer that it has seen into the attribute of this
            name, if they are in it: a second copy of the model. They have not changed.
    """

    def __init__(self, directory: Path, model: Any) -> None:
        from safetensors import safe_open

        self.state_dict: dict[str, Any] = {}
        self._paths: dict[str, Path] = {}
        parameters = dict(model.named_parameters(remove_duplicate=False))
        for path in sorted(directory.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                for name in parameters.keys() & set(file.keys()):
                    start = file.get_tensor(name)
                    if _begins_like(parameters[name], start):
                        self._paths[name] = path
        self._kept = {name: value.detach() for name, value in parameters.items() if name not in self._paths}

    def __getitem__(self, name: str) -> Any:
        from safetensors import safe_open

        if name not in self._paths:
            return self._kept[name]
        with safe_open(self._paths[name], framework="pt") as file:
            return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter((*self._paths, *self._kept))

    def __len__(self) -> int:
        return len(self._paths) + len(self._kept)


def _begins_like(loaded: Any, stored: Any) -> bool:
    """Whether a parameter was loaded from `stored` as it is: the whole would be read if more were compared."""
    import torch

    few = stored.view(-1)[:64].to(loaded.dtype)
    return loaded.shape == stored.shape and torch.equal(loaded.detach().view(-1)[:64], few)


def load_offloaded(directory: Path, device: str) -> Any:
    """The model with its weights in its files; each module's weights are copied to `device` while it computes."""
    import torch
    from accelerate import cpu_offload
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    model = load_model(directory, "cpu")
    cpu_offload(model, execution_device=torch.device(device), state_dict=WeightsInFiles(directory, model))
    for module in model.modules():  # whose weights ModelOpt's export gathers at a time
        if type(module).__name__ in (model._no_split_modules or ()) and not hasattr(module, "_hf_hook"):
            add_hook_to_module(module, AlignDevicesHook(execution_device=torch.device(device)))
    # ModelOpt's export runs two tokens through the model; by itself it would put them where the weights seem to be.
    model.get_dummy_inputs = lambda: {"input_ids": torch.ones((1, 2), dtype=torch.long, device=device)}
    return model


def hold(model: Any) -> None:
    """Undo what `load_offloaded` added: every weight is a parameter on the CPU again, and tied ones are one."""
    from accelerate.hooks import remove_hook_from_submodules

    hooked = [module for module in model.modules() if hasattr(module, "_hf_hook")]
    remove_hook_from_submodules(model)
    for module in hooked:  # whose forward accelerate leaves as an attribute, bound to the class before ModelOpt's
        vars(module).pop("forward", None)
    vars(model).pop("get_dummy_inputs", None)
    model.tie_weights()
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def head_weight(model: Any) -> Any:
    """The weight of lm_head on the device that computes, also if it is in its file."""
    head = model.get_output_embeddings()
    weight = head.weight
    return head._hf_hook.weights_map["weight"].to(device_of(model)) if weight.is_meta else weight


def free_bytes(device: str) -> int:
    """Bytes of GPU memory that this process may still allocate, under its cap if it has one."""
    import torch

    index = torch.device(device).index
    index = torch.cuda.current_device() if index is None else index
    free, total = torch.cuda.mem_get_info(index)
    held = torch.cuda.memory_allocated(index)
    cap = int(total * torch.cuda.get_per_process_memory_fraction(index))
    return min(free + torch.cuda.memory_reserved(index), cap) - held


def default_device() -> str:
    """`cuda` if there is a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
