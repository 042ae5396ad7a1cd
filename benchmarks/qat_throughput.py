"""Tokens per second of LoRA training: BF16, NVFP4 by this project, and NVFP4 by ModelOpt's own means; one run.

    python -m benchmarks.qat_throughput --model DIR --data FILE.jsonl [--rows N] [--seconds S] [--output FILE.md]

Two settings: `chat`, the conversations of FILE in batches of similar length of at most 16384 tokens, and `long`, eight
sequences of 2048 tokens of which all count. Every flow trains the same model by the same adapter on the same rows:

    bf16 plain        transformers, peft, AdamW, loss over all logits: nothing of this project
    bf16 loop         this project's loop without quantisers, compiled where `--compile`
    nvfp4 loop        the same with NVFP4: what `python -m quant qat` runs
    nvfp4 loop, ...   without what makes it fast: `opaque inputs`, whose kernel the compiled code does not launch
                      itself, and `layer by layer`, where moreover each use of a weight merges and quantises it again
    modelopt loop     ModelOpt's fake quantisers and peft's layers in the plain loop
    QATTrainer N      ModelOpt's trainer on the chat rows, padded to N tokens as its example does it

Tokens are counted without padding. MFU counts 4 x parameters x tokens (forward, and the gradient of the input: LoRA
needs no more) against the GPU's dense BF16 peak. Exit status 1 where a ratio of the last table is under its limit.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from quant import recipe
from quant.checkpoint import loading
from quant.quantize.quantize import quantize
from quant.training.batches import collate, padded, plan
from quant.training.conversations import Example, read_conversations, render_all
from quant.training.layers import installed
from quant.training.loop import How, Trainer

PEAK = {"H100": 989e12, "H200": 989e12, "GB10": 125e12}
"""Dense BF16 FLOP/s by a part of the device's name; NVIDIA data sheets (SXM)."""
LIMITS = (
    ("nvfp4 loop", "bf16 plain", "chat", 0.8),
    ("nvfp4 loop", "bf16 loop", "chat", 0.8),
    ("nvfp4 loop", "bf16 plain", "long", 0.8),
    ("nvfp4 loop", "bf16 loop", "long", 0.8),
    ("nvfp4 loop", "nvfp4 loop, layer by layer", "chat", 1.0),
    ("nvfp4 loop", "nvfp4 loop, layer by layer", "long", 1.0),
    ("nvfp4 loop", "QATTrainer 8192", "chat", 5.0),
    ("nvfp4 loop", "QATTrainer 512", "chat", 2.0),
)


@dataclass(frozen=True)
class Found:
    """Medians over the timed steps."""

    tokens_per_second: float
    padded_per_second: float
    peak_gib: float
    steps: int


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(step: Callable[[int], tuple[int, int]], steps: int, seconds: float, warm: int) -> Found:
    """Run `step(number)`, which returns its tokens without and with padding, until the time is up."""
    rates, wide = [], []
    for number in range(warm):
        step(number % steps)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    synchronize()
    end = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < end or number < 3:
        start = time.perf_counter()
        tokens, total = step(number % steps)
        synchronize()
        took = time.perf_counter() - start
        rates.append(tokens / took)
        wide.append(total / took)
        number += 1
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return Found(statistics.median(rates), statistics.median(wide), peak, number)


def training(options: argparse.Namespace) -> recipe.Training:
    return recipe.Training(
        method="lora", ce=1.0, kl=0.0, learning_rate=1e-4, epochs=1, batch_tokens=options.batch_tokens,
        max_length=4096, rank=16,
    )  # fmt: skip


