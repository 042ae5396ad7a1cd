"""vLLM's exact command line and environment; the user's arguments override others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.errors import UsageError
from annie_eval.profile.types import Profile, Serving
from annie_eval.serving.checkpoint import Checkpoint
from annie_eval.serving.native import Installation, ask, flag_name, native_command, native_environment, vllm_arguments

PLAIN = Checkpoint(Path("/m"), {"model_type": "llama"})
MODELOPT = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
NVFP4 = Checkpoint(Path("/m"), {"model_type": "llama"}, MODELOPT, input_scales=True)
WEIGHT_ONLY = Checkpoint(Path("/m"), {"model_type": "llama"}, MODELOPT, input_scales=False)
WRAPPED = Checkpoint(Path("/m"), {"model_type": "qwen3_5", "vision_config": {}, "text_config": {}})


def arguments(found: Checkpoint, profile: Profile, *extra: str, **facts: Any) -> list[str]:
    return vllm_arguments(found, profile, extra, served_model="annie-1", **facts)


def test_the_command() -> None:
    assert native_command(Path("/venv/bin/python"), Path("/m"), 8123, ["--enforce-eager"]) == [
        "/venv/bin/python",
        *("-m", "vllm.entrypoints.openai.api_server"),
        *("--model", "/m", "--host", "127.0.0.1", "--port", "8123"),
        "--enforce-eager",
    ]


def test_arguments_come_from_the_profile(profile: Profile) -> None:
    serving = replace(profile.serving, chat_template_kwargs={"enable_thinking": False}, args=("--max-num-seqs", "8"))
    assert arguments(PLAIN, replace(profile, serving=serving), eager=True) == [
        *("--served-model-name", "annie-1"),
        *("--generation-config", "vllm"),
        "--enable-prompt-tokens-details",
        "--enable-auto-tool-choice",
        *("--tool-call-parser", "hermes"),
        *("--reasoning-parser", "qwen3"),
        *("--default-chat-template-kwargs", '{"enable_thinking": false}'),
        *("--max-model-len", "4096"),
        "--enforce-eager",
        *("--max-num-seqs", "8"),
    ]


@pytest.mark.parametrize(
    ("config", "served"),
    [
        ({"max_position_embeddings": 2048}, "2048"),
        ({"max_position_embeddings": 8192}, "4096"),
        ({"text_config": {"max_position_embeddings": 2048}}, "2048"),
        ({}, "4096"),
    ],
)
def test_no_more_context_is_asked_for_than_the_model_has(
    config: dict[str, Any], served: str, profile: Profile
) -> None:
    given = arguments(Checkpoint(Path("/m"), config), profile)
    assert given[given.index("--max-model-len") + 1] == served


def test_a_profile_without_parsers_serves_without(profile: Profile) -> None:
    assert arguments(PLAIN, replace(profile, serving=Serving())) == [
        *("--served-model-name", "annie-1"),
        *("--generation-config", "vllm"),
        "--enable-prompt-tokens-details",
    ]


def test_a_quantised_checkpoint_is_loaded_with_weight_tracking_where_vllm_has_it(profile: Profile) -> None:
    tracking = ["--model-loader-extra-config", '{"enable_weights_track":true}']
    assert tracking == arguments(NVFP4, profile, weights_track=True)[-2:]
    assert not set(tracking) & set(arguments(NVFP4, profile, weights_track=False))
    assert not set(tracking) & set(arguments(PLAIN, profile, weights_track=True))
    # vLLM 0.32 refuses an intact W4A16 checkpoint for the input scales that it has no use for.
    assert not set(tracking) & set(arguments(WEIGHT_ONLY, profile, weights_track=True))


def test_of_a_vision_language_checkpoint_the_text_model_is_served_where_vllm_can(profile: Profile) -> None:
    assert "--language-model-only" in arguments(WRAPPED, profile, language_model_only=True)
    assert "--language-model-only" not in arguments(WRAPPED, profile)
    assert "--language-model-only" not in arguments(PLAIN, profile, language_model_only=True)


def test_a_dgx_spark_keeps_memory_for_the_system(profile: Profile) -> None:
    assert arguments(PLAIN, profile, gpus=["NVIDIA GB10"])[-2:] == ["--gpu-memory-utilization", "0.7"]
    assert "--gpu-memory-utilization" not in arguments(PLAIN, profile, gpus=["NVIDIA H100 80GB HBM3"])


@pytest.mark.parametrize(
    ("given", "gone"),
    [
        (["--max-model-len", "512"], ["--max-model-len", "4096"]),
        (["--max_model_len=512"], ["--max-model-len", "4096"]),
        (["--no-enforce-eager"], ["--enforce-eager"]),
        (["-cc.mode=none"], ["--enforce-eager"]),
        (["-O0"], ["--enforce-eager"]),
        (["--generation-config", "auto"], ["--generation-config", "vllm"]),
        (["--tool-call-parser", "qwen3_coder"], ["--tool-call-parser", "hermes"]),
        (['--model-loader-extra-config={"num_threads":2}'], ['{"enable_weights_track":true}']),
        (["--gpu-memory-utilization", "0.5"], ["--gpu-memory-utilization", "0.7"]),
    ],
)
def test_what_the_user_gives_replaces_ours(given: list[str], gone: list[str], profile: Profile) -> None:
    facts: dict[str, Any] = {"eager": True, "weights_track": True, "gpus": ["NVIDIA GB10"]}
    before = " ".join(arguments(NVFP4, profile, **facts))
    after = " ".join(arguments(NVFP4, profile, *given, **facts))
    assert " ".join(gone) in before
    assert " ".join(gone) not in after
    assert after.endswith(" ".join(given))


def test_what_the_user_gives_replaces_the_profiles(profile: Profile) -> None:
    serving = replace(profile.serving, args=("--seed", "-1", "--max-num-seqs", "8"))
    given = arguments(PLAIN, replace(profile, serving=serving), "--max-num-seqs", "2")
    assert given[-4:] == ["--seed", "-1", "--max-num-seqs", "2"]


def test_flags_are_compared_by_what_they_set() -> None:
    assert flag_name("--max_model_len=3") == flag_name("--max-model-len") == "max-model-len"
    assert flag_name("--no-enable-prefix-caching") == "enable-prefix-caching"
    assert flag_name("-tp") == "tensor-parallel-size"


def test_the_environment_reaches_for_no_network_and_keeps_the_callers() -> None:
    made = native_environment([], cpu=False, api_key=None, base={"PATH": "/bin", "HF_HUB_OFFLINE": "0"})
    assert made["PATH"] == "/bin"
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK")
    assert [made[name] for name in offline] == ["1"] * 4
    assert "VLLM_CPU_KVCACHE_SPACE" not in made
    assert "VLLM_API_KEY" not in made


def test_a_cpu_starts_fast_unless_told_otherwise() -> None:
    made = native_environment([], cpu=True, api_key=None, base={})
    assert (made["VLLM_CPU_KVCACHE_SPACE"], made["VLLM_ENABLE_V1_MULTIPROCESSING"]) == ("2", "0")
    own = {"VLLM_CPU_KVCACHE_SPACE": "9", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    assert native_environment([], cpu=True, api_key=None, base=own).items() >= own.items()
    # The variable would win over the flag.
    for flag in ("--kv-cache-memory-bytes=1000", "--gpu-memory-utilization"):
        assert "VLLM_CPU_KVCACHE_SPACE" not in native_environment([flag], cpu=True, api_key=None, base={})


def test_the_key_is_passed_by_the_environment_alone() -> None:
    assert native_environment([], cpu=True, api_key="s3cret", base={})["VLLM_API_KEY"] == "s3cret"


def test_an_interpreter_tells_its_vllm_without_importing_it(fake_python: Path, tmp_path: Path) -> None:
    assert ask(fake_python) == Installation(fake_python, "0.32.0", True, True, True)
    site = tmp_path / "site"
    (site / "vllm" / "engine").mkdir(parents=True)
    (site / "vllm" / "__init__.py").write_text("raise SystemExit('imported')")
    (site / "vllm" / "engine" / "arg_utils.py").write_text("language_model_only: bool = False\n")
    (site / "vllm-0.24.0+cu130.dist-info").mkdir()
    (site / "vllm-0.24.0+cu130.dist-info" / "METADATA").write_text("Name: vllm\nVersion: 0.24.0+cu130\n")
    (site / "vllm" / "config").mkdir()
    (site / "vllm" / "config" / "kernel.py").write_text('LinearBackend = Literal[\n    "auto",\n    "marlin",\n]\n')
    python = tmp_path / "other"
    import sys

    python.write_text(f'#!/bin/sh\nPYTHONPATH={site} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert ask(python) == Installation(python, "0.24.0+cu130", False, False, True, ("auto", "marlin"))


def test_an_interpreter_without_vllm_and_one_that_is_none(tmp_path: Path) -> None:
    import sys

    with pytest.raises(UsageError, match="has no vLLM; install it there"):
        ask(Path(sys.executable))
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(UsageError, match="does not run as a Python interpreter"):
        ask(broken)
