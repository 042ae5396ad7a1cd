"""Preflight refuses every broken checkpoint, names the place, and accepts every intact one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from quant import images
from quant.checkpoint.safetensors_file import TensorInfo
from quant.checkpoint.view import Tensor, View, view
from quant.cli import main
from quant.preflight.check import preflight
from quant.preflight.quantization import is_excluded
from quant.preflight.reference import file_findings, weight_findings
from tests.support import (
    mutants,
    mutants_input,  # noqa: F401 (adds to mutants.ALL)
    tiny,
)
from tests.support.growth import growth
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name(
    "preflight_mutants.json"
)  # all findings of each mutant: tests/support/stored_table.py
RECIPES = ("nvfp4-default", "nvfp4-awq-lite", "nvfp4-w4a16", "nvfp4-mlp-only", "fp8", "qwen3_5-mixed")
MODELS = {"llama": tiny.llama, "text": tiny.qwen3_5_text, "vl": tiny.qwen3_5_vl}


#: For each of the ten points, the mutants of which a finding that names the place belongs to it.
POINTS: dict[str, list[str]] = json.loads(Path(__file__).with_name("preflight_points.json").read_text())


class Exports:
    """Exports of tiny models, made when first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calibration = tiny.calibration_file(root / "calibration.jsonl")

    def source(self, model: str) -> Path:
        """The BF16 checkpoint."""
        path = self.root / model
        return path if path.exists() else MODELS[model](path)

    def get(self, model: str, recipe: str) -> Path:
        """The export of one recipe."""
        path = self.root / f"{model}-{recipe}"
        if not path.exists():
            source = str(self.source(model))
            calib = str(self.calibration)
            assert main(["ptq", "--model", source, "--recipe", recipe, "--calib", calib, "--out", str(path)]) == 0
        return path


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    return Exports(tmp_path_factory.mktemp("exports"))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("model", MODELS)
def test_every_intact_export_passes(exports: Exports, model: str, recipe: str) -> None:
    path = exports.get(model, recipe)
    assert preflight(path, reference=exports.source(model)) == []
    assert preflight(path, image=images.find("vllm-0.32")) == []


@pytest.mark.parametrize("model", MODELS)
def test_a_bf16_checkpoint_passes(exports: Exports, model: str) -> None:
    assert preflight(exports.source(model)) == []


@pytest.mark.parametrize("broken", mutants.ALL, ids=lambda m: m.name)
def test_every_mutant_is_refused_by_name(exports: Exports, tmp_path: Path, broken: mutants.Mutant) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(exports.get("text", broken.base), path)
    broken.break_it(path)
    if broken.needs != "provenance":
        (path / "quant_run.json").unlink(missing_ok=True)
    reference = exports.source("text") if broken.needs == "reference" else None
    findings = preflight(path, reference=reference)
    assert findings, "it passed"
    named = [finding for finding in findings if broken.names in str(finding)]
    assert named, [str(f) for f in findings]
    points = {int(point) for point, mutants_of in POINTS.items() if broken.name in mutants_of}
    assert {finding.point for finding in named} == points, "preflight_points.json says to which points it belongs"
    # Numbers depend on the random weights, reasons within brackets on Python, and paths on the machine.
    told = "\n".join(f"{one.point} {one.level} {one}" for one in findings)
    told = told.replace(str(exports.root), "EXPORTS").replace(str(tmp_path), "DIR")
    told = re.sub(r"[-+]?\d+\.\d+(e[-+]\d+)?%?|\d+%|(?<=is )\d+|(?<=as JSON )\(.*\)", "#", told)
    expect(TABLE, broken.name, told.splitlines())


@pytest.mark.parametrize("broken", [m for m in mutants.ALL if m.needs == "reference"], ids=lambda m: m.name)
def test_the_provenance_sees_what_otherwise_takes_the_reference(
    exports: Exports, tmp_path: Path, broken: mutants.Mutant
) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(exports.get("text", broken.base), path)
    broken.break_it(path)
    assert any(broken.names.partition(".weight")[0] in str(f) or "config.json" in f.where for f in preflight(path))