def adapted(options: argparse.Namespace, how: str) -> tuple[Any, Any]:
    """The model with LoRA: plain, or quantised by this project (`nvfp4`) or by ModelOpt (`modelopt`)."""
    import modelopt.torch.quantization as mtq
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = loading.load_model(options.model, options.device)
    linear = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "lm_head" not in n]
    wrapped = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=linear, task_type="CAUSAL_LM"))
    sequences = [torch.arange(5, 133).tolist()] * 4
    if how == "nvfp4":
        quantize(wrapped, recipe.load("qat-lora"), sequences, 0)
    elif how == "modelopt":
        config = {**mtq.NVFP4_DEFAULT_CFG, "quant_cfg": [*mtq.NVFP4_DEFAULT_CFG["quant_cfg"]]}
        config["quant_cfg"] += [{"quantizer_name": name, "enable": False} for name in ("*lora*", "*base_layer*")]
        ids = torch.tensor(sequences, device=options.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mtq.quantize(wrapped, config, lambda m: m(input_ids=ids))
    return wrapped, model


def loop(options: argparse.Namespace, examples: Sequence[Example], how: str, way: How) -> Found:
    """This project's loop."""
    _, model = adapted(options, how)
    with installed(model) as layers:
        parameters = {}
        for name, layer in layers.items():
            assert layer.lora_a is not None
            assert layer.lora_b is not None
            parameters[f"{name}.a"], parameters[f"{name}.b"] = layer.lora_a, layer.lora_b
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        trainer = Trainer(model, parameters, examples, training(options), way, 0)

        def step(number: int) -> tuple[int, int]:
            trainer.step(number)
            rows = trainer.steps[number]
            longest = max(trainer.lengths[row] for row in rows)
            return sum(trainer.lengths[row] for row in rows), padded(longest) * len(rows)

        from quant.training.loop import compiled, decoder_layers

        with compiled(decoder_layers(model), way.compile):
            return timed(step, len(trainer.steps), options.seconds, options.warm)


def plain(options: argparse.Namespace, examples: Sequence[Example], how: str) -> Found:
    """transformers and peft as they come: loss over all logits, AdamW."""
    wrapped, _ = adapted(options, how)
    parameters = [p for p in wrapped.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=options.device == "cuda")
    lengths = [len(example.ids) for example in examples]
    batches = plan(lengths, options.batch_tokens, 0)

    def step(number: int) -> tuple[int, int]:
        batch = collate(examples, batches[number], 0)
        labels = torch.full_like(batch.input_ids, -100)
        labels.view(-1)[batch.positions + 1] = batch.targets
        out = wrapped(input_ids=batch.input_ids.to(options.device), labels=labels.to(options.device), use_cache=False)
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return batch.tokens, batch.input_ids.numel()

    return timed(step, len(batches), options.seconds, options.warm)


def qat_trainer(options: argparse.Namespace, examples: Sequence[Example], length: int) -> Found:
    """ModelOpt's QATTrainer on rows padded to `length`, four of 8192 or as many tokens of another length a step."""
    from modelopt.torch.quantization.plugins.transformers_trainer import QATTrainer
    from transformers import TrainerCallback, TrainingArguments

    wrapped, _ = adapted(options, "modelopt")
    rows_a_step = max(1, options.batch_tokens // length)
    rows = []
    for example in examples:
        ids, learnt = list(example.ids[:length]), example.learnt[:length]
        gap = length - len(ids)
        rows.append(
            {
                "input_ids": ids + [0] * gap,
                "attention_mask": [1] * len(ids) + [0] * gap,
                "labels": [token if own else -100 for token, own in zip(ids, learnt, strict=True)] + [-100] * gap,
            }
        )
    steps = max(options.warm + 3, min(20, len(rows) // rows_a_step))
    rows = (rows * (1 + steps * rows_a_step // len(rows)))[: steps * rows_a_step]
    stamps: list[float] = []

    class Stamp(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
        def on_step_end(self, *_: Any, **__: Any) -> None:
            synchronize()
            stamps.append(time.perf_counter())

    arguments = TrainingArguments(
        output_dir=str(options.scratch), per_device_train_batch_size=rows_a_step, max_steps=steps, report_to=[],
        save_strategy="no", logging_strategy="no", bf16=options.device == "cuda", learning_rate=1e-4,
        disable_tqdm=True, use_cpu=options.device == "cpu", dataloader_num_workers=0,
    )  # fmt: skip
    trainer = QATTrainer(model=wrapped, args=arguments, train_dataset=rows, callbacks=[Stamp()])
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    gaps = [after - before for before, after in itertools.pairwise(stamps[1:])]
    took = statistics.median(gaps)
    useful = statistics.mean(sum(row["attention_mask"]) for row in rows) * rows_a_step
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return Found(useful / took, length * rows_a_step / took, peak, len(gaps))


@contextmanager
def fresh() -> Iterator[None]:
    """Leave nothing of a flow on the GPU."""
    yield
    gc.collect()
    if torch.cuda.is_available():
        torch._dynamo.reset()
        torch.cuda.empty_cache()


def long_examples(vocabulary: int, rows: int) -> list[Example]:
    generator = torch.Generator().manual_seed(0)
    return [
        Example(
            tuple(torch.randint(0, vocabulary, (2048,), generator=generator).tolist()), (False,) + (True,) * 2047, 0
        )
        for _ in range(rows)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2000, help="conversations taken (default: 2000)")
    parser.add_argument("--batch-tokens", type=int, default=16384)
    parser.add_argument("--seconds", type=float, default=6.0, help="timed seconds a flow (default: 6)")
    parser.add_argument("--warm", type=int, default=4, help="steps before the timed ones (default: 4)")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available())
    parser.add_argument("--skip", action="append", default=[], help="leave out flows whose name begins so")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/qat_throughput"))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    options.device = loading.default_device()
    torch.set_float32_matmul_precision("highest")
    tokenizer = loading.load_tokenizer(options.model)
    chat = render_all(tokenizer, read_conversations(options.data)[: options.rows], options.data, 4096)
    long = long_examples(len(tokenizer), 8 * max(1, options.batch_tokens // 16384))
    flows: list[tuple[str, str, Callable[[], Found]]] = []
    fast = How(compile=options.compile)
    opaque, each = replace(fast, traced=False), replace(fast, traced=False, stacked=False)
    for setting, examples in (("chat", chat), ("long", long)):
        flows += [
            ("bf16 plain", setting, partial(plain, options, examples, "bf16")),
            ("bf16 loop", setting, partial(loop, options, examples, "bf16", fast)),
            ("nvfp4 loop", setting, partial(loop, options, examples, "nvfp4", fast)),
            ("nvfp4 loop, opaque inputs", setting, partial(loop, options, examples, "nvfp4", opaque)),
            ("nvfp4 loop, layer by layer", setting, partial(loop, options, examples, "nvfp4", each)),
            ("modelopt loop", setting, partial(plain, options, examples, "modelopt")),
        ]
    flows += [(f"QATTrainer {n}", "chat", partial(qat_trainer, options, chat, n)) for n in (8192, 512)]
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    peak = next((value for key, value in PEAK.items() if key in name), None)
    weights = sum(
        p.numel() for n, p in loading.load_model(options.model, "cpu").named_parameters() if "embed" not in n
    )
    lines = [f"{name}; {len(chat)} conversations, {sum(len(e.ids) for e in chat) / len(chat):.0f} tokens each", ""]
    lines += ["| flow | setting | tok/s | with padding | MFU | peak GiB | steps |", "|---|---|---|---|---|---|---|"]
    found: dict[tuple[str, str], Found] = {}
    for flow, setting, work in flows:
        if any(flow.startswith(skipped) for skipped in options.skip):
            continue
        with fresh():
            try:
                one = work()
            except Exception as error:  # a flow that breaks must not take the others' numbers along
                lines.append(f"| {flow} | {setting} | {type(error).__name__}: {str(error).splitlines()[0][:90]} |||||")
                print(lines[-1], flush=True)
                continue
        found[flow, setting] = one
        mfu = f"{4 * weights * one.padded_per_second / peak:.1%}" if peak else "-"
        lines.append(
            f"| {flow} | {setting} | {one.tokens_per_second:,.0f} | {one.padded_per_second:,.0f} | {mfu} | "
            f"{one.peak_gib:.1f} | {one.steps} |"
        )
        print(lines[-1], flush=True)
    lines += ["", "| ratio of tok/s | setting | measured | wanted |", "|---|---|---|---|"]
    status = 0
    for flow, other, setting, limit in LIMITS:
        if (flow, setting) in found and (other, setting) in found:
            ratio = found[flow, setting].tokens_per_second / found[other, setting].tokens_per_second
            lines.append(f"| {flow} / {other} | {setting} | {ratio:.2f} | {limit} |")
            status |= ratio < limit
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
