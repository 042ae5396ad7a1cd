"""Preflight agrees with vLLM: every config form that vLLM reads passes, wrong ones are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from quant import images
from quant.cli import main
from quant.preflight.check import preflight, refusals
from tests.support import hub, mutants, tiny

Edit = Callable[[Path], Any]
ATTN, MLP = mutants.ATTN, mutants.MLP
DOWN = f"{MLP}.down_proj"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Exports of the tiny text model, by recipe; without their provenance, so that only what is there counts."""
    root = tmp_path_factory.mktemp("made")
    calib = tiny.calibration_file(root / "calibration.jsonl")
    source = tiny.qwen3_5_text(root / "model")
    found = {"bf16": source}
    for recipe, more in (
        ("nvfp4-default", ["--kv-cache", "fp8"]),
        ("nvfp4-w4a16", []),
        ("qwen3_5-mixed", []),
        ("fp8", []),
    ):
        out = root / recipe
        arguments = ["--model", str(source), "--recipe", recipe, "--calib", str(calib), "--out", str(out), *more]
        assert main(["ptq", *arguments]) == 0
        (out / "quant_run.json").unlink()
        found[recipe] = out
    return found


def config(edit: Callable[[dict[str, Any]], Any]) -> Edit:
    return lambda path: mutants.change_json(path, "config.json", edit)


def section(edit: Callable[[dict[str, Any]], Any]) -> Edit:
    return config(lambda c: edit(c["quantization_config"]))


def weights(edit: Callable[[mutants.Tensors], Any]) -> Edit:
    return lambda path: mutants.change(path, edit)


def both(*edits: Edit) -> Edit:
    return lambda path: [edit(path) for edit in edits]


def nested(path: Path) -> None:
    """ModelOpt's older form inside config.json."""
    legacy = json.loads((path / "hf_quant_config.json").read_text())
    config(lambda c: c.update(quantization_config={**legacy, "quant_method": "modelopt"}))(path)


def only_hf(path: Path) -> None:
    config(lambda c: c.pop("quantization_config"))(path)


def in_text_config(path: Path) -> None:
    """As some vision models keep it; here the text model is put into the wrapper first."""
    assert main(["export", str(path), "--for", "vllm-0.26", "--out", str(path.parent / "wrapped")]) == 0
    shutil.rmtree(path)
    (path.parent / "wrapped").rename(path)
    (path / "quant_run.json").unlink(missing_ok=True)
    config(lambda c: c["text_config"].update(quantization_config=c.pop("quantization_config")))(path)


