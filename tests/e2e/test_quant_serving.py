"""End to end: vLLM computes what `quant` exports: tiny Qwen3.5 with every recipe, and tiny well-known models."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support import hub, tiny

ROOT = Path(__file__).parents[2]
SERVER_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
SIDE = Path(__file__).with_name("quant_server_side.py")
RECIPES = (
    "nvfp4-default", "nvfp4-awq-lite", "nvfp4-w4a16", "nvfp4-mlp-only", "fp8", "qwen3_5-mixed",
    "nvfp4-four-over-six", "nvfp4-mse-act-headroom",
)  # fmt: skip
FP8_KV_CACHE = any(word in Path("/proc/cpuinfo").read_text() for word in ("avx512f", "amx"))
"""Whether vLLM's CPU attention can hold an FP8 KV cache here; `qwen3_5-mixed` wants one."""
TOKENS = [5, 9, 77, 31, 200, 14, 90, 33, 61, 120, 8, 45, 150, 3, 222, 67, 18, 99, 140, 52]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SERVER_PYTHON.exists(), reason="the server's environment is not there: make server"),
]


def on_the_server(check: str, arguments: dict[str, Any], scratch: Path) -> Any:
    """Run one check of quant_server_side.py in the server's environment; its last line is JSON."""
    file = scratch / f"{check}.json"
    file.write_text(json.dumps(arguments))
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [SERVER_PYTHON, SIDE, check, file], capture_output=True, text=True, timeout=600, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@dataclass
class Made:
    """One export, how to serve it, and log probabilities: of its model before and after quantisation, and of vLLM.

    `noise` is how far the quantised model is from itself when every layer's output moves by half a BF16 step.
    """

    directory: Path
    options: dict[str, Any]
    bf16: list[float]
    quantised: list[float]
    noise: float
    fp8_kv_cache: bool
    served: list[float] = field(default_factory=list)


def logprobs(model: Any) -> list[float]:
    """Log probability of every token after the first."""
    import torch

    with torch.inference_mode():
        rows = model(torch.tensor([TOKENS])).logits[0].float().log_softmax(-1)
    return [float(row[token]) for row, token in zip(rows[:-1], TOKENS[1:], strict=True)]


def mean_difference(first: list[float], second: list[float]) -> float:
    """Mean absolute difference, in nats."""
    return sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(first)