@pytest.mark.parametrize(("share", "found"), [(1.6, []), (1.7, []), (1.75, [10])])
@pytest.mark.parametrize("quantised", [True, False])
def test_a_quantised_checkpoint_is_smaller_than_its_reference(share: float, found: list[int], quantised: bool) -> None:
    """Quantising leaves less than the reference has; with scales and an untied head, up to 1.7 times of it."""
    theirs, ours = (
        View(Path("made"), tensors={"x_scale": Tensor(Path(), TensorInfo("U8", (size,), 0, size))})
        for size in (1000, round(1000 * share))
    )
    config = {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}} if quantised else {}
    ours.config.update(config)
    size = [
        finding.point
        for finding in weight_findings(ours, theirs, None)
        if "of the reference's size" in finding.problem
    ]
    assert size == (found if quantised else [])


@pytest.mark.parametrize("name", ["tokenizer_config.json", "generation_config.json"])
def test_a_file_that_the_reference_lacks_is_not_compared(exports: Exports, tmp_path: Path, name: str) -> None:
    ours = view(exports.get("text", "nvfp4-default"))[0]
    reference = tmp_path / "reference"
    shutil.copytree(exports.source("text"), reference)
    assert [str(finding) for finding in file_findings(ours, reference)] == []
    (reference / name).unlink()
    assert [str(finding) for finding in file_findings(ours, reference)] == []


def test_there_are_many_mutants() -> None:
    assert len(mutants.ALL) >= 120
    assert len({m.name for m in mutants.ALL}) == len(mutants.ALL)


def test_a_checkpoint_saved_again_still_passes(exports: Exports, tmp_path: Path) -> None:
    """Other layout of the same content is no defect."""
    path = tmp_path / "checkpoint"
    shutil.copytree(exports.get("text", "nvfp4-default"), path)
    mutants.change(path, lambda _: None)
    mutants.change_json(path, "config.json", lambda _: None)
    mutants.change_json(path, "generation_config.json", lambda _: None)
    assert preflight(path, reference=exports.source("text")) == []


@pytest.mark.parametrize(
    ("model", "recipe", "image", "names"),
    [
        ("text", "nvfp4-default", "vllm-0.24", "Qwen3_5ForCausalLM"),
        ("llama", "nvfp4-default", "vllm-0.24", "tie_word_embeddings"),
        ("llama", "nvfp4-w4a16", "vllm-0.19", "W4A16_NVFP4"),
    ],
)
def test_an_image_refuses_what_it_cannot_load(
    exports: Exports, model: str, recipe: str, image: str, names: str
) -> None:
    findings = preflight(exports.get(model, recipe), image=images.find(image))
    assert any(names in str(finding) for finding in findings)


@pytest.mark.parametrize("image", images.images())
@pytest.mark.parametrize("model", MODELS)
def test_export_for_an_image_makes_what_that_image_loads(
    exports: Exports, tmp_path: Path, model: str, image: str
) -> None:
    source = exports.get(model, "nvfp4-default")
    out = tmp_path / "out"
    assert main(["export", str(source), "--for", image, "--out", str(out)]) == 0
    assert preflight(out, image=images.find(image), reference=exports.source(model)) == []
    assert images.find(image).docker in (out / "serve.md").read_text()
    assert (out / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


def test_the_wrapper_and_back_is_the_same_checkpoint(exports: Exports, tmp_path: Path) -> None:
    source = exports.get("text", "qwen3_5-mixed")
    assert main(["export", str(source), "--for", "vllm-0.24", "--out", str(tmp_path / "wrapped")]) == 0
    wrapped = json.loads((tmp_path / "wrapped" / "config.json").read_text())
    assert wrapped["architectures"] == ["Qwen3_5ForConditionalGeneration"]
    assert main(["export", str(tmp_path / "wrapped"), "--for", "vllm-0.32", "--out", str(tmp_path / "back")]) == 0
    first, second = (load_file(p / mutants.WEIGHTS) for p in (source, tmp_path / "back"))
    assert {n: t.float().sum().item() for n, t in first.items()} == {
        n: t.float().sum().item() for n, t in second.items()
    }
    one, two = (json.loads((p / "config.json").read_text()) for p in (source, tmp_path / "back"))
    assert one["quantization_config"] == two["quantization_config"]


def test_shards_pass_too(exports: Exports, tmp_path: Path) -> None:
    path = tmp_path / "shards"
    shutil.copytree(exports.get("text", "qwen3_5-mixed"), path)
    tensors = load_file(path / mutants.WEIGHTS)
    (path / mutants.WEIGHTS).unlink()
    names = sorted(tensors)
    index: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, path / file, {"format": "pt"})
        index |= dict.fromkeys(part, file)
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    assert preflight(path, reference=exports.source("text")) == []
    assert main(["export", str(path), "--for", "vllm-0.24", "--out", str(tmp_path / "out")]) == 0
    assert preflight(tmp_path / "out", image=images.find("vllm-0.24"), reference=exports.source("text")) == []
    (path / "model-00002-of-00002.safetensors").unlink()
    assert any("model-00002-of-00002.safetensors" in str(finding) for finding in preflight(path))


