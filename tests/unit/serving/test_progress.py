"""The current step of vLLM's start-up is read from its log."""

from __future__ import annotations

from annie_eval.serving.log_progress import StartUpProgress, step

# Lines of vLLM 0.32.0 starting SmolLM2 on a CPU, and of 0.24.0 on a GPU, shortened.
START = """\
(APIServer pid=9229) INFO 11-23 10:22:05 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0
(APIServer pid=9229) INFO 11-23 10:22:07 [model.py:733] Resolved architecture: LlamaForCausalLM
(EngineCore pid=9240) INFO 11-23 10:22:13 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: \
kernel_config=KernelConfig(enable_flashinfer_autotune=True)
(EngineCore pid=9240) INFO 11-23 10:22:14 [cpu_model_runner.py:68] Starting to load model /m...
Loading safetensors checkpoint shards:   0% Completed | 0/3 [00:00<?, ?it/s]
Loading safetensors checkpoint shards:  67% Completed | 2/3 [00:01<00:00,  1.35s/it]
(EngineCore pid=9240) INFO 11-23 10:22:15 [__init__.py:1240] Using CpuNvFp4LinearKernel for NVFP4 GEMM
(EngineCore pid=9240) INFO 11-23 10:22:15 [default_loader.py:501] Loading weights took 1.36 seconds
(EngineCore pid=9240) INFO 11-23 10:22:15 [backends.py:900] Dynamo bytecode transform time: 4.10 s
(EngineCore pid=9240) INFO 11-23 10:22:16 [kv_cache_utils.py:2327] CPU KV cache size: 93,184 tokens, Maximum
Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  25%|##   | 9/36 [00:01<00:03]
(EngineCore pid=9240) INFO 11-23 10:22:21 [kernel_warmup.py:70] FlashInfer autotuning starts
(APIServer pid=9229) INFO 11-23 10:22:22 [entry.py:140] Starting vLLM server on http://127.0.0.1:18100
INFO:     Application startup complete.
"""
STEPS = [
    "vLLM 0.32.0: reading the configuration",
    "reading the configuration of a LlamaForCausalLM",
    "starting the engine",
    "building the model",
    "loading weights, 0 %",
    "loading weights, 67 %",
    "preparing weights for CpuNvFp4LinearKernel",
    "preparing weights",
    "compiling",
    "KV cache for 93,184 tokens",
    "capturing CUDA graphs, 25 %",
    "tuning kernels",
    "starting the HTTP server",
    "waiting for the first answer",
]


def test_each_line_moves_the_step_on() -> None:
    lines = START.splitlines()
    assert [step("\n".join(lines[: n + 1])) for n in range(len(lines))] == STEPS
    assert step("") == "importing vLLM"
    assert step("Unable to find image 'vllm/vllm-openai:v0.32.0' locally") == "pulling the image"


def test_a_step_is_said_once_and_again_when_it_is_long_and_fast_ones_are_thinned() -> None:
    lines: list[str] = []
    clock = [0.0]
    progress = StartUpProgress(lines.append, every=15.0, now=lambda: clock[0])
    log = ""
    for at, line in [
        (0.0, ""),
        (0.1, START.splitlines()[0]),
        (2.0, ""),
        (3.0, ""),
        (16.0, ""),
        (17.5, ""),
        (18.0, ""),
    ]:
        clock[0] = at
        log += line
        progress.show(log)
    assert lines == [
        "server: importing vLLM (0 s)",
        "server: vLLM 0.32.0: reading the configuration (2 s)",
        "server: vLLM 0.32.0: reading the configuration (18 s)",
    ]