def own_noise(model: Any, plain: list[float]) -> float:
    """How much BF16 rounding alone moves the model: the largest of five runs with every layer's output jittered."""
    import torch

    def jitter(_module: Any, _inputs: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        moved = hidden * (1 + (torch.rand_like(hidden.float()) - 0.5) * 2**-7).to(hidden.dtype)
        moved = torch.where(torch.rand_like(hidden.float()) < 0.5, hidden, moved.to(hidden.dtype))
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    layers = [
        m for n, m in model.named_modules() if n.endswith(("self_attn", "linear_attn", "mlp")) and "visual" not in n
    ]
    hooks = [layer.register_forward_hook(jitter) for layer in layers]
    torch.manual_seed(0)
    found = max(mean_difference(plain, logprobs(model)) for _ in range(5))
    for hook in hooks:
        hook.remove()
    return found


def make(name: str, recipe_name: str, source: Path, root: Path, image: str) -> Made:
    """Quantise and export in this process, so that the fake-quantised model can be asked too."""
    from quant import images, recipe
    from quant.checkpoint import loading
    from quant.checkpoint.provenance import Provenance
    from quant.export.finish import finish
    from quant.quantize import calibration
    from quant.quantize.quantize import quantize

    chosen = recipe.load(recipe_name)
    tokenizer = loading.load_tokenizer(source)
    file = tiny.calibration_file(root / "calibration.jsonl")
    sequences = calibration.tokenize(tokenizer, calibration.read_samples(file, 8), file, 128, 8)
    model = loading.load_model(source, "cpu")
    before = logprobs(model)
    model = quantize(model, chosen, sequences, 0)
    after = logprobs(model)
    noise = own_noise(model, after)
    out = root / f"{name}-{recipe_name}-{image}"
    finish(model, source, out, images.find(image), Provenance("ptq", {"recipe": chosen.model_dump()}))
    options = {"language_model_only": True} if name.endswith("vl") or image != "vllm-0.32" else {}
    return Made(out, options, before, after, noise, chosen.kv_cache == "fp8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    root = tmp_path_factory.mktemp("serving")
    text, vl = tiny.qwen3_5_text(root / "text"), tiny.qwen3_5_vl(root / "vl")
    found = {f"text-{recipe}": make("text", recipe, text, root, "vllm-0.32") for recipe in RECIPES}
    found["wrapped-nvfp4-default"] = make("text", "nvfp4-default", text, root, "vllm-0.24")
    found["wrapped-qwen3_5-mixed"] = make("text", "qwen3_5-mixed", text, root, "vllm-0.26")
    found["vl-nvfp4-default"] = make("vl", "nvfp4-default", vl, root, "vllm-0.32")
    found["vl-qwen3_5-mixed"] = make("vl", "qwen3_5-mixed", vl, root, "vllm-0.32")
    for number, family in enumerate(hub.FAMILIES):  # as transformers 4 and 5 wrote them, in turn
        source = hub.make(family, root / family, 4 + number % 2)
        chosen = "qwen3_5-mixed" if "3.5" in family else "nvfp4-default"
        found[family] = make(family, chosen, source, root, "vllm-0.32")
    asked = [export for export in found.values() if FP8_KV_CACHE or not export.fp8_kv_cache]
    jobs = [{"directory": str(export.directory), "options": export.options} for export in asked]
    served = on_the_server("logprobs", {"jobs": jobs, "tokens": TOKENS}, root)
    for export, values in zip(asked, served, strict=True):
        export.served = values
    return found


NAMES = [f"text-{r}" for r in RECIPES] + ["wrapped-nvfp4-default", "wrapped-qwen3_5-mixed"]
NAMES += ["vl-nvfp4-default", "vl-qwen3_5-mixed", *hub.FAMILIES]


@pytest.mark.parametrize("name", NAMES)
def test_vllm_computes_what_was_quantised(made: dict[str, Made], name: str) -> None:
    export = made[name]
    if not export.served:
        pytest.skip("vLLM holds an FP8 KV cache on a CPU only with AVX-512 or AMX")
    served = mean_difference(export.served, export.quantised)
    effect = mean_difference(export.bf16, export.quantised)
    print(f"{name}: vLLM {served:.4f} nats from fake quant, its own noise {export.noise:.4f}, BF16 {effect:.4f} off")
    assert served < 2 * export.noise + 0.01


def test_vllm_parses_what_the_template_writes(tmp_path: Path) -> None:
    """Render -> parse -> equal, through the parsers that serve.md names."""
    from transformers import AutoTokenizer

    from quant.commands import default_model
    from quant.commands.arguments import DEFAULT_MODEL

    model = ROOT / DEFAULT_MODEL
    default_model.build(model)
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    tools = [{"type": "function", "function": {"name": "note", "parameters": {"type": "object"}}}]
    question = {"role": "user", "content": "Well?"}
    wanted: list[dict[str, Any]] = []
    cases: list[dict[str, Any]] = []
    for thinking, reasoning, content, calls in (
        (False, None, "Twelve degrees.", []),
        (False, None, "", [("note", {"text": 'say "Grüezi" \\ and\nstop', "n": [1, None]}), ("note", {})]),
        (True, "They want a number.", "Twelve.", []),
        (True, "A tool helps.", "One moment.", [("note", {"text": "x"})]),
    ):
        turn: dict[str, Any] = {"role": "assistant", "content": content}
        if reasoning:
            turn["reasoning_content"] = reasoning
        if calls:
            turn["tool_calls"] = [{"type": "function", "function": {"name": n, "arguments": a}} for n, a in calls]
        settings: dict[str, Any] = {"tools": tools, "tokenize": False, "enable_thinking": thinking}
        prompt = tokenizer.apply_chat_template([question], add_generation_prompt=True, **settings)
        whole = tokenizer.apply_chat_template([question, turn], **settings)
        assert whole.startswith(prompt)
        text = whole.removeprefix(prompt).removesuffix("<|im_end|>\n")
        cases.append({"text": text, "prompt": prompt, "thinking": thinking, "tools": tools})
        wanted.append({"reasoning": reasoning, "content": content, "calls": [[n, a] for n, a in calls]})
    parsed = on_the_server("parse", {"cases": cases, "directory": str(model)}, tmp_path)
    for want, got, case in zip(wanted, parsed, cases, strict=True):
        assert (got["reasoning"] or "").strip() == (want["reasoning"] or "")
        assert (got["content"] or "").strip() == want["content"]
        assert got["calls"] == want["calls"]
        assert got["prompt_ends_reasoning"] is not case["thinking"]
