"""Which changes are planned for a target, and what each does to the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from annie_eval.blame.factors import Factor, changed, find
from annie_eval.profile.types import Profile, Serving
from annie_eval.serving import TargetSpec
from annie_eval.serving.checkpoint import read
from annie_eval.serving.native import Installation, vllm_arguments
from tests.unit.serving.conftest import write_safetensors

CPU = Installation(Path("python"), "0.32.0", True, True, True, ("auto", "marlin", "emulation"))
GPU = replace(CPU, cpu=False)


def checkpoint(folder: Path, template: str = "{{ messages }}", **config: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps(
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True, **config}
        )
    )
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text(template)
    write_safetensors(folder / "model.safetensors")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "model", quantization_config={"quant_method": "modelopt", "quant_algo": "NVFP4"})


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "reference")


def profile(*arguments: str) -> Profile:
    serving = Serving(tool_parser="hermes", args=arguments)
    return Profile("test", Path("test.toml"), "You are Annie.", {}, (), {}, serving=serving)


def planned(
    model: Path, reference: Path | None, vllm: Installation | None, *arguments: str, own: tuple[str, ...] = ()
) -> dict[str, Factor]:
    spec = TargetSpec(model_dir=model, vllm_args=own)
    return {one.name: one for one in find(spec, profile(*arguments), reference, vllm, model.parent)}


def command(model: Path, factor: Factor, *arguments: str, own: tuple[str, ...] = ()) -> list[str]:
    spec, with_it = changed(TargetSpec(model_dir=model, vllm_args=own), profile(*arguments), [factor])
    assert spec.model_dir is not None
    return vllm_arguments(read(spec.model_dir), with_it, spec.vllm_args, served_model="m")


def test_on_a_cpu_what_it_lacks_is_not_tried(model: Path, reference: Path) -> None:
    assert list(planned(model, reference, CPU)) == [
        "weights",
        "no_prefix_cache",
        "linear_backend=emulation",
        "batch=1",
    ]


def test_on_a_gpu_with_everything_set(model: Path, reference: Path) -> None:
    (reference / "chat_template.jinja").write_text("{{ other }}")
    arguments = ("--speculative-config", '{"method": "mtp"}', "--kv-cache-dtype=fp8", "--attention-backend=FLASHINFER")
    assert list(planned(model, reference, GPU, *arguments)) == [
        "template=reference",
        "weights",
        "no_speculation",
        "no_prefix_cache",
        "linear_backend=emulation",
        "linear_backend=marlin",
        "kv_bfloat16",
        "eager",
        "attention=default",
        "batch=1",
    ]


def test_an_image_is_not_asked_for_its_kernels(model: Path) -> None:
    assert "eager" in planned(model, None, None)
    assert not any(name.startswith("linear_backend") for name in planned(model, None, None))


def test_what_is_so_already_is_no_change(model: Path) -> None:
    names = planned(model, None, GPU, "--no-enable-prefix-caching", "--enforce-eager", "--linear-backend=emulation")
    assert "no_prefix_cache" not in names
    assert "eager" not in names
    assert "linear_backend=emulation" not in names
    assert "linear_backend=marlin" in names


def test_a_kv_cache_that_the_checkpoint_asks_for_in_fp8_is_tried_in_bfloat16(tmp_path: Path) -> None:
    section = {"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}
    model = checkpoint(tmp_path / "kv", quantization_config=section)
    arguments = command(model, planned(model, None, CPU)["kv_bfloat16"], "--calculate-kv-scales")
    assert arguments[arguments.index("--kv-cache-dtype") + 1] == "bfloat16"
    assert "--calculate-kv-scales" not in arguments


def test_the_reference_is_served_with_the_models_own_template(model: Path, reference: Path) -> None:
    (reference / "chat_template.jinja").write_text("{{ other }}")
    factor = planned(model, reference, CPU)["weights"]
    spec, _ = changed(TargetSpec(model_dir=model, vllm_args=("--linear-backend", "marlin")), profile(), [factor])
    assert spec.model_dir == reference
    assert spec.vllm_args[0] == "--chat-template"
    assert Path(spec.vllm_args[1]).read_text() == "{{ messages }}"
    assert "--linear-backend" not in spec.vllm_args, "BF16 has no such kernel"


def test_a_container_sees_no_template_beside_the_model(model: Path, reference: Path) -> None:
    (reference / "chat_template.jinja").write_text("{{ other }}")
    spec = TargetSpec(model_dir=model, serve="docker", image="image")
    names = {one.name: one for one in find(spec, profile(), reference, None, model.parent)}
    assert "template=reference" not in names
    assert names["weights"].what == "the weights or the chat template"
    assert names["weights"].add == ()


def test_a_template_that_was_given_is_tried_against_the_directorys_own(model: Path) -> None:
    given = ("--chat-template", "/elsewhere.jinja")
    factor = planned(model, None, CPU, own=given)["template=own"]
    assert "--chat-template" not in command(model, factor, own=given)


def test_a_change_takes_the_place_of_what_was_given(model: Path) -> None:
    arguments = ("--enable-prefix-caching", "--speculative-config", '{"method": "mtp"}')
    names = planned(model, None, CPU, *arguments)
    assert "--enable-prefix-caching" not in command(model, names["no_prefix_cache"], *arguments)
    assert "--speculative-config" not in command(model, names["no_speculation"], *arguments)
    assert "--enable-prefix-caching" in command(model, names["no_speculation"], *arguments)
    given = ("--max-num-seqs=64",)
    assert command(model, names["batch=1"], own=given)[-2:] == ["--max-num-seqs", "1"]
    assert "--max-num-seqs=64" not in command(model, names["batch=1"], own=given)
