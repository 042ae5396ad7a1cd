"""Runs a training command: from a checkpoint and conversations to a trained, exported and checked checkpoint."""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant import images, recipe
from quant.checkpoint import loading
from quant.checkpoint.atomic import check_free, check_outside
from quant.checkpoint.provenance import PROVENANCE, Provenance, describe_data
from quant.errors import UsageError
from quant.recipe import Recipe, Training
from quant.training.conversations import Example, read_conversations, render_all
from quant.training.distributed import World, join
from quant.training.state import TrainingState, directory_for

QUALITY_POSITIONS = 1024
"""Maximum number of held-out positions on which KL is measured."""


@dataclass
class Job:
    """The checked inputs of a training run."""

    arguments: argparse.Namespace
    recipe: Recipe
    training: Training
    provenance: Provenance
    examples: list[Example]
    held_out: list[Example]
    tokenizer: Any
    state: TrainingState
    device: str
    world: World

    @property
    def pad(self) -> int:
        tokenizer = self.tokenizer
        found: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
        return found


def prepare(kind: str, arguments: argparse.Namespace, teacher: Path | None = None) -> Job:
    """Read and check everything. Raises UsageError in one line."""
    chosen = recipe.load(arguments.recipe, arguments.settings)
    if chosen.training is None:
        raise UsageError(f"recipe {chosen.name}: has no training part; run it with `annie-quant ptq`")
    if arguments.micro_tokens is not None and arguments.micro_tokens < 1:
        raise UsageError(f"--micro-tokens {arguments.micro_tokens}: must be at least 1")
    loading.check_source(arguments.model)
    if teacher is not None:
        loading.check_source(teacher)
        if not chosen.training.kl:
            raise UsageError(
                f"recipe {chosen.name}: training.kl is 0, so --teacher would not be used; use a qad recipe"
            )
    check_outside(arguments.out, arguments.model)
    check_free(arguments.out)
    samples = read_conversations(arguments.data, arguments.shape)
    provenance = Provenance(kind)
    with provenance.phase("load"):
        tokenizer = loading.load_tokenizer(arguments.model)
        examples = render_all(tokenizer, samples, arguments.data, chosen.training.max_length)
    _check_context(arguments, examples)
    if teacher is not None:
        _check_teacher(arguments.model, tokenizer, teacher)
    train, held_out = split(examples, chosen.training)
    data = describe_data(arguments.data)
    provenance.record = {
        "recipe": chosen.model_dump(),
        "data": {str(arguments.data): data},
        "source": {"path": str(arguments.model)},
        "teacher": str(teacher or arguments.model) if chosen.training.kl else None,
    }
    identity = {
        "kind": kind,
        "recipe": chosen.model_dump(),
        "data": data["sha256"],
        "model": _identity(arguments.model),
        "teacher": _identity(teacher) if teacher else None,
    }
    world = join()
    device = loading.default_device()
    _check_memory(arguments.model, device)
    state = TrainingState(arguments.out, identity, resume=arguments.resume, world=world)
    provenance.record |= {"device": device, "processes": world.size}
    return Job(arguments, chosen, chosen.training, provenance, train, held_out, tokenizer, state, device, world)


def _check_memory(model: Path, device: str) -> None:
    """Raise UsageError if the weights are larger than the free GPU memory: training needs all of them there."""
    if not device.startswith("cuda"):
        return
    needed, free = loading.weight_bytes(model), loading.free_bytes(device)
    if needed > free:
        raise UsageError(
            f"{model}: {needed / 1e9:.1f} GB of weights, but the GPU has {free / 1e9:.1f} GB free, and training needs "
            "all of them there; take a larger GPU, or `annie-quant ptq`, which reads weights layer by layer"
        )


def is_done(arguments: argparse.Namespace) -> bool:
    """Whether the run to resume was killed after its result was complete, so that only its state must be removed."""
    left = directory_for(arguments.out)
    first = os.environ.get("RANK", "0") == "0"
    if not (arguments.resume and (arguments.out / PROVENANCE).exists() and (left.exists() or not first)):
        return False
    if first:
        shutil.rmtree(left, ignore_errors=True)
        print(f"{arguments.out}: is complete, nothing is left to resume")
    return True


