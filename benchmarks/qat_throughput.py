"""Measures tokens per second of LoRA training: BF16, NVFP4 with this project's code, and NVFP4 with ModelOpt's own.

    python -m benchmarks.qat_throughput --model DIR --data FILE.jsonl [--rows N] [--rounds N] [--output FILE.md]
    python -m benchmarks.qat_throughput --shape qwen3_5-9b --tokenizer DIR --data FILE.jsonl [--seconds S]

There are two settings: `chat`, the conversations of FILE in batches of similar length with at most 16384 tokens, and
`long`, eight sequences of 2048 tokens that all have a loss. Every flow trains the same model with the same adapter on
the same rows:

    bf16 plain        transformers, peft, AdamW, loss over all logits: no code of this project
    bf16 loop         this project's loop without quantisers, compiled with `--compile`
    nvfp4 loop        the same with NVFP4: what `python -m quant qat` runs
    nvfp4 loop, ...   without optimisations: `opaque inputs`: the compiled code does not launch the kernel itself;
                      `layer by layer`: in addition, each use of a weight merges and quantises it again
    modelopt loop     ModelOpt's fake quantisers and peft's layers in the plain loop
    QATTrainer N      ModelOpt's trainer on the chat rows, padded to N tokens like in its example

Flows take turns: in every round each of them runs the same steps, in an order that is reversed from round to round, so
that the GPU's clock and other load affect all equally. A ratio is the median of the rounds' ratios, with quartiles.
The loop's flows use one model, whose layers are switched; both settings use the same compiled code. QATTrainer cannot
be interrupted and is measured separately. `--shape` measures only the loop's flows, on a model with random weights
that is made in memory. Every turn is printed, and FILE.md is written after every round.

Tokens are counted without padding. MFU counts 4 x parameters x tokens with padding (forward, and the gradient of the
input: LoRA needs no more) against the GPU's dense BF16 peak, whether or not activations are recomputed. Exit
status 1 if a ratio of the last table is below its limit.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import math
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

from benchmarks.random_checkpoint import random_model
from quant import recipe
from quant.checkpoint import loading
from quant.quantize.quantize import quantize
from quant.training import delta_net
from quant.training.batches import collate, padded, plan
from quant.training.conversations import Example, read_conversations, render_all
from quant.training.layers import installed, share_inputs
from quant.training.loop import How, Trainer
from quant.training.stacked import Stacked

PEAK = {"H100": 989e12, "H200": 989e12, "GB10": 125e12}
"""Dense BF16 FLOP/s by a part of the device's name; NVIDIA data sheets (SXM)."""
LIMITS = (
    ("nvfp4 loop", "bf16 plain", "chat", 0.8),
    ("nvfp4 loop", "bf16 loop", "chat", 0.95),
    ("nvfp4 loop", "bf16 plain", "long", 0.8),
    ("nvfp4 loop", "bf16 loop", "long", 0.95),
    ("nvfp4 loop", "nvfp4 loop, layer by layer", "chat", 1.0),
    ("nvfp4 loop", "nvfp4 loop, layer by layer", "long", 1.0),
    ("nvfp4 loop", "QATTrainer 8192", "chat", 5.0),
    ("nvfp4 loop", "QATTrainer 512", "chat", 2.0),
)
SHAPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "qwen3_5-9b": ("qwen3_5_text", ("vocab_size=248320",)),
    "smollm2-135m": (
        "llama",
        ("hidden_size=576", "intermediate_size=1536", "num_hidden_layers=30", "num_attention_heads=9",
         "num_key_value_heads=3", "head_dim=64", "tie_word_embeddings=true"),
    ),
    "qwen3_5-tiny": (
        "qwen3_5_text",
        ("hidden_size=64", "intermediate_size=128", "num_hidden_layers=4", "num_attention_heads=2", "head_dim=32",
         "num_key_value_heads=1", "linear_num_key_heads=2", "linear_num_value_heads=2"),
    ),
}  # fmt: skip
"""Model type and settings of random_checkpoint.py; transformers' defaults for qwen3_5_text are the 9B's."""
LEAST_MFU = {"qwen3_5-9b": 0.30}
"""Limits of the NVFP4 loop's MFU, by shape."""


@dataclass(frozen=True)
class Flow:
    """`begin` prepares the model; `step(number)` returns the number of tokens without and with padding."""

    name: str
    begin: Callable[[], None]
    step: Callable[[int], tuple[int, int]]
    steps: int


