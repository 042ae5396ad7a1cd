"""The training loop: AdamW on FP32 parameters, warm-up and cosine schedule, gradient accumulation, resumable."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from quant.checkpoint.loading import free_bytes
from quant.quantize.progress import ProgressBar
from quant.recipe import Training
from quant.training import divergence, interrupts
from quant.training.batches import Batch, collate, nothing, padded, plan, shares
from quant.training.conversations import Example
from quant.training.distributed import World, part_of, shard, unsharded
from quant.training.layers import TrainedLinear, share_inputs
from quant.training.losses import TeacherTargets, head_loss
from quant.training.memory import MOST_TOKENS, Passes, choose, smaller
from quant.training.stacked import Stacked
from quant.training.state import TrainingState
from quant.training.teacher import TeacherCache, hidden_states


@dataclass(frozen=True)
class How:
    """Settings of memory and speed, which change the result only by rounding.

    Attributes:
        micro_tokens: padded tokens per forward pass; larger batches are accumulated. None: as many as fit.
        checkpointing: gradient checkpointing. None: if memory needs it.
        compile: compile the decoder layers.
        save_seconds: time between two saved states.
        stacked: merge and quantise weights with adapters once per step, many at a time; only with one process.
            False: layer by layer, at every use.
        traced: compiled layers launch the kernel that quantises inputs; only with one process.
            False: an opaque call.
    """

    micro_tokens: int | None = None
    checkpointing: bool | None = None
    compile: bool = False
    save_seconds: float = 300.0
    stacked: bool = True
    traced: bool = True


class Masters:
    """FP32 master copies of BF16 parameters, which the optimiser updates; FP32 parameters are their own masters."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        self.models = parameters
        self.masters = {
            name: p if p.dtype == torch.float32 else nn.Parameter(p.detach().float()) for name, p in parameters.items()
        }

    def take_gradients(self) -> None:
        """Move gradients from the model's parameters to the masters."""
        for name, master in self.masters.items():
            model = self.models[name]
            if master is not model and model.grad is not None:
                master.grad = model.grad.float()
                model.grad = None

    @torch.no_grad()
    def give_weights(self) -> None:
        """Round the masters and write them into the model."""
        for name, master in self.masters.items():
            if master is not self.models[name]:
                self.models[name].copy_(master)

    @torch.no_grad()
    def load(self, values: dict[str, Tensor]) -> None:
        """Set the masters and the model to `values`."""
        for name, master in self.masters.items():
            master.copy_(part_of(values[name], master))
        self.give_weights()


def schedule(examples: Sequence[Example], training: Training) -> list[list[int]]:
    """Rows of every optimiser step of the run, over all epochs; the last epoch may be partial."""
    lengths = [len(example.ids) for example in examples]
    steps: list[list[int]] = []
    for epoch in range(math.ceil(training.epochs)):
        batches = plan(lengths, training.batch_tokens, training.seed * 1000 + epoch)
        part = min(1.0, training.epochs - epoch)
        steps += batches[: max(1, round(len(batches) * part))]
    return steps


def rate_at(step: int, steps: int, training: Training) -> float:
    """Learning rate of a step: linear warm-up, then half a cosine down to 0."""
    warm = math.ceil(training.warmup * steps)
    if step < warm:
        return training.learning_rate * (step + 1) / warm
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


@contextmanager
def compiled(layers: Sequence[nn.Module], wanted: bool) -> Iterator[None]:
    """Compile the decoder layers, with the same code for all of them."""
    if not wanted:
        yield
        return
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, 64)
    for layer in layers:
        layer.compile(dynamic=True)  # the number of rows and the length change with every pass
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None