def _check_context(arguments: argparse.Namespace, examples: Sequence[Example]) -> None:
    config = loading.read_config(arguments.model)
    limit = (config.get("text_config") or config).get("max_position_embeddings")
    longest = max(examples, key=lambda example: len(example.ids))
    if isinstance(limit, int) and len(longest.ids) > limit:
        raise UsageError(
            f"{arguments.data}:{longest.line}: {len(longest.ids)} tokens, but the model's context is {limit}; "
            "shorten it"
        )


def _check_teacher(model: Path, tokenizer: Any, teacher: Path) -> None:
    """Raise UsageError if the teacher's tokens differ from the model's: its probabilities are per token."""
    sizes = []
    for directory in (model, teacher):
        config = loading.read_config(directory)
        sizes.append((config.get("text_config") or config).get("vocab_size"))
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"--teacher {teacher}: vocab_size is {sizes[1]}, that of {model} {sizes[0]}; use a teacher of "
            "the same family"
        )
    if loading.load_tokenizer(teacher).get_vocab() != tokenizer.get_vocab():
        raise UsageError(
            f"--teacher {teacher}: its tokenizer has other tokens than that of {model}; use a teacher of "
            "the same family"
        )


def _identity(directory: Path) -> dict[str, Any]:
    """What identifies a checkpoint, without reading its weights."""
    files = sorted(path for path in directory.iterdir() if path.suffix in {".json", ".safetensors", ".jinja"})
    return {path.name: path.stat().st_size for path in files}