@dataclass(frozen=True)
class Found:
    """Tokens per second, without and with padding, of each turn, or of each step of a separately measured flow."""

    rates: list[float]
    padded: list[float]
    peak_gib: float


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def interleaved(
    flows: Sequence[Flow],
    rounds: int,
    steps: int,
    warm: int,
    deadline: float,
    say: Callable[[dict[str, Found]], object],
) -> dict[str, Found]:
    """Let the flows take turns; every round measures the same `steps` steps of each.

    No round but the first begins after `deadline`; `say` gets everything that was found after each.
    """
    found = {flow.name: Found([], [], 0.0) for flow in flows}
    for number in range(-1, rounds):
        if number > 0 and time.monotonic() > deadline:
            break
        for flow in flows if number % 2 else tuple(reversed(flows)):
            began = time.perf_counter()
            flow.begin()
            first = max(number, 0) * steps
            if number < 0:
                for step in range(warm):
                    flow.step(step % flow.steps)
                synchronize()
                print(f"  warm: {flow.name}: {time.perf_counter() - began:.1f} s", flush=True)
                continue
            flow.step((first + flow.steps - 1) % flow.steps)  # not timed, because the caches are from another flow
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            synchronize()
            start = time.perf_counter()
            counts = [flow.step((first + step) % flow.steps) for step in range(steps)]
            synchronize()
            took = time.perf_counter() - start
            one = found[flow.name]
            one.rates.append(sum(tokens for tokens, _ in counts) / took)
            one.padded.append(sum(wide for _, wide in counts) / took)
            peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
            found[flow.name] = replace(one, peak_gib=max(one.peak_gib, peak))
            print(f"  round {number + 1}: {flow.name}: {one.rates[-1]:,.0f} tok/s", flush=True)
        if number >= 0:
            say(found)
    return found


def recipe_of(options: argparse.Namespace) -> recipe.Training:
    return recipe.Training(
        method="lora", ce=1.0, kl=0.0, learning_rate=1e-4, epochs=1, batch_tokens=options.batch_tokens,
        max_length=4096, rank=16,
    )  # fmt: skip


def adapted(options: argparse.Namespace, how: str) -> tuple[Any, Any]:
    """The model with LoRA: plain, or quantised by this project (`nvfp4`) or by ModelOpt (`modelopt`)."""
    import modelopt.torch.quantization as mtq
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    if options.shape is None:
        model = loading.load_model(options.model, options.device)
    else:
        model = random_model(options.tokenizer, *SHAPES[options.shape]).eval()
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


@contextmanager
def loop(options: argparse.Namespace, ways: dict[str, tuple[bool, How]]) -> Iterator[Any]:
    """This project's loop on one model: yields it, and a context of the flows for some examples.

    There is one flow for each of `ways`: quantised or not, and how.
    """
    _, model = adapted(options, "nvfp4")
    with installed(model) as layers, delta_net.used(model, options.device) as rule:
        if rule is not None:
            print(f"DeltaNet: {rule.name} ({rule.why})", flush=True)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        parameters = {}
        for name, layer in layers.items():
            if layer.lora_a is not None and layer.lora_b is not None:
                parameters[f"{name}.a"], parameters[f"{name}.b"] = layer.lora_a, layer.lora_b
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        kinds = {name: (layer.weight_kind, layer.input_kind) for name, layer in layers.items()}

        @contextmanager
        def flows(examples: Sequence[Example]) -> Iterator[list[Flow]]:
            trainer = Trainer(model, parameters, examples, recipe_of(options), next(iter(ways.values()))[1], 0)

            def begin(quantised: bool, way: How) -> None:
                trainer.weights.drop()
                trainer.weights = Stacked([])  # frees the copies of the flow before
                for name, layer in layers.items():
                    layer.weight_kind, layer.input_kind = kinds[name] if quantised else ("none", "none")
                share_inputs(model, traced=way.traced)
                trainer.weights = Stacked(list(layers.values()), way.stacked)
                trainer.weights.refresh()

            def step(number: int) -> tuple[int, int]:
                trainer.step(number)
                rows = trainer.steps[number]
                longest = max(trainer.lengths[row] for row in rows)
                return sum(trainer.lengths[row] for row in rows), padded(longest) * len(rows)

            with trainer.computing():
                begin(*next(iter(ways.values())))
                trainer.fit()
                yield [Flow(name, partial(begin, *way), step, len(trainer.steps)) for name, way in ways.items()]
                trainer.weights.drop()

        yield model, flows


def plain(options: argparse.Namespace, examples: Sequence[Example], how: str, name: str) -> Flow:
    """Unmodified transformers and peft: loss over all logits, AdamW."""
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

    return Flow(name, lambda: None, step, len(batches))


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
    useful = statistics.mean(sum(row["attention_mask"]) for row in rows) * rows_a_step
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return Found([useful / gap for gap in gaps], [length * rows_a_step / gap for gap in gaps], peak)


@contextmanager
def fresh() -> Iterator[None]:
    """Free the GPU memory of a flow."""
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