def downloaded(path: Path) -> None:
    """As `hf download --local-dir` leaves it."""
    cache = path / ".cache" / "huggingface"
    (cache / "download").mkdir(parents=True)
    (cache / ".gitignore").write_text("*")
    (cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    for name in ("config.json", "model.safetensors"):
        (cache / "download" / f"{name}.lock").touch()
        (cache / "download" / f"{name}.metadata").write_text("abc\ndef\n0.0\n")


def no_input_scales(tensors: mutants.Tensors) -> None:
    for name in [name for name in tensors if name.endswith(".input_scale")]:
        del tensors[name]


def no_activations(s: dict[str, Any]) -> None:
    for group in s["config_groups"].values():
        group["input_activations"] = None


def fused_names(s: dict[str, Any], _: str) -> None:
    layers = s["quantized_layers"]
    for name in [name for name in layers if name.endswith(".up_proj")]:
        layers[name.replace(".up_proj", ".gate_up_proj")] = layers.pop(name)
        del layers[name.replace(".up_proj", ".gate_proj")]


def attention_scales(tensors: mutants.Tensors) -> None:
    for name in [name for name in tensors if name.endswith((".k_scale", ".v_scale"))]:
        tensors[name.replace("k_proj.", "").replace("v_proj.", "")] = tensors.pop(name)


def kv_nvfp4(path: Path) -> None:
    scheme = {"num_bits": 4, "type": "float", "dynamic": False}
    section(lambda s: s.update(kv_cache_scheme=scheme))(path)
    mutants.change_json(path, "hf_quant_config.json", lambda c: c["quantization"].update(kv_cache_quant_algo="NVFP4"))


ACCEPTED: list[tuple[str, str, Edit]] = [
    ("modelopt_fp4", "nvfp4-default", section(lambda s: s.update(quant_method="modelopt_fp4"))),
    ("nested", "nvfp4-default", nested),
    ("only_hf_quant_config", "nvfp4-default", only_hf),
    ("only_hf_quant_config_fp8", "fp8", only_hf),
    ("text_config", "nvfp4-default", in_text_config),
    ("group_size_text", "nvfp4-default", lambda p: mutants.in_both(p, lambda s, _: s.update(group_size="16"))),
    ("weight_only", "nvfp4-default", both(section(no_activations), weights(no_input_scales))),
    ("old_input_scale", "nvfp4-w4a16", weights(lambda t: t.update({f"{DOWN}.input_scale": torch.ones(())}))),
    ("inv_freq", "nvfp4-default", weights(lambda t: t.update({f"{ATTN}.rotary_emb.inv_freq": torch.ones(16)}))),
    ("attention_k_scale", "nvfp4-default", weights(attention_scales)),
    ("nvfp4_kv_cache", "nvfp4-default", kv_nvfp4),
    ("hf_download", "nvfp4-default", downloaded),
    ("layers_in_hf_quant_config", "qwen3_5-mixed", section(lambda s: s.pop("quantized_layers"))),
    ("fused_names", "qwen3_5-mixed", lambda p: mutants.in_both(p, fused_names)),
    ("kv_cache_in_hf_quant_config_only", "nvfp4-default", section(lambda s: s.pop("kv_cache_scheme"))),
    ("mtp_fc", "nvfp4-default", weights(lambda t: t.update({"mtp.fc.weight": torch.randn(128, 256).bfloat16()}))),
]  # fmt: skip


@pytest.mark.parametrize(("recipe", "edit"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_what_vllm_loads_is_not_refused(made: dict[str, Path], tmp_path: Path, recipe: str, edit: Edit) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(made[recipe], path)
    edit(path)
    assert refusals(preflight(path)) == []
    assert refusals(preflight(path, image=images.find("vllm-0.32"))) == []


def drop_scheme(s: dict[str, Any]) -> None:
    del s["kv_cache_scheme"]
    s["kv_cache_quant_algo"] = "FP8"


def byte_level_llama(path: Path) -> None:
    mutants.change_json(path, "tokenizer_config.json", lambda c: c.update(tokenizer_class="LlamaTokenizerFast"))


def pieces_under_bytes(path: Path) -> None:
    """A class over bytes, and a tokenizer.json of SentencePiece's kind."""
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    mutants.change_json(path, "tokenizer.json", lambda c: c.update(pre_tokenizer=metaspace, decoder=metaspace))
    mutants.change_json(path, "tokenizer_config.json", lambda c: c.update(tokenizer_class="GPT2Tokenizer"))


def eot(path: Path) -> None:
    """A template that ends turns with another token than the one that stops generation."""
    hub.tokenizer(path, ["<|end_of_text|>", "<|eot_id|>"], hub.LLAMA3_TEMPLATE, eos_token="<|end_of_text|>")
    (path / "chat_template.jinja").unlink(missing_ok=True)
    (path / "generation_config.json").write_text('{"eos_token_id": 256}')


REFUSED: list[tuple[str, str, Edit, str]] = [
    ("only_hf_quant_config_w4a16", "nvfp4-w4a16", only_hf, "quantization_config"),
    ("only_hf_quant_config_mixed", "qwen3_5-mixed", only_hf, "quantization_config"),
    ("null_activations_beside_input_scales", "nvfp4-default", section(no_activations), "input_scale"),
    ("ignore_null", "nvfp4-default", section(lambda s: s.update(ignore=None)), "ignore"),
    ("ignore_text", "nvfp4-default", section(lambda s: s.update(ignore="lm_head")), "ignore"),
    ("kv_scheme_dropped", "nvfp4-default", section(drop_scheme), "kv_cache"),
    ("kv_scheme_integer", "nvfp4-default", section(lambda s: s.update(kv_cache_scheme=8)), "kv_cache"),
    ("kv_scheme_of_int", "nvfp4-default", section(lambda s: s["kv_cache_scheme"].update(type="int")), "kv_cache"),
    ("input_scales_all_one", "nvfp4-default", weights(lambda t: t.update(
        {n: torch.ones_like(x) for n, x in t.items() if n.endswith("input_scale")})), "input_scale"),
    ("pad_token_beyond", "nvfp4-default", config(lambda c: c.update(pad_token_id=99999)), "pad_token_id"),
    ("bos_token_beyond", "nvfp4-default", lambda p: mutants.change_json(
        p, "generation_config.json", lambda c: c.update(bos_token_id=320)), "bos_token_id"),
    ("sentencepiece_class", "nvfp4-default", byte_level_llama, "tokenizer_class"),
    ("byte_level_class", "nvfp4-default", pieces_under_bytes, "tokenizer_class"),
    ("eot_id_never_stops", "nvfp4-default", eot, "eot_id"),
    ("theta_twice", "nvfp4-default", config(lambda c: c.update(rope_theta=5.0)), "rope_theta"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "edit", "names"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_would_be_served_wrongly_is_refused_by_name(
    made: dict[str, Path], tmp_path: Path, recipe: str, edit: Edit, names: str
) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(made[recipe], path)
    assert refusals(preflight(path)) == []
    edit(path)
    found = refusals(preflight(path, image=images.find("vllm-0.32")))
    assert any(names in str(finding) for finding in found), [str(finding) for finding in found]


def test_weights_alone_under_the_name_of_nvfp4_are_refused_for_an_image_that_ignores_that(
    made: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(made["nvfp4-default"], path)
    both(section(no_activations), weights(no_input_scales))(path)
    refused = {name: refusals(preflight(path, image=images.find(name))) for name in ("vllm-0.24", "vllm-0.32")}
    assert any("quantises no activations" in str(finding) for finding in refused["vllm-0.24"])
    assert refused["vllm-0.32"] == []


# --- FP8 in its other shapes ----------------------------------------------------------------------------------------

FORMATS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "FP8_PB_WO": lambda w: torch.full((-(-w.shape[0] // 128), 1, w.shape[1] // 128, 1), 0.01),
    "FP8_PER_CHANNEL_PER_TOKEN": lambda w: torch.full((w.shape[0],), 0.01),
    "MXFP8": lambda w: torch.full((w.shape[0], w.shape[1] // 32), 120, dtype=torch.uint8),
}


def in_format(path: Path, algorithm: str) -> None:
    """The FP8 export with the scales of another FP8 format."""

    def edit(tensors: mutants.Tensors) -> None:
        no_input_scales(tensors)
        for name in [name for name in tensors if name.endswith(".weight_scale")]:
            tensors[name] = FORMATS[algorithm](tensors[name.removesuffix("_scale")])

    mutants.change(path, edit)
    mutants.in_both(path, lambda s, _: s.update(quant_algo=algorithm))


BREAKS: dict[str, Callable[[mutants.Tensors, str], Any]] = {
    "missing": lambda t, name: t.pop(name),
    "nan": lambda t, name: t[name].fill_(255 if t[name].dtype == torch.uint8 else float("nan")),
    "shape": lambda t, name: t.__setitem__(name, t[name][:-1] if t[name].shape[0] > 1 else t[name].repeat(2, 1, 1, 1)),
    "dtype": lambda t, name: t.__setitem__(name, t[name].to(torch.int32)),
}  # fmt: skip


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("algorithm", FORMATS)
def test_the_scales_of_every_fp8_format_are_looked_at(
    made: dict[str, Path], tmp_path: Path, algorithm: str, how: str
) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(made["fp8"], path)
    in_format(path, algorithm)
    assert refusals(preflight(path)) == []
    mutants.change(path, lambda t: BREAKS[how](t, f"{DOWN}.weight_scale"))
    assert any(f"{DOWN}.weight_scale" in finding.where for finding in refusals(preflight(path)))


@pytest.mark.parametrize("algorithm", FORMATS)
def test_an_input_scale_where_activations_are_scaled_as_they_come_is_warned_of(
    made: dict[str, Path], tmp_path: Path, algorithm: str
) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(made["fp8"], path)
    in_format(path, algorithm)
    mutants.change(path, lambda t: t.update({f"{DOWN}.input_scale": torch.tensor(0.1)}))
    found = [one for one in preflight(path) if f"{DOWN}.input_scale" in one.where]
    assert [(one.level, algorithm in one.problem) for one in found] == [("warned", True)]


def test_of_a_setting_within_a_setting_the_inner_one_is_named(made: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(made["bf16"], path)
    config(lambda c: c["rope_parameters"].update(rope_theta=12345.0))(path)
    found = [one for one in refusals(preflight(path, reference=made["bf16"])) if "rope" in one.where]
    assert [one.where for one in found] == ["config.json: rope_parameters.rope_theta"]
    assert "12345" in found[0].problem


# --- images ---------------------------------------------------------------------------------------------------------


def test_an_image_with_transformers_4_gets_what_that_reads(made: dict[str, Path], tmp_path: Path) -> None:
    """The theta, dtype and tokenizer class in the older spelling; the model is the same to transformers 5."""
    source = tiny.llama(tmp_path / "model")
    mutants.change_json(source, "config.json", lambda c: c["rope_parameters"].update(rope_theta=100000.0))
    mutants.change_json(source, "tokenizer_config.json", lambda c: c.update(extra_special_tokens=["<|endoftext|>"]))
    older = images.find("vllm-0.19")
    found = {finding.where for finding in preflight(source, image=older)}
    assert "config.json: rope_parameters" in found
    assert "tokenizer_config.json: extra_special_tokens" in found
    assert main(["export", str(source), "--for", "vllm-0.19", "--out", str(tmp_path / "out")]) == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["rope_theta"] == 100000.0
    assert config["torch_dtype"] == "bfloat16"
    assert preflight(tmp_path / "out", image=older, reference=source) == []


def test_a_quantised_head_is_refused_for_an_image_that_takes_it_for_bf16(
    made: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(made["nvfp4-default"], path)

    def edit(tensors: mutants.Tensors) -> None:
        for part in ("weight", "weight_scale", "weight_scale_2", "input_scale"):
            tensors[f"lm_head.{part}"] = tensors[f"{ATTN}.o_proj.{part}"].clone()

    mutants.change(path, edit)
    mutants.in_both(path, lambda s, key: s[key].remove("lm_head"))
    where = [finding.where for finding in refusals(preflight(path, image=images.find("vllm-0.19")))]
    assert any("lm_head.weight" in place for place in where)
    newer = refusals(preflight(path, image=images.find("vllm-0.32")))
    assert not any("knows no quantised lm_head" in finding.problem for finding in newer)


def test_every_image_has_a_release_that_was_read_and_its_machines() -> None:
    assert set(images.images()) >= {"vllm-0.19", "vllm-0.24", "vllm-0.33", "ngc-26.10"}
    for image in images.images().values():
        assert image.vllm in images.releases()
        assert "aarch64" in image.machines
    assert images.find("ngc-26.10").vllm == "0.31.0"
    assert images.find("vllm-0.19").release.transformers_4
    assert not images.find("vllm-0.24").release.transformers_4


def test_a_version_that_was_not_read_counts_as_the_next_older_one() -> None:
    assert images.release_of("0.32.7") is images.releases()["0.32.0"]
    assert images.release_of("0.1") is images.releases()["0.19.0"]


# --- one finding a cause --------------------------------------------------------------------------------------------


def test_one_cause_is_one_finding_with_the_number_of_layers(made: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(made["nvfp4-default"], path)
    mutants.change(path, no_input_scales)
    (found,) = preflight(path)
    assert found.layers == 25
    assert "(the same in 25 layers)" in str(found)


def test_a_warning_is_no_refusal(made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(made["nvfp4-default"], path)
    only_hf(path)
    assert main(["preflight", str(path), "--for", "vllm-0.32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("warning: config.json: quantization_config: is missing")
    assert "ready for vllm-0.32" in lines[-1]
    assert lines[-1].endswith("1 warning")
    assert main(["preflight", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["level"] == "warned"


# --- formats of other makers ----------------------------------------------------------------------------------------


def compressed(source: Path, path: Path) -> Path:
    """nvfp4-pack-quantized, made of a ModelOpt export: other names, and global scales the other way up."""
    shutil.copytree(source, path)
    tensors = load_file(path / "model.safetensors")
    new: mutants.Tensors = {}
    for name, tensor in tensors.items():
        parent, _, last = name.rpartition(".")
        if tensor.dtype == torch.uint8:
            new[f"{parent}.weight_packed"] = tensor
        elif last == "weight_scale_2":
            new[f"{parent}.weight_global_scale"] = (1 / tensor).reshape(1)
        elif last == "input_scale":
            new[f"{parent}.input_global_scale"] = (1 / tensor).reshape(1)
        elif last not in {"k_scale", "v_scale"}:
            new[name] = tensor
    save_file(new, path / "model.safetensors", {"format": "pt"})
    ignored = json.loads((path / "config.json").read_text())["quantization_config"]["ignore"]
    group = {
        "format": "nvfp4-pack-quantized", "targets": ["Linear"],
        "weights": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": True},
        "input_activations": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "dynamic": "local",
                              "group_size": 16, "symmetric": True},
    }  # fmt: skip
    names = ["re:.*in_proj_[ab]$" if "in_proj_" in name else name for name in ignored]
    quantised = {
        "quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "config_groups": {"group_0": group},
        "ignore": sorted(set(names)), "quantization_status": "compressed",
    }  # fmt: skip
    mutants.change_json(path, "config.json", lambda c: c.update(quantization_config=quantised))
    (path / "hf_quant_config.json").unlink()
    return path


SCALE = f"{DOWN}.weight_scale"


def test_diff_and_compare_read_compressed_tensors(
    made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same weights under other names: the same distance from the BF16 model."""
    theirs = compressed(made["nvfp4-default"], tmp_path / "ct")
    data = tiny.calibration_file(tmp_path / "data.jsonl", 2)
    found = []
    for path in (made["nvfp4-default"], theirs):
        capsys.readouterr()
        assert main(["diff", str(made["bf16"]), str(path), "--data", str(data), "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["kl"])
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert found[0] > 0
    assert main(["compare", str(made["nvfp4-default"]), str(theirs)]) == 0
    assert "compressed-tensors (25 NVFP4" in capsys.readouterr().out


def unpacked(tensors: mutants.Tensors) -> None:
    del tensors[f"{DOWN}.weight_packed"]
    tensors[f"{DOWN}.weight"] = torch.ones(128, 256).bfloat16()


def test_compressed_tensors_is_checked_as_vllm_reads_it(made: dict[str, Path], tmp_path: Path) -> None:
    path = compressed(made["nvfp4-default"], tmp_path / "ct")
    (warning,) = preflight(path, image=images.find("vllm-0.32"))
    assert warning.level == "warned"
    assert "compressed-tensors (nvfp4-pack-quantized)" in warning.problem
    for name, edit, says in (
        ("scale", lambda t: t.pop(f"{DOWN}.weight_global_scale"), f"{DOWN}.weight_global_scale"),
        ("nan", lambda t: t[f"{DOWN}.input_global_scale"].fill_(float("nan")), f"{DOWN}.input_global_scale"),
        ("shape", lambda t: t.update({SCALE: t[SCALE][:-1]}), SCALE),
        ("plain", unpacked, f"{DOWN}.weight"),
    ):  # fmt: skip
        broken = tmp_path / name
        shutil.copytree(path, broken)
        mutants.change(broken, edit)  # type: ignore[arg-type]
        assert any(says in finding.where for finding in refusals(preflight(broken))), name


def test_a_pattern_of_an_untrusted_config_cannot_take_long() -> None:
    from quant.preflight.foreign import matches

    name = "model.layers.0.mlp." + "a" * 60
    assert not matches(name + "!", ["re:(.*a)*$", "re:" + ".*a" * 30, "re:["])
    assert matches("model.layers.0.mlp.gate", ["re:.*mlp.gate$"])
    assert matches("lm_head", ["lm_head"])


def mxfp4(path: Path) -> Path:
    """A few tensors as gpt-oss names them."""
    path.mkdir()
    blocks = torch.randint(0, 255, (2, 64, 4, 16), dtype=torch.uint8)
    experts = "model.layers.0.mlp.experts.gate_up_proj"
    save_file({f"{experts}_blocks": blocks, f"{experts}_scales": blocks[..., 0].clamp(max=130).contiguous(),
               "model.embed_tokens.weight": torch.randn(320, 64).bfloat16(),
               "lm_head.weight": torch.randn(320, 64).bfloat16()},
              path / "model.safetensors", {"format": "pt"})  # fmt: skip
    content = {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "vocab_size": 320, "eos_token_id": 257,
               "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}}  # fmt: skip
    (path / "config.json").write_text(json.dumps(content))
    tiny.byte_tokenizer(path)
    return path


def test_mxfp4_is_named_and_its_scales_are_looked_at(tmp_path: Path) -> None:
    path = mxfp4(tmp_path / "mx")
    (warning,) = preflight(path, image=images.find("vllm-0.32"))
    assert (warning.level, "mxfp4" in warning.problem) == ("warned", True)
    mutants.change(path, lambda t: t["model.layers.0.mlp.experts.gate_up_proj_scales"].fill_(255))
    assert any("_scales" in finding.where for finding in refusals(preflight(path)))


def test_block_fp8_of_transformers_is_named_and_its_scales_are_looked_at(
    made: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "fp8"
    shutil.copytree(made["fp8"], path)

    def edit(tensors: mutants.Tensors) -> None:
        no_input_scales(tensors)
        for name in [name for name in tensors if name.endswith(".weight_scale")]:
            rows, columns = tensors[name.removesuffix("_scale")].shape
            del tensors[name]
            tensors[f"{name}_inv"] = torch.full((-(-rows // 128), -(-columns // 128)), 0.01)

    mutants.change(path, edit)
    (path / "hf_quant_config.json").unlink()
    quantised = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic",
                 "modules_to_not_convert": ["lm_head", "in_proj_a", "in_proj_b"]}  # fmt: skip
    mutants.change_json(path, "config.json", lambda c: c.update(quantization_config=quantised))
    (warning,) = preflight(path, image=images.find("vllm-0.32"))
    assert warning.problem.startswith("is fp8, which other tools make")
    mutants.change(path, lambda t: t.pop(f"{DOWN}.weight_scale_inv"))
    assert any(f"{DOWN}.weight_scale_inv" in finding.where for finding in refusals(preflight(path)))


def test_parts_of_a_fused_layer_in_two_formats_are_named(made: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(made["nvfp4-default"], path)

    def edit(tensors: mutants.Tensors) -> None:
        rows, columns = tensors.pop(f"{ATTN}.q_proj.weight").shape
        for scale in ("weight_scale", "weight_scale_2", "input_scale"):
            del tensors[f"{ATTN}.q_proj.{scale}"]
        tensors[f"{ATTN}.q_proj.weight"] = torch.randn(rows, 2 * columns).bfloat16()

    mutants.change(path, edit)
    (found,) = [one for one in refusals(preflight(path)) if one.point == 3]
    assert "q_proj BF16" in found.problem
    assert "k_proj NVFP4" in found.problem


def test_export_says_what_it_does_not_convert(
    made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = compressed(made["nvfp4-default"], tmp_path / "ct")
    assert main(["export", str(path), "--for", "vllm-0.32", "--out", str(tmp_path / "out")]) == 2
    assert "compressed-tensors" in capsys.readouterr().err.splitlines()[-1]


# --- mixtures of experts as NVIDIA publishes them -------------------------------------------------------------------


def experts(path: Path, prefix: str, content: dict[str, Any], legacy: dict[str, Any] | None, **more: Any) -> Path:
    """A few tensors of a mixture of experts: two experts in NVFP4, router and attention in BF16."""
    path.mkdir()
    tensors: mutants.Tensors = {}
    for expert in range(2):
        for part, (rows, columns) in (("gate_proj", (32, 64)), ("up_proj", (32, 64)), ("down_proj", (64, 32))):
            name = f"{prefix}.layers.0.mlp.experts.{expert}.{part}"
            tensors[f"{name}.weight"] = torch.randint(0, 255, (rows, columns // 2), dtype=torch.uint8)
            scales = torch.rand(rows, columns // 16) + 1
            tensors[f"{name}.weight_scale"] = scales.to(torch.float8_e4m3fn)
            tensors[f"{name}.weight_scale_2"] = torch.tensor(0.001)
            tensors[f"{name}.input_scale"] = torch.tensor(0.001 * (1 + expert + (part == "down_proj")))
    tensors[f"{prefix}.layers.0.mlp.gate.weight"] = torch.randn(2, 64).bfloat16()
    tensors[f"{prefix}.layers.0.self_attn.q_proj.weight"] = torch.randn(64, 64).bfloat16()
    tensors[f"{prefix}.embed_tokens.weight"] = torch.randn(320, 64).bfloat16()
    tensors["lm_head.weight"] = torch.randn(320, 64).bfloat16()
    tensors |= more
    save_file(tensors, path / "model.safetensors", {"format": "pt"})
    (path / "config.json").write_text(json.dumps(content))
    if legacy is not None:
        (path / "hf_quant_config.json").write_text(json.dumps(legacy))
    tiny.byte_tokenizer(path)
    return path


TEXT = {"vocab_size": 320, "num_experts": 2, "eos_token_id": 257, "tie_word_embeddings": False}
PRODUCER = {"name": "modelopt", "version": "0.41.0"}


def test_an_older_moe_with_hf_quant_config_alone_is_not_refused(tmp_path: Path) -> None:
    content = {**TEXT, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe"}
    excluded = ["lm_head", "model.layers.0.mlp.gate", "model.layers.0.self_attn.*"]
    legacy = {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16, "exclude_modules": excluded}
    path = experts(tmp_path / "moe", "model", content, {"producer": PRODUCER, "quantization": legacy})
    assert refusals(preflight(path, image=images.find("vllm-0.32"))) == []


def test_a_vision_moe_whose_router_no_list_names_is_not_refused(tmp_path: Path) -> None:
    """vLLM builds Qwen3.5's router without a quantisation method; the KV cache stands in one file only."""
    inner = {**TEXT, "model_type": "qwen3_5_moe_text"}
    excluded = ["lm_head", "model.language_model.layers.0.self_attn*", "model.visual*", "mtp*"]
    quantised = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": excluded, "producer": PRODUCER,
                 "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "float", "group_size": 16},
                                               "input_activations": {"num_bits": 4}}}}  # fmt: skip
    content = {"architectures": ["Qwen3_5MoeForConditionalGeneration"], "model_type": "qwen3_5_moe",
               "text_config": inner, "vision_config": {"depth": 1}, "quantization_config": quantised,
               "tie_word_embeddings": False}  # fmt: skip
    legacy = {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16, "exclude_modules": excluded}
    visual = {"model.visual.blocks.0.attn.qkv.weight": torch.randn(96, 32).bfloat16()}
    path = experts(
        tmp_path / "moe", "model.language_model", content, {"producer": PRODUCER, "quantization": legacy}, **visual
    )
    assert refusals(preflight(path, image=images.find("vllm-0.32"))) == []


def test_a_tower_under_another_name_is_a_tower(tmp_path: Path) -> None:
    inner = {**TEXT, "model_type": "gemma4_text"}
    excluded = ["lm_head", "model.language_model.layers.0.self_attn*", "model.language_model.layers.0.mlp.gate"]
    quantised = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": excluded}
    content = {"architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4", "text_config": inner,
               "vision_config": {"num_hidden_layers": 1}, "quantization_config": quantised,
               "tie_word_embeddings": False}  # fmt: skip
    tower = {"model.vision_tower.encoder.layers.0.mlp.fc1.weight": torch.randn(96, 32).bfloat16()}
    path = experts(tmp_path / "moe", "model.language_model", content, None, **tower)
    assert refusals(preflight(path, image=images.find("vllm-0.32"))) == []


def test_a_mixed_moe_may_name_its_experts_as_one(tmp_path: Path) -> None:
    content = {**TEXT, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe"}
    layers = {"model.layers.0.mlp.experts": {"quant_algo": "NVFP4", "group_size": 16}}
    layers["model.layers.7.mlp.experts"] = layers["model.layers.0.mlp.experts"]  # which these few tensors lack
    content["quantization_config"] = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
                                      "quantized_layers": layers, "ignore": []}  # fmt: skip
    path = experts(tmp_path / "moe", "model", content, None)
    assert refusals(preflight(path, image=images.find("vllm-0.32"))) == []


def test_a_format_of_its_own_beside_modelopts_file_is_named_and_not_refused(tmp_path: Path) -> None:
    """DeepSeek V4: config.json says fp8, hf_quant_config.json says which experts are NVFP4."""
    content = {**TEXT, "architectures": ["DeepseekV4ForCausalLM"], "model_type": "deepseek_v4"}
    content["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}
    layers = {"model.layers.0.mlp.experts": {"quant_algo": "NVFP4", "group_size": 16}}
    legacy = {"quant_algo": "MIXED_PRECISION", "quantized_layers": layers, "exclude_modules": ["*.attn.*"]}
    path = experts(tmp_path / "moe", "model", content, {"producer": PRODUCER, "quantization": legacy})
    found = preflight(path, image=images.find("vllm-0.32"))
    assert refusals(found) == []
    assert "fp8" in str(found[0])