def split(examples: Sequence[Example], training: Training) -> tuple[list[Example], list[Example]]:
    """Training examples and held-out examples: `holdout` of them, but at most a tenth."""
    count = min(training.holdout, len(examples) // 10)
    chosen = set(random.Random(training.seed).sample(range(len(examples)), count))
    train = [example for index, example in enumerate(examples) if index not in chosen]
    return train, [examples[index] for index in sorted(chosen)] or train[:8]


def answer_logits(model: Any, examples: Sequence[Example], pad: int, limit: int = QUALITY_POSITIONS) -> list[Any]:
    """Logits at positions that predict an answer's tokens: a CPU tensor `(positions, vocabulary)` per example."""
    import torch

    from quant.training.batches import collate
    from quant.training.teacher import hidden_states

    counts: list[int] = []
    for example in examples:
        counts.append(min(sum(example.learnt), limit - sum(counts)))
    found: list[Any] = []
    head = loading.head_weight(model)
    with torch.inference_mode():
        for start in range(0, len(examples), 8):
            rows = [row for row in range(start, min(start + 8, len(examples))) if counts[row]]
            if not rows:
                break
            batch = collate(examples, rows, pad)
            hidden = hidden_states(model, batch.input_ids.to(head.device))[batch.positions.to(head.device)]
            parts = hidden.split([sum(examples[row].learnt) for row in rows])
            found += [(part[: counts[row]] @ head.T).cpu() for row, part in zip(rows, parts, strict=True)]
    return found


def load_frozen(job: Job) -> Any:
    """The model, with no trainable parameters yet; with several processes its weights stay in their files."""
    from quant.quantize.quantize import import_modelopt

    if job.world.size > 1:
        model = loading.load_offloaded(job.arguments.model, job.device)
    else:
        model = loading.load_model(job.arguments.model, job.device, import_modelopt if job.recipe.quantizes else None)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def adapt(model: Any, job: Job) -> Any:
    """Put peft's LoRA layers around the linear layers that the recipe quantises (if none: all except lm_head)."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch import nn

    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if job.recipe.quantizes:
        chosen = [name for name in names if job.recipe.format_of(name) != "bf16"]
    else:
        chosen = [name for name in names if not name.endswith("lm_head") and "visual" not in name]
    if not chosen:
        raise UsageError(
            f"recipe {job.recipe.name}: its layers match no linear layer of this model; correct its patterns"
        )
    torch.manual_seed(job.training.seed)
    config = LoraConfig(
        r=job.training.rank, lora_alpha=job.training.alpha, target_modules=chosen, bias="none", task_type="CAUSAL_LM",
        base_model_name_or_path=job.arguments.model.name,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_peft_model(model, config)


def quantize_and_adapt(model: Any, job: Job, calib: list[list[int]]) -> tuple[Any, list[Any]]:
    """Quantise a model as the recipe says and put adapters into it.

    Returns peft's model, None without adapters, and the answers of the quantised model, in process 0. With several
    processes all weights are on the CPU afterwards, and the adapters are put in last, because peft needs weights.
    """
    import torch

    from quant.quantize.quantize import quantize
    from quant.training.layers import lift_quantizers

    lora, alone = job.training.method == "lora", job.world.size == 1
    wrapped = adapt(model, job) if lora and alone else None
    quantized: list[Any] = []
    if job.recipe.quantizes:
        with job.provenance.phase("quantize", f"{job.recipe.name}, {len(calib)} samples"), torch.no_grad():
            quantize(model if wrapped is None else wrapped, job.recipe, calib, job.pad)
            quantized = answer_logits(model, job.held_out, job.pad) if job.world.first else []
    if not alone:
        loading.hold(model)
        if lora:
            wrapped = adapt(model, job)
            lift_quantizers(wrapped)
    return wrapped, quantized


def execute(job: Job, image: images.Image | None, calib: list[list[int]], teacher: Path | None) -> int:
    """Train, export and check; `image` is None for a recipe that does not quantise. Returns the exit status."""
    from quant.training import delta_net

    with job.provenance.phase("load", loading.size_of(job.arguments.model)):
        model = load_frozen(job)
    with delta_net.used(model, job.device) as rule:
        if rule is not None and job.world.first:
            print(f"DeltaNet: {rule.name} ({rule.why})", flush=True)
            job.provenance.record["delta_net"] = {"rule": rule.name, "why": rule.why}
        return _train(job, model, image, calib, teacher)


def _compiles(job: Job) -> bool:
    wanted: bool | None = job.arguments.compile
    return job.device == "cuda" and job.recipe.kv_cache == "none" if wanted is None else wanted


def _train(job: Job, model: Any, image: images.Image | None, calib: list[list[int]], teacher: Path | None) -> int:
    import torch

    from quant.export import verify
    from quant.export.adapter import FOLDER
    from quant.export.finish import finish, finish_bf16
    from quant.quantize import quality
    from quant.training import adapter, divergence
    from quant.training.layers import installed, merge_adapters
    from quant.training.loop import How, Trainer
    from quant.training.loss_plot import plot
    from quant.training.memory import MOST_TOKENS
    from quant.training.teacher import TeacherCache, ask

    provenance, training, arguments, world = job.provenance, job.training, job.arguments, job.world
    asking = f"{len(job.examples if training.kl else job.held_out):,} conversations"
    with provenance.phase("teacher", f"{asking} through {teacher or 'the model as it is'}"):
        load = loading.load_model if world.size == 1 else loading.load_offloaded
        asked = model if teacher is None else load(teacher, job.device)
        reference = answer_logits(asked, job.held_out, job.pad) if world.first else []
        cache = None
        if training.kl:
            if job.state.teacher.exists():
                cache = TeacherCache.load(job.state.teacher)
            else:
                cache = ask(
                    asked, job.examples, job.pad, training.teacher_top_k, arguments.micro_tokens or MOST_TOKENS, world
                )
                if world.first:
                    cache.save(job.state.teacher)
        del asked
    wrapped, quantized = quantize_and_adapt(model, job, calib)
    how = How(
        micro_tokens=arguments.micro_tokens,
        checkpointing=training.gradient_checkpointing
        if arguments.gradient_checkpointing is None
        else arguments.gradient_checkpointing,
        compile=_compiles(job),
        save_seconds=arguments.save_seconds,
    )
    with installed(model) as layers:
        with provenance.phase("digest", "hashes of the weights before training"):
            base = adapter.base_digests(layers) if wrapped is not None and world.first else {}
        parameters = _trainable(model, layers, training)
        student = model
        if world.size > 1:
            world.share([*model.buffers(), *(parameters.values() if training.method == "lora" else ())])
            model.to("cpu")  # so that a GPU never holds more than its shard
            student = copy.deepcopy(model) if world.first else model
        trainer = Trainer(student, parameters, job.examples, training, how, job.pad, cache, world)
        with provenance.phase("train", f"{len(trainer.steps):,} steps"):
            try:
                trainer.run(job.state)
            except (KeyboardInterrupt, MemoryError, RuntimeError):  # torch.OutOfMemoryError is a RuntimeError
                trainer.rescue(job.state)
                raise
            trainer.save(job.state)  # so that training is not lost if the export is interrupted
        if world.size > 1:
            values = trainer.values()
            world.leave()
            if not world.first:
                return 0
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(values[name])
            model.to(job.device)
        adapter.round_to_stored(layers)
        model.eval()
        with torch.no_grad(), provenance.phase("digest", "hashes of the trained weights"):
            digests = verify.digests(
                (name, layer.quantized_weight()) for name, layer in layers.items() if layer.weight_kind != "none"
            )
        reached = answer_logits(model, job.held_out, job.pad)
        divergence.check_end(parameters.values(), reached)
    history = trainer.history
    config = wrapped.peft_config["default"] if wrapped is not None else None
    if wrapped is not None:
        model = merge_adapters(wrapped, layers)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    if image is None:
        modules = dict(model.named_modules())
        digests = verify.digests((name, modules[name].weight) for name in base)
    before = quality.agreement(reference, quantized if job.recipe.quantizes else reference)
    last = answer_logits(model, job.held_out, job.pad)
    after, merged = quality.agreement(reference, last), quality.agreement(reached, last)
    _record(job, trainer, before, after, merged, how)

    def extra(directory: Path) -> None:
        if wrapped is not None or job.recipe.quantizes:
            adapter.write(directory / FOLDER, config, layers, job.recipe, digests, base)
        with (directory / "training.jsonl").open("w") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in history)
        plot(history, directory / "training.png", f"{arguments.out.name}: {job.recipe.name}")

    if image is None:
        finish_bf16(model, arguments.model, arguments.out, provenance, extra)
        checked = "BF16"
    else:
        count = finish(
            model,
            arguments.model,
            arguments.out,
            image,
            provenance,
            trained=digests,
            extra=lambda where, _: extra(where),
        )
        checked = f"for {image.name}, {count} layers equal the trained model's bit for bit"
        if moved := provenance.record.get("moved"):
            checked += f" (moved by {moved['median']:.3f} of their size, rounding included)"
    job.state.remove()
    rate = provenance.record["training"]["tokens_per_second"]
    print(
        f"{arguments.out}: {job.recipe.name}, {checked}; {len(history)} steps, {rate:,.0f} tok/s; KL to the reference "
        f"{before.kl:.4f} before, {after.kl:.4f} after, top-1 {before.top1:.1%} before, {after.top1:.1%} after, over "
        f"{after.positions} held-out tokens; {sum(provenance.seconds.values()):.0f} s"
    )
    return 0


def _trainable(model: Any, layers: Any, training: Training) -> dict[str, Any]:
    if training.method == "lora":
        found = {}
        for name, layer in layers.items():
            if layer.lora_a is not None:
                found[f"{name}.lora_a"], found[f"{name}.lora_b"] = layer.lora_a, layer.lora_b
    else:
        found = {name: p for name, p in model.named_parameters() if "visual" not in name and p.is_floating_point()}
    for parameter in found.values():
        parameter.requires_grad_(True)
    return found


def _record(job: Job, trainer: Any, before: Any, after: Any, merged: Any, how: Any) -> None:
    history = trainer.history
    tokens = [sum(trainer.lengths[row] for row in rows) for rows in trainer.steps]
    here = sum(tokens[trainer.resumed_at :])
    job.provenance.record["quality"] = {
        "before": before.as_dict(),
        "after": after.as_dict(),
        "merged": merged.as_dict(),
    }
    job.provenance.record["training"] = {
        "examples": len(job.examples),
        "held_out": len(job.held_out),
        "steps": len(history),
        "tokens": sum(tokens),
        "learnt_tokens": int(sum(row["tokens"] for row in history)),
        "tokens_per_second": round(here / max(job.provenance.seconds["train"], 1e-9), 1),
        "first_loss": history[0]["loss"],
        "last_loss": history[-1]["loss"],
        "compiled": how.compile,
        **trainer.passes.as_dict(),
        "shortages": trainer.shortages,
    }