def ratio(one: Found, other: Found) -> tuple[float, float, float]:
    """Median and quartiles of the rounds' ratios; for flows that did not take turns, the ratio of the medians."""
    if len(one.rates) != len(other.rates):
        alone = statistics.median(one.rates) / statistics.median(other.rates)
        return alone, alone, alone
    ratios = [a / b for a, b in zip(one.rates, other.rates, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return middle, low, high


def tables(
    found: dict[tuple[str, str], Found], weights: int, peak: float | None, least_mfu: float
) -> tuple[list[str], bool]:
    """The tables of what was found, and whether all limits are kept.

    Args:
        weights: number of weights that a token is multiplied by.
        peak: the GPU's FLOP/s, if known.
        least_mfu: limit of the MFU of the NVFP4 loop.
    """
    good = True
    lines = ["| flow | setting | tok/s | with padding | MFU | peak GiB | turns |", "|---|---|---|---|---|---|---|"]
    for (flow, setting), one in found.items():
        wide = statistics.median(one.padded)
        mfu = 4 * weights * wide / peak if peak else None
        lines.append(
            f"| {flow} | {setting} | {statistics.median(one.rates):,.0f} | {wide:,.0f} | "
            f"{'-' if mfu is None else f'{mfu:.1%}'} | {one.peak_gib:.1f} | {len(one.rates)} |"
        )
        good &= flow != "nvfp4 loop" or mfu is None or mfu >= least_mfu
    lines += ["", "| ratio of tok/s | setting | median | quartiles | wanted |", "|---|---|---|---|---|"]
    for flow, other, setting, limit in LIMITS:
        if (flow, setting) in found and (other, setting) in found:
            middle, low, high = ratio(found[flow, setting], found[other, setting])
            lines.append(f"| {flow} / {other} | {setting} | {middle:.3f} | {low:.3f} to {high:.3f} | {limit} |")
            good &= middle >= limit
    return lines, good


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--shape", choices=list(SHAPES), help="random weights of this shape instead of --model")
    parser.add_argument("--tokenizer", type=Path, help="checkpoint whose tokenizer --shape takes")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2000, help="conversations taken (default: 2000)")
    parser.add_argument("--batch-tokens", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each flow (default: 9)")
    parser.add_argument("--steps", type=int, default=3, help="timed steps a turn (default: 3)")
    parser.add_argument("--warm", type=int, default=4, help="steps before the timed ones (default: 4)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no round later than this")
    parser.add_argument("--micro-tokens", type=int, help="padded tokens per pass, without gradient checkpointing "
                        "(default: what fits, found by short passes)")  # fmt: skip
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available())
    parser.add_argument("--setting", choices=("chat", "long"), help="only this setting")
    parser.add_argument("--skip", action="append", default=[], help="leave out flows whose name begins so")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/qat_throughput"), help="for QATTrainer")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if (options.model is None) == (options.shape is None) or (options.shape and not options.tokenizer):
        parser.error("give --model, or --shape with --tokenizer")
    deadline = time.monotonic() + options.seconds
    options.device = loading.default_device()
    torch.set_float32_matmul_precision("highest")
    tokenizer = loading.load_tokenizer(options.model or options.tokenizer)
    chat = render_all(tokenizer, read_conversations(options.data)[: options.rows], options.data, 4096)
    long = long_examples(len(tokenizer), 8 * max(1, options.batch_tokens // 16384))
    fast = How(compile=options.compile, micro_tokens=options.micro_tokens,
               checkpointing=None if options.micro_tokens is None else False)  # fmt: skip
    ways = {"bf16 loop": (False, fast), "nvfp4 loop": (True, fast)}
    if options.shape is None:
        ways |= {
            "nvfp4 loop, opaque inputs": (True, replace(fast, traced=False)),
            "nvfp4 loop, layer by layer": (True, replace(fast, traced=False, stacked=False)),
        }
    ways = {name: way for name, way in ways.items() if not any(name.startswith(each) for each in options.skip)}
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    peak = next((value for key, value in PEAK.items() if key in name), None)
    head = f"{name}; {len(chat)} conversations, {sum(len(e.ids) for e in chat) / len(chat):.0f} tokens each"
    found: dict[tuple[str, str], Found] = {}
    weights = 0

    def report(setting: str, new: dict[str, Found]) -> tuple[list[str], bool]:
        found.update({(flow, setting): one for flow, one in new.items()})
        lines, good = tables(found, weights, peak, LEAST_MFU.get(options.shape or "", 0.0))
        if options.output:
            options.output.write_text("\n".join([head, "", *lines]) + "\n")
        return lines, good

    settings = [(key, examples) for key, examples in (("long", long), ("chat", chat))
                if options.setting in (None, key)]  # fmt: skip
    with fresh(), loop(options, ways) as (model, flows_of):
        weights = sum(weight.numel() for key, weight in model.named_parameters()
                      if "embed" not in key and "lora" not in key)  # fmt: skip
        for setting, examples in settings:
            with flows_of(examples) as flows:
                if options.shape is None:
                    others = {"bf16 plain": "bf16", "modelopt loop": "modelopt"}
                    flows += [plain(options, examples, how, flow) for flow, how in others.items()
                              if not any(flow.startswith(each) for each in options.skip)]  # fmt: skip
                last = setting == settings[-1][0]
                until = deadline if last else (time.monotonic() + deadline) / 2
                interleaved(flows, options.rounds, options.steps, options.warm, until, partial(report, setting))
                del flows
        del model, flows_of
    for length in (8192, 512) if options.shape is None else ():
        flow = f"QATTrainer {length}"
        if not any(flow.startswith(each) for each in options.skip):
            with fresh():
                report("chat", {flow: qat_trainer(options, chat, length)})
    lines, good = report("chat", {})
    print("\n".join([head, "", *lines]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
