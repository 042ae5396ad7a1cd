"""The exact `docker run` command."""

from __future__ import annotations

import os
from pathlib import Path

from annie_eval.serving.docker import docker_command

ARGUMENTS = ["--served-model-name", "annie-1", "--language-model-only"]
OFFLINE = [
    "HF_HUB_OFFLINE=1",
    "TRANSFORMERS_OFFLINE=1",
    "VLLM_NO_USAGE_STATS=1",
    "DO_NOT_TRACK=1",
    "HOME=/tmp",
    "USER=annie",
]


def command(image: str, model: Path, environment: dict[str, str] | None = None, *, api_key: bool = False) -> list[str]:
    return docker_command(
        image, model, 8123, ARGUMENTS, name="annie-eval-ab12", api_key=api_key, environment=environment or {}
    )


def before_the_image(model: Path, variables: list[str]) -> list[str]:
    return [
        *("docker", "run", "--rm", "--name", "annie-eval-ab12"),
        *("--gpus", "all", "--shm-size=16g"),
        *("--user", f"{os.getuid()}:{os.getgid()}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("-v", f"{model}:/model:ro"),
        *("-p", "127.0.0.1:8123:8000"),
        *[part for variable in variables for part in ("-e", variable)],
    ]


def test_vllms_own_image_is_the_server_itself(tmp_path: Path) -> None:
    assert command("vllm/vllm-openai:v0.32.0", tmp_path) == [
        *before_the_image(tmp_path, OFFLINE),
        "vllm/vllm-openai:v0.32.0",
        *("--model", "/model", "--host", "0.0.0.0", "--port", "8000"),
        *ARGUMENTS,
    ]


def test_nvidias_image_needs_the_command(tmp_path: Path) -> None:
    assert command("nvcr.io/nvidia/vllm:26.09-py3", tmp_path) == [
        *before_the_image(tmp_path, OFFLINE),
        "nvcr.io/nvidia/vllm:26.09-py3",
        *("vllm", "serve", "/model", "--host", "0.0.0.0", "--port", "8000"),
        *ARGUMENTS,
    ]


def test_settings_of_vllm_are_passed_on_by_name_and_those_of_the_host_are_not(tmp_path: Path) -> None:
    environment = {
        "VLLM_DISABLED_KERNELS": "FlashInferFP8ScaledMMLinearKernel",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CACHE_ROOT": "/home/me/.cache/vllm",
        "VLLM_API_KEY": "s3cret",
        "HOME": "/home/me",
    }
    made = command("vllm/vllm-openai", tmp_path, environment)
    assert made[: made.index("vllm/vllm-openai")] == before_the_image(tmp_path, [*OFFLINE, "VLLM_DISABLED_KERNELS"])


def test_the_key_is_named_and_not_shown(tmp_path: Path) -> None:
    made = command("vllm/vllm-openai", tmp_path, {"VLLM_API_KEY": "s3cret"}, api_key=True)
    assert made[: made.index("vllm/vllm-openai")] == before_the_image(tmp_path, [*OFFLINE, "VLLM_API_KEY"])
    assert "s3cret" not in " ".join(made)


def test_a_link_is_mounted_as_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert f"{tmp_path / 'real'}:/model:ro" in command("vllm/vllm-openai", tmp_path / "link")
