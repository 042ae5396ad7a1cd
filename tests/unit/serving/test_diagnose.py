"""The cause of a server's death is found in its real log; logs/*.txt say where each log comes from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from annie_eval.serving.log_causes import RULES
from annie_eval.serving.log_diagnosis import diagnose, excerpt

LOGS = Path(__file__).parent / "logs"
NAMES = sorted(file.stem for file in LOGS.glob("*.txt"))

# What the one line must say, by log; the rule is named by the log's first word.
SAYS = {
    "architecture-not-inspected": "Qwen3_5ForCausalLM cannot be imported",
    "argument": "unrecognized arguments: --no-such-flag",
    "argument.choice": "--dtype: invalid choice: 'float7'",
    "argument.json": "--default-chat-template-kwargs",
    "chat-template": "Unexpected end of template",
    "chat-template-file": "nowhere.jinja is not there",
    "chat-template.raised": "System message must be at the beginning",
    "config-json": "JSON file cannot be read",
    "cpu-memory-taken": "only 15.62 of 20.84 GiB of memory are free",
    "cuda-memory-weights": "the weights do not fit",
    "cuda-memory": "the GPU ran out of memory",
    "docker-daemon": "daemon cannot be reached",
    "docker-gpu": "cannot give the container a GPU",
    "docker-image": "no such image",
    "docker-platform": "another processor",
    "driver": "built for a GPU that it does not find",
    "engine-lost": "engine process ended without a message",
    "engine-lost.serving": "engine process ended without a message",
    "engine-lost.worker": "engine process ended without a message",
    "gpu-memory-taken": "only 31.44 of 47.38 GiB of GPU memory are free, and vLLM wants 45.01 (0.95 of all)",
    "gpu-memory-taken.device": "only 19.77 of 22.05 GiB of GPU memory are free",
    "head-dim": "head dimension 32",
    "head-dim.attention": "head dimension 60",
    "host-memory": "the machine ran out of memory",
    "import": "an import fails in the server's environment: libssl",
    "kv-cache": "does not fit into the KV cache (0.03 GiB)",
    "kv-cache.gpu": "does not fit into the KV cache (3.18 GiB)",
    "loader-setting": "does not know the setting {'enable_weights_trak'}",
    "max-model-len": "max_model_len 100000 is more than the model was made for (8192)",
    "no-chat-template": "no chat template",
    "no-config": "not there or has no config.json",
    "no-config.missing-directory": "not there or has no config.json",
    "no-image-processor": "without its image processor",
    "no-kernel": "no kernel image is available",
    "no-kernel.ptxas": "sm_121a",
    "no-kv-cache": "leave no memory for the KV cache",
    "no-vllm": "this Python has no vLLM",
    "no-weights": "no weights in the directory",
    "parallel-size": "Total number of attention heads (9) must be divisible",
    "pickle": "the weights are pickle files",
    "port": "the port is in use",
    "quantization-config-missing": "no quantisation config for awq",
    "reasoning-parser": "no reasoning parser qwen9",
    "safetensors": "a weight file is damaged",
    "shared-library": "libcudart.so.13 is missing",
    "tied-embeddings": "quantised model with tied embeddings",
    "tokenizer": "the tokenizer cannot be loaded",
    "tool-choice": "the server has no tool call parser",
    "tool-parser": "no tool call parser hermess",
    "torchvision": "torchvision is missing",
    "unknown-model-type": "model type foo9",
    "unknown-quant-algo": "'W4A16_NVFP4', 'MXFP8', 'MIXED_PRECISION']",
    "unknown-quant-algo.mixed": "'FP8_PB_WO', 'NVFP4']",
    "unknown-quantization": "quantisation method foo",
    "unsupported-architecture": "no model FooForCausalLM",
    "vision-config": "names the vision-language model",
    "weights-not-initialised": "model.layers.3.mlp.down_proj.weight_scale_2",
    "weights-not-loaded": "lacks weight_scale of a layer",
    "weights-prefix": "other names than this architecture has",
    "weights-shape": "another shape than config.json gives",
    "weights-visual": "holds the vision tower",
}


def log(name: str) -> str:
    return (LOGS / f"{name}.txt").read_text().partition("\n")[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_real_log_has_its_cause_and_its_mend_in_one_line_each(name: str) -> None:
    cause, fix = diagnose(log(name), "exited with status 1")
    assert SAYS[name] in cause
    rule = next((rule for rule in RULES if rule.name == name.partition(".")[0]), None)
    if rule is not None:
        assert fix.startswith(rule.fix.partition("{")[0])
    for line in (cause, fix):
        assert line
        assert "\n" not in line
        assert len(line) <= 300
        assert "Traceback" not in line
        assert "{" not in line.replace("{'enable_weights_trak'}", "").replace("{enable_thinking: false}", "")


def test_every_rule_has_a_log() -> None:
    assert {rule.name for rule in RULES} <= {name.partition(".")[0] for name in NAMES}
    assert set(SAYS) == set(NAMES)


def test_every_log_says_where_it_is_from() -> None:
    for name in NAMES:
        first = (LOGS / f"{name}.txt").read_text().partition("\n")[0]
        assert re.match(r"# (vLLM 0\.32\.0|docker 28|https://github\.com/)", first), name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.name))
def test_every_rule_can_be_filled_in(rule: object) -> None:
    from annie_eval.serving.log_causes import CauseRule

    assert isinstance(rule, CauseRule)
    rule.cause.format(**dict.fromkeys(re.compile(rule.pattern).groupindex, "x"))
    assert "{" not in rule.fix.format(fits="0.5")


def test_the_share_of_gpu_memory_that_is_proposed_is_free() -> None:
    _, fix = diagnose(log("gpu-memory-taken"), "exited with status 1")
    share = float(fix.rpartition("=")[2])
    assert 31.44 - 1.0 < share * 47.38 < 31.44


def test_memory_that_the_weights_lack_is_not_told_to_the_kv_cache() -> None:
    text = log("cuda-memory-weights")
    cause, fix = diagnose(text, "exited with status 1")
    assert "weights" in cause
    assert "utilization" not in fix
    later = text.replace(
        "in load_model", "in load_model\n  File 'gpu_worker.py', line 1, in determine_available_memory"
    )
    assert "utilization" in diagnose(later, "exited with status 1")[1]


@pytest.mark.parametrize("how", ["was killed by SIGKILL"])
def test_no_mend_for_spent_memory_is_a_shorter_context(how: str) -> None:
    for text in ("", "MemoryError\n", log("cuda-memory")):
        fix = diagnose(text, how)[1]
        assert "max-model-len" not in fix
        assert "utilization" in fix


def test_warnings_and_settings_are_no_causes() -> None:
    text = (
        "(APIServer pid=1) WARNING 11-23 10:05:51 [system_utils.py:255] Found ulimit of 20000 and failed to"
        " automatically increase. This can cause fd limit errors like `OSError: [Errno 24] Too many open files`.\n"
        "(APIServer pid=1) INFO 11-23 10:05:51 [api_utils.py:286] non-default args: {'x': 'Address already in use'}\n"
        "(APIServer pid=1) ERROR 11-23 10:05:52 [core.py:1] ValueError: the real one\n"
    )
    assert diagnose(text, "exited with status 1")[0] == "ValueError: the real one"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ValueError: first\nsome words\nKeyError: 'last'", "KeyError: 'last'"),
        (
            "ZeroDivisionError: root\nRuntimeError: Engine core initialization failed. See root cause above.",
            "ZeroDivisionError: root",
        ),
        ("  File 'x'\n    assert a == b\n           ^^^^^^\nAssertionError\n", "AssertionError at `assert a == b`"),
        (
            "Traceback (most recent call last):\n  Value error, too old [type=value_error, input=1]",
            "Value error, too old",
        ),
        ("just words\n", "just words"),
        ("", "it wrote nothing"),
        ("x" * 500, "x" * 199 + "…"),
    ],
)
def test_an_unknown_death_shows_its_last_meaningful_line(text: str, message: str) -> None:
    assert diagnose(text, "exited with status 1") == (message, "look into the log")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("was killed by SIGKILL", "most likely the system because memory ran out"),
        ("was killed by SIGILL", "an instruction that this processor does not have"),
        ("was killed by SIGSEGV", "crashed in native code"),
    ],
)
def test_a_death_by_signal_speaks_for_itself(how: str, message: str) -> None:
    assert message in diagnose("INFO: all is well\n", how)[0]
    assert "port" in diagnose("OSError: [Errno 98] Address already in use", how)[0]  # unless the log knows better


def test_the_excerpt_of_a_log_is_its_last_word() -> None:
    text = "(EngineCore pid=9) INFO 11-23 10:22:14 [cpu_model_runner.py:68] Starting to load model /m...\n\n"
    assert excerpt(text) == "Starting to load model /m..."
    assert excerpt("") == "nothing"