def _wants_gradient(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return output if output.requires_grad or not torch.is_grad_enabled() else output.requires_grad_()


def decoder_layers(model: Any) -> list[nn.Module]:
    """The decoder layers of a text model, or of the text part of a vision model."""
    inner = model.model
    inner = getattr(inner, "language_model", inner)
    return list(inner.layers)


class Objective(nn.Module):
    """Computes the loss from token ids, as one module, so that FSDP2 gathers lm_head for the loss as for a layer."""

    def __init__(self, model: Any, training: Training) -> None:
        super().__init__()
        self.model, self.training_recipe = model, training

    def forward(self, batch: Batch, device: torch.device, teacher: TeacherTargets | None, count: float) -> Any:
        """Loss over `count` positions, and the sums of cross-entropy and KL."""
        batch = batch.to(device)  # copied first: a copy after the forward pass would make the host wait for it
        hidden = hidden_states(self.model, batch.input_ids)
        return head_loss(
            hidden[batch.positions],
            self.model.get_output_embeddings().weight,
            batch.targets,
            teacher,
            ce=self.training_recipe.ce,
            kl=self.training_recipe.kl,
            count=count,
        )


class Trainer:
    """One model in training.

    Args:
        model: the base model, with `TrainedLinear` layers installed; it is sharded if there are several processes.
        parameters: the trained parameters, by name.
        examples: training data; `teacher` has the same order.
        pad: id of the padding token.
    """

    def __init__(
        self,
        model: Any,
        parameters: dict[str, nn.Parameter],
        examples: Sequence[Example],
        training: Training,
        how: How,
        pad: int,
        teacher: TeacherCache | None = None,
        world: World | None = None,
    ) -> None:
        self.model, self.examples, self.training, self.how, self.pad = model, examples, training, how, pad
        self.teacher, self.world = teacher, world or World()
        self.objective = Objective(model, training)
        if self.world.size > 1:
            shard(self.objective, decoder_layers(model))
            sharded = dict(model.named_parameters())
            parameters = {name: sharded[name] for name in parameters}
        self.device = next(iter(parameters.values())).device
        self.lengths = [len(example.ids) for example in examples]
        self.learnt = [sum(example.learnt) for example in examples]
        self.steps = schedule(examples, training)
        alone = self.world.size == 1
        share_inputs(model, traced=how.traced and alone)
        layers = [module for module in model.modules() if isinstance(module, TrainedLinear)]
        self.weights = Stacked(layers, how.stacked and alone)
        self.weights.refresh()
        self.masters = Masters(parameters)
        self.optimizer = torch.optim.AdamW(
            list(self.masters.masters.values()), lr=training.learning_rate, weight_decay=training.weight_decay,
            betas=(0.9, 0.99), fused=self.device.type == "cuda",
        )  # fmt: skip
        self.passes = Passes(how.micro_tokens or MOST_TOKENS, bool(how.checkpointing))
        self.peak = 0
        self.shortages: list[dict[str, Any]] = []
        self.history: list[dict[str, float]] = []
        self.resumed_at = 0
        """Number of steps that an earlier process made."""
        self._between_steps = True
        self._ahead: tuple[int, list[Batch]] = (-1, [])

    def run(self, state: TrainingState | None = None) -> None:
        """Train to the end, from the saved state if there is one."""
        if state is not None and (saved := state.load()) is not None:
            self._load(saved)
        total = sum(self.lengths[row] for rows in self.steps for row in rows)
        saved_at = time.monotonic()
        with self._stacked(), self.computing():
            self.fit()
            self._train(state, total, saved_at)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Inside, layers compute as in training: compiled, and with checkpointing if it was chosen."""
        layers = decoder_layers(self.model)
        modes = [layer.training for layer in layers]
        # Then all layers get the same kind of input: the same compiled code, and checkpointing sees a gradient.
        embedded = self.model.get_input_embeddings().register_forward_hook(_wants_gradient)
        with compiled(layers, self.how.compile):
            for layer in layers:
                # only the layer itself, for checkpointing; modules in it stay in evaluation mode (no dropout)
                layer.training = True
            self._checkpoint(self.passes.checkpointing)
            try:
                yield
            finally:
                embedded.remove()
                self._checkpoint(False)
                for layer, mode in zip(layers, modes, strict=True):
                    layer.training = mode

    def _checkpoint(self, wanted: bool) -> None:
        if wanted:
            self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        elif getattr(self.model, "is_gradient_checkpointing", False):
            self.model.gradient_checkpointing_disable()

    def fit(self) -> None:
        """Choose the size of passes by the free GPU memory, unless the user or a saved state sets it."""
        how = self.how
        open_ = how.micro_tokens is None or how.checkpointing is None
        if self.device.type != "cuda" or not open_ or self.passes.chosen == "saved":
            return
        least = padded(max(self.lengths))
        # the measurement of one process is used by all, because they run the same passes
        broadcast = self.world.broadcast
        self.passes = choose(
            lambda tokens, checkpointing: broadcast(self._measure(tokens, checkpointing)),
            broadcast(free_bytes(str(self.device)) - self._to_come()), least, self.training.batch_tokens,
            micro_tokens=how.micro_tokens, checkpointing=how.checkpointing,
        )  # fmt: skip
        self._forget()
        self._checkpoint(self.passes.checkpointing)
        if self.world.first:
            print(f"train: {self.passes}", flush=True)

    def _to_come(self) -> int:
        """Bytes that the first optimiser step allocates: gradients and AdamW's two moments."""
        return sum(12 * master.numel() for master in self.masters.masters.values())

    def _measure(self, tokens: int, checkpointing: bool) -> int | None:
        """Peak bytes of a pass with the longest rows; None if it runs out of memory."""
        self._checkpoint(checkpointing)
        order = sorted(range(len(self.lengths)), key=self.lengths.__getitem__, reverse=True)
        rows = [order[i % len(order)] for i in range(max(1, tokens // padded(self.lengths[order[0]])))]
        self._forget()
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        try:
            self._backward(collate(self.examples, rows, self.pad), 1.0)
        except torch.OutOfMemoryError:
            return None
        finally:
            self.peak = max(self.peak, torch.cuda.max_memory_allocated(self.device))
        return torch.cuda.max_memory_allocated(self.device) - before

    def _forget(self) -> None:
        """Drop gradients, and release the allocator's cached memory."""
        for parameter in self.masters.models.values():
            parameter.grad = None
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _train(self, state: TrainingState | None, total: int, saved_at: float) -> None:
        held = interrupts.held(lambda: not self._between_steps)
        with ProgressBar("train", total, "tok") as progress, held as interrupt:
            progress.done = sum(self.lengths[row] for rows in self.steps[: len(self.history)] for row in rows)
            for step in range(len(self.history), len(self.steps)):
                found = self.step(step)
                self.history.append(found)
                self._between_steps = True
                interrupt()
                progress.add(sum(self.lengths[row] for row in self.steps[step]), loss=found["loss"])
                if state is not None and self.world.broadcast(time.monotonic() - saved_at >= self.how.save_seconds):
                    self.save(state)
                    saved_at = time.monotonic()

    def step(self, number: int) -> dict[str, float]:
        """Make one optimiser step; returns its figures, means over the learnt tokens."""
        rows = self.steps[number]
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(number, len(self.steps), self.training)
        count = sum(self.learnt[row] for row in rows)
        passes = self.passes
        while (sums := self._all_backward(number, count)) is None:
            if not self._shrink(number):
                self.passes = passes
                raise torch.OutOfMemoryError("a pass of one row does not fit")
        self.masters.take_gradients()
        self._between_steps = False
        norm = nn.utils.clip_grad_norm_(list(self.masters.masters.values()), self.training.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.masters.give_weights()
        self.weights.refresh()
        if number + 1 < len(self.steps):  # while the GPU is busy, because the next statements wait for it
            self._ahead = (number + 1, self._batches(number + 1))
        loss, ce, kl, size = torch.stack([*self.world.total(sums), unsharded(norm)]).tolist()
        divergence.check(number + 1, [*(row["loss"] for row in self.history), loss], size)
        return {"loss": loss, "ce": ce / count, "kl": kl / count, "norm": size, "tokens": float(count)}

    @contextmanager
    def _stacked(self) -> Iterator[None]:
        """Inside, the layers use stacked weights; these are dropped at the end, when they are no longer updated."""
        self.weights.refresh()
        try:
            yield
        finally:
            self.weights.drop()

    def _all_backward(self, number: int, count: float) -> Tensor | None:
        """Compute the gradients of a step's batch; returns sums of losses, or None if the GPU runs out of memory."""
        sums = torch.zeros(3, device=self.device)
        try:
            for batch in self._ahead[1] if self._ahead[0] == number else self._batches(number):
                sums += self._backward(batch, count)
        except torch.OutOfMemoryError:
            if self.world.size > 1:  # the other processes would wait for this one's pass
                raise
            return None
        return sums

    def _shrink(self, number: int) -> bool:
        """After an out-of-memory error, choose smaller passes to repeat the step; False if there are none."""
        longest = padded(max(self.lengths))
        new = smaller(self.passes, longest, self.how.checkpointing is None)
        if new is None:
            return False
        print(f"train: step {number + 1}: out of GPU memory with {self.passes}; going on with {new}", flush=True)
        self.shortages.append({"step": number + 1, "passes": self.passes.as_dict()})
        self.passes, self._ahead = new, (-1, [])
        self._forget()
        self._checkpoint(new.checkpointing)
        return True

    def _batches(self, number: int) -> list[Batch]:
        """This process's micro-batches of a step."""
        tokens = self.passes.micro_tokens
        micros = shares(self.steps[number], self.lengths, tokens, self.world.size)[self.world.rank]
        return [collate(self.examples, rows, self.pad) if rows else nothing(self.pad) for rows in micros]

    def _backward(self, batch: Batch, count: float) -> Tensor:
        teacher = self.teacher.of(batch.rows, self.device) if self.teacher is not None and self.training.kl else None
        loss, ce, kl = self.objective(batch, self.device, teacher, count)
        loss.backward()
        return torch.stack([loss.detach(), ce, kl])

    def rescue(self, state: TrainingState) -> None:
        """After an interrupt or an error, save the state; if a step is half applied, keep the older state."""
        if self._between_steps and self.world.size == 1:  # another process may be in the middle of its step
            self.save(state)

    def save(self, state: TrainingState) -> None:
        """Write everything that the next step needs, as unsharded tensors, whatever the number of processes."""
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {
            index: {key: self._unsharded(value) for key, value in held.items()}
            for index, held in optimizer["state"].items()
        }
        content = {
            "history": self.history, "masters": self.values(), "optimizer": optimizer, "passes": self.passes.as_dict(),
        }  # fmt: skip
        if self.world.first:
            state.save(content)

    def values(self) -> dict[str, Tensor]:
        """The trained parameters in FP32 on the CPU, by name; meaningful only in process 0."""
        return {name: self._unsharded(master.detach()) for name, master in self.masters.masters.items()}

    def _unsharded(self, tensor: Tensor) -> Tensor:
        found = unsharded(tensor)
        return found.cpu() if self.world.first else found.new_empty(0)

    def _load(self, saved: dict[str, Any]) -> None:
        self.masters.load(saved["masters"])
        optimizer = saved["optimizer"]
        masters = list(self.masters.masters.values())
        optimizer["state"] = {
            index: {key: part_of(value, masters[index]) for key, value in held.items()}
            for index, held in optimizer["state"].items()
        }
        self.optimizer.load_state_dict(optimizer)
        self.history = saved["history"]
        self.resumed_at = len(self.history)
        if held := saved.get("passes"):  # so that the remaining batches are divided like the earlier ones
            self.passes = Passes(
                self.how.micro_tokens or held["micro_tokens"],
                held["checkpointing"] if self.how.checkpointing is None else self.how.checkpointing,
                "saved",
            )
