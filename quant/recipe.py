"""Reads recipes: flat TOML files that say how a checkpoint is made. Their first line is the command that runs them.

    name         as in `--recipe NAME`; equal to the file's name
    summary      one line for `recipes`
    layers       [[pattern, format], …] over module names, shell-style, anchored at the end; the last match decides
    algorithm    how NVFP4 weights are computed: "max", "mse", "four_over_six", "local_hessian", "gptq" or "awq_lite"
    activations  how the scales of NVFP4 activations are computed: "max", "headroom" or "constant" (always 1)
    kv_cache     "none" or "fp8"
    image        the serving image that the export is made for
    calibration  {samples, max_length, batch_size}
    training     only in QAT and QAD recipes, see `Training`

Formats: `nvfp4` (4-bit weights and activations), `nvfp4-w4a16` (4-bit weights), `fp8` (E4M3 per tensor, weights and
activations), `bf16` (not quantised).
"""

import difflib
import fnmatch
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quant import images
from quant.errors import UsageError

Format = Literal["nvfp4", "nvfp4-w4a16", "fp8", "bf16"]
RECIPES = Path(__file__).parent / "recipes"

#: Algorithms whose result follows from the weights and their amax: training can start from it, and `merge` repeat it.
REPEATABLE = ("max", "mse", "four_over_six")
TAKE = "max, mse or four_over_six"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Calibration(_Strict):
    """How much of the data file is run through the model to compute activation scales."""

    samples: int = Field(default=64, ge=1)
    max_length: int = Field(default=512, ge=1)
    batch_size: int = Field(default=8, ge=1)


class Training(_Strict):
    """Settings of a QAT or QAD run. The loss is `ce` x cross-entropy + `kl` x KL divergence from the BF16 teacher."""

    method: Literal["lora", "full"]
    ce: float = Field(ge=0)
    kl: float = Field(ge=0)
    learning_rate: float = Field(gt=0, lt=0.01)
    epochs: float = Field(default=1, gt=0)
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the optimiser steps")
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    batch_tokens: int = Field(default=16384, ge=1, description="tokens per optimiser step, padding included")
    max_length: int = Field(default=2048, ge=16)
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32, gt=0)
    teacher_top_k: int = Field(default=128, ge=1, description="most likely tokens of the teacher stored per position")
    holdout: int = Field(default=32, ge=0, description="conversations held out to measure KL")
    gradient_checkpointing: bool | None = Field(default=None, description="unset: only if memory is too small")
    seed: int = 0


class Recipe(_Strict):
    """One recipe file, checked. See the module's docstring for the fields."""

    name: str
    summary: str
    layers: list[list[str]] = Field(min_length=1)
    algorithm: Literal["max", "mse", "four_over_six", "local_hessian", "gptq", "awq_lite"] = "max"
    activations: Literal["max", "headroom", "constant"] = "max"
    kv_cache: Literal["none", "fp8"] = "none"
    image: str = "vllm-0.32"
    calibration: Calibration = Calibration()
    training: Training | None = None

    @property
    def quantizes(self) -> bool:
        """Whether anything is quantised at all; a recipe that only fine-tunes does not."""
        return any(rule[1] != "bf16" for rule in self.layers) or self.kv_cache != "none"

    @property
    def search(self) -> Literal["mse", "four_over_six"] | None:
        """The search of the block scales of NVFP4 weights; None if they are not searched."""
        if self.algorithm == "mse":
            return "mse"
        return "four_over_six" if self.algorithm == "four_over_six" else None

    def format_of(self, module: str) -> Format:
        """The format of the linear layer `module`: that of the last pattern that matches its name."""
        found: str = "bf16"
        for pattern, fmt in self.layers:
            if fnmatch.fnmatchcase(module, f"*{pattern}"):
                found = fmt
        return found  # type: ignore[return-value]  # checked in load


def available() -> dict[str, Path]:
    """Names and files of the recipes that ship with the package."""
    return {path.stem: path for path in sorted(RECIPES.glob("*.toml"))}


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"]
    if first["type"] == "extra_forbidden":
        message = "no such field; remove it or correct its spelling"
    elif first["type"] == "missing":
        message = "missing; add it"
    more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    return f"{where}: {message}{more}"


def path_of(name: str) -> Path:
    """The file of a recipe given by name, or by path when it ends with `.toml`."""
    shipped = available()
    path = Path(name) if name.endswith(".toml") else shipped.get(name)
    if path is None:
        near = difflib.get_close_matches(name, shipped, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"no recipe {name!r}; {meant}there are {', '.join(shipped)}, or give the path of a .toml file"
        )
    return path


def _override(content: dict[str, Any], setting: str) -> None:
    """Apply `training.learning_rate=1e-4`; the value is TOML."""
    key, equals, value = setting.partition("=")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        equals = ""
    if not equals or not key:
        raise UsageError(f"--set {setting}: write KEY=VALUE with a TOML value, such as training.learning_rate=1e-4")
    *parents, last = key.strip().split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise UsageError(f"--set {setting}: {parent} has no fields")
    content[last] = parsed


def load(name: str, settings: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe, see `path_of`, with `KEY=VALUE` settings applied. Raises UsageError in one line."""
    path = path_of(name)
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"recipe {path}: no such file; `annie-quant recipes` lists what there is") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"recipe {path}: {error}") from error
    for setting in settings:
        _override(content, setting)
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"recipe {path}: {_one_line(error)}") from error
    formats = Format.__args__  # type: ignore[attr-defined]
    for index, rule in enumerate(recipe.layers):
        if len(rule) != 2:
            raise UsageError(f"recipe {path}: layers.{index}: write it as [pattern, format]")
        if rule[1] not in formats:
            raise UsageError(f"recipe {path}: layers.{index}: no format {rule[1]!r}; take one of {', '.join(formats)}")
    if recipe.image not in images.images():
        known = ", ".join(images.images())
        raise UsageError(f"recipe {path}: image: no image {recipe.image!r}; take one of {known}")
    if not recipe.quantizes and recipe.training is None:
        raise UsageError(f"recipe {path}: layers: every format is bf16, so there is nothing to quantise")
    if recipe.training is not None and recipe.training.ce == recipe.training.kl == 0:
        raise UsageError(f"recipe {path}: training: ce and kl are both 0, so there is no loss; set one of them")
    if recipe.algorithm == "awq_lite" and recipe.activations != "max":
        raise UsageError(f"recipe {path}: activations: {recipe.activations} does not go with awq_lite; take max")
    formats_in_use = {rule[1] for rule in recipe.layers}
    if recipe.activations != "max" and "nvfp4" not in formats_in_use:
        raise UsageError(f"recipe {path}: activations: {recipe.activations}, but no layer is nvfp4; take max")
    if recipe.algorithm != "max" and not formats_in_use & {"nvfp4", "nvfp4-w4a16"}:
        raise UsageError(f"recipe {path}: algorithm: {recipe.algorithm}, but no layer has NVFP4 weights; take max")
    if recipe.training is not None and recipe.algorithm not in REPEATABLE:
        raise UsageError(f"recipe {path}: algorithm: {recipe.algorithm} cannot be trained; take {TAKE}")
    return recipe