def test_export_adds_the_stop_token_and_mends_the_tokenizer_class(exports: Exports, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(exports.get("text", "nvfp4-default"), path)
    (path / "quant_run.json").unlink()
    mutants.change_json(path, "generation_config.json", lambda c: c.update(eos_token_id=0))
    mutants.change_json(path, "tokenizer_config.json", lambda c: c.update(tokenizer_class="Qwen2Tokenizer"))
    assert any("eos_token_id" in finding.where for finding in preflight(path))
    assert any("tokenizer_class" in finding.where for finding in preflight(path))
    assert main(["export", str(path), "--for", "vllm-0.32", "--out", str(tmp_path / "out")]) == 0
    assert preflight(tmp_path / "out") == []
    assert len(json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"]) == 2


@pytest.mark.parametrize(
    ("prefix", "patterns", "excluded"),
    [
        ("lm_head", ("lm_head",), True),
        ("model.layers.1.self_attn.qkv_proj", ("model.layers.1.self_attn*",), True),
        ("model.layers.10.mlp.down_proj", ("model.layers.1",), True),  # a substring, to vLLM
        ("model.layers.10.mlp.down_proj", ("model.layers.1*",), True),
        ("model.layers.10.mlp.down_proj", ("model.layers.1.*",), False),
        ("model.layers.1.mlp.down_proj", ("mlp.*",), False),  # from the start of the name, with a point before it
        ("model.layers.1.mlp.down_proj", ("mlp*",), True),  # a substring, too
        ("lm_head", ("l*",), True),
        ("lm_head", ("*",), True),
        ("m.self_attn.qkv_proj", ("m.self_attn.q_proj",), None),
        ("m.self_attn.qkv_proj", ("m.self_attn.q_proj", "m.self_attn.k_proj", "m.self_attn.v_proj"), True),
        ("m.linear_attn.in_proj_ba", ("*linear_attn.in_proj_a",), False),
        ("xab", ("a*",), True),
    ],
)
def test_exclusions_are_read_as_vllm_reads_them(prefix: str, patterns: tuple[str, ...], excluded: bool | None) -> None:
    assert is_excluded(prefix, patterns) is excluded


def test_the_command_says_yes_in_json(exports: Exports, capsys: pytest.CaptureFixture[str]) -> None:
    path = exports.get("text", "qwen3_5-mixed")
    capsys.readouterr()
    assert main(["preflight", str(path), "--json", "--for", "vllm-0.32"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["layers"]["W4A16_NVFP4"] == 12
    assert report["layers"]["FP8"] == 13
    assert "vllm-0.32" in report["loads_in"]


def test_the_command_says_no_with_the_mend(
    exports: Exports, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(exports.get("text", "nvfp4-default"), path)
    mutants.change(path, lambda t: t.pop(f"{mutants.MLP}.up_proj.weight_scale_2"))
    capsys.readouterr()
    assert main(["preflight", str(path)]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(f"model.safetensors: {mutants.MLP}.up_proj.weight_scale_2: is missing")
    assert "export the checkpoint again" in first


@pytest.mark.parametrize("arguments", [["nowhere"], [".", "--for", "vllm-9"], [".", "--reference", "nowhere"]])
def test_bad_arguments_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_preflight_starts_without_torch() -> None:
    import subprocess
    import sys

    code = "import sys, quant.preflight.check; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_large_checkpoint_is_read_in_part(tmp_path: Path) -> None:
    """Four times as large a file (a sparse one) takes no longer."""
    from quant.checkpoint.digests import tensor_digest
    from quant.checkpoint.safetensors_file import TensorInfo
    from quant.checkpoint.view import Tensor

    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(1 << 30)

    def digest(size: int) -> Callable[[], object]:
        return lambda: tensor_digest(Tensor(path, TensorInfo("U8", (size,), 0, size)))

    assert growth(digest, 1 << 28) < 2
