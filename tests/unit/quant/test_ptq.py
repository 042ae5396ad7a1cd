"""PTQ: recipes are checked, bad input is one line with status 2, and no incomplete checkpoint is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quant import recipe
from quant.checkpoint import atomic
from quant.cli import main
from quant.errors import NotServedAsMade, UsageError
from quant.export import verify
from quant.preflight.check import preflight
from tests.support import mutants, tiny

NAMES = {
    "nvfp4-default", "nvfp4-awq-lite", "nvfp4-w4a16", "nvfp4-mlp-only", "qwen3_5-mixed", "fp8",
    "nvfp4-mse", "nvfp4-four-over-six", "nvfp4-act-headroom", "nvfp4-constant-amax", "nvfp4-mse-act-headroom",
    "qwen3_5-mixed-mse", "nvfp4-local-hessian", "nvfp4-gptq",
    "qat-lora", "qat-full", "qad-lora", "qad-full", "sft-lora", "sft-full",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("ptq") / "llama")


@pytest.fixture(scope="module")
def calib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.calibration_file(tmp_path_factory.mktemp("calib") / "calib.jsonl")


def ptq(model: Path, calib: Path, out: Path, *more: str, name: str = "nvfp4-default") -> int:
    return main(["ptq", "--model", str(model), "--recipe", name, "--calib", str(calib), "--out", str(out), *more])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("python -m quant")]
    assert len(lines) == 1
    return lines[0]


# --- recipes --------------------------------------------------------------------------------------------------------


def test_every_recipe_is_there_and_headed_by_its_command() -> None:
    assert set(recipe.available()) == NAMES
    for name, path in recipe.available().items():
        found = recipe.load(name)
        assert found.name == name
        command = "ptq" if not found.training else "qat" if found.quantizes else "sft"
        assert path.read_text().startswith(f"# python -m quant {command} --model DIR --recipe {name} ")


def test_recipes_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == NAMES
    assert main(["recipes", "show", "nvfp4-awq-lite"]) == 0
    shown = capsys.readouterr().out
    assert "cannot be served by any vLLM image" in shown
    assert shown == recipe.available()["nvfp4-awq-lite"].read_text()


@pytest.mark.parametrize(
    ("module", "fmt"),
    [
        ("model.layers.0.mlp.down_proj", "nvfp4-w4a16"),
        ("model.layers.3.self_attn.q_proj", "fp8"),
        ("model.layers.0.linear_attn.in_proj_qkv", "fp8"),
        ("model.layers.0.linear_attn.in_proj_a", "bf16"),
        ("model.layers.0.linear_attn.conv1d", "bf16"),
        ("model.visual.blocks.0.mlp.linear_fc1", "bf16"),
        ("mtp.layers.0.mlp.gate_proj", "bf16"),
        ("lm_head", "bf16"),
    ],
)
def test_nvidias_map_for_qwen3_5(module: str, fmt: str) -> None:
    assert recipe.load("qwen3_5-mixed").format_of(module) == fmt


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("layers = [", "layer = ["), "layers: missing"),
        (('"nvfp4"]', '"nvfp5"]'), "layers.0: no format 'nvfp5'"),
        (('["*", "nvfp4"]', '["*"]'), "layers.0: write it as"),
        (('algorithm = "max"', 'algorithm = "min"'), "algorithm: "),
        (("samples = 64", "samples = 0"), "calibration.samples: "),
        (("samples = 64", "smaples = 64"), "calibration.smaples: no such field"),
        (('name = "nvfp4-default"', "name = "), "Invalid value"),
    ],
)
def test_a_bad_recipe_is_named_by_file_and_field(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    path = tmp_path / "mine.toml"
    text = recipe.available()["nvfp4-default"].read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(UsageError, match=r"mine\.toml") as caught:
        recipe.load(str(path))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# --- the checkpoint -------------------------------------------------------------------------------------------------


def test_the_provenance_says_how_it_was_made(model: Path, calib: Path, tmp_path: Path) -> None:
    assert ptq(model, calib, tmp_path / "out", "--kv-cache", "fp8") == 0
    provenance: dict[str, Any] = json.loads((tmp_path / "out" / "quant_run.json").read_text())
    assert provenance["recipe"]["name"] == "nvfp4-default"
    assert provenance["recipe"]["kv_cache"] == "fp8"
    assert provenance["image"] == "vllm-0.32"
    assert provenance["bit_check"] == {"layers": 14, "equal": True}
    assert provenance["data"][str(calib)]["sha256"]
    assert provenance["quality"]["after"]["kl"] > 0
    assert {"load", "quantize", "export", "verify", "preflight"} <= set(provenance["seconds"])
    assert provenance["peak_bytes"]["host"] > 1e8
    assert "--kv-cache-dtype fp8" in (tmp_path / "out" / "serve.md").read_text()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization_config"]["kv_cache_scheme"]["num_bits"] == 8


def test_diff_reads_the_export_back_as_the_quantised_model(
    model: Path, calib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """KL of the expanded checkpoint is what PTQ measured on its fake-quantised model."""
    assert ptq(model, calib, tmp_path / "out") == 0
    measured = json.loads((tmp_path / "out" / "quant_run.json").read_text())["quality"]["after"]["kl"]
    capsys.readouterr()
    assert main(["diff", str(model), str(tmp_path / "out"), "--data", str(calib), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["kl"] == pytest.approx(measured, rel=0.02)
    assert set(report["layers"]) == {f"model.layers.{i}.{part}" for i in (0, 1) for part in ("self_attn", "mlp")}
    assert (tmp_path / "out" / "diff.png").stat().st_size > 1000
    assert preflight(tmp_path / "out", reference=model) == []
    assert main(["compare", str(tmp_path / "out")]) == 0
    assert "14 layers equal" in capsys.readouterr().out


def test_another_weight_than_the_models_is_refused(model: Path, calib: Path, tmp_path: Path) -> None:
    """The fault for the bit check: one packed nibble, one scale, one layer left out."""
    import torch

    assert ptq(model, calib, tmp_path / "out") == 0
    dtype = torch.bfloat16
    computed = verify.exported_digests(tmp_path / "out", dtype)
    assert verify.assert_served_as_made(computed, tmp_path / "out", dtype) == 14
    name = "model.layers.1.mlp.up_proj"

    def flip(tensors: mutants.Tensors) -> None:
        weight = tensors[f"{name}.weight"]
        weight[5, 7] = weight[5, 7] ^ 0x01

    mutants.change(tmp_path / "out", flip)
    with pytest.raises(NotServedAsMade, match=r"1 different, first model.layers.1.mlp.up_proj"):
        verify.assert_served_as_made(computed, tmp_path / "out", dtype)


def test_an_export_that_differs_leaves_nothing(
    model: Path, calib: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "computed_digests", lambda _model: {"model.layers.0.mlp.up_proj": "0"})
    assert ptq(model, calib, tmp_path / "out") == 1
    assert "exported weights are not the model's" in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_sensitivity_proposes_a_recipe_that_loads(
    model: Path, calib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sensitivity"
    assert main(["sensitivity", "--model", str(model), "--calib", str(calib), "--out", str(out), "--bits", "6"]) == 0
    proposed = recipe.load(str(out / "sensitivity-6.toml"))
    assert {fmt for _, fmt in proposed.layers} == {"nvfp4", "fp8", "bf16"}
    assert len((out / "sensitivity.csv").read_text().splitlines()) == 5
    capsys.readouterr()
    assert ptq(model, calib, tmp_path / "out", name=str(out / "sensitivity-6.toml")) == 0


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"messages": [', ":2: not JSON"),
        ("[1, 2]", ":2: is a list"),
        ('{"prompt": "x"}', ":2: has neither text nor messages"),
        ('{"messages": ["x"]}', ":2: messages.0 has no role"),
        ('{"messages": [{"role": "user", "content": "x"}], "tools": "no"}', ":2: tools is no list"),
        ('{"messages": [{"role": "ghost", "content": "x"}]}', ":2: the chat template refuses it"),
    ],
)
def test_a_broken_line_of_data_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, says: str
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "fine, this one"}\n' + line + "\n")
    assert ptq(model, path, tmp_path / "out") == 2
    assert f"data.jsonl{says}" in one_line(capsys)
    assert not (tmp_path / "out").exists()


def test_bad_arguments_are_one_line(
    model: Path, calib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "something").write_text("")
    for arguments, says in (
        ((tmp_path / "none", calib, tmp_path / "o", "nvfp4-default"), "no such directory"),
        ((model, tmp_path / "none.jsonl", tmp_path / "o", "nvfp4-default"), "no such file"),
        ((model, calib, full, "nvfp4-default"), "exists already"),
        ((model, calib, tmp_path / "o", "nvfp3"), "no recipe 'nvfp3'"),
        ((model, calib, tmp_path / "o", "qat-lora"), "run it with `annie-quant qat`"),
        ((full, calib, tmp_path / "o", "nvfp4-default"), "config.json: missing"),
    ):
        source, data, out, name = arguments
        assert ptq(source, data, out, name=name) == 2
        assert says in one_line(capsys)
    assert ptq(model, calib, tmp_path / "o", "--for", "vllm-1") == 2
    assert "no image 'vllm-1'" in one_line(capsys)
    assert ptq(model, calib, tmp_path / "o", "--for", "vllm-0.19", name="nvfp4-w4a16") == 2
    assert "does not load W4A16_NVFP4" in one_line(capsys)
    with pytest.raises(SystemExit) as left:
        main(["ptq", "--model", "x"])
    assert left.value.code == 2
    assert one_line(capsys)


def test_a_quantised_checkpoint_is_not_quantised_again(
    model: Path, calib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ptq(model, calib, tmp_path / "out") == 0
    capsys.readouterr()
    assert ptq(tmp_path / "out", calib, tmp_path / "again") == 2
    assert "is quantised already" in one_line(capsys)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device"), "the disk is full"),
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "out of memory"),
        (RuntimeError("unable to mmap 9 bytes from file <x>: Cannot allocate memory (12)"), "out of memory"),
    ],
)
def test_the_machines_limits_are_one_line_and_leave_nothing(
    model: Path,
    calib: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    says: str,
) -> None:
    def fail(_model: object, _source: Path, out: Path, _image: object) -> None:
        (out / "config.json").write_text("{}")
        raise error

    monkeypatch.setattr("quant.export.finish.export_model", fail)
    assert ptq(model, calib, tmp_path / "out") == 2
    assert says in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_config_that_names_no_architecture_once_it_is_loaded_is_exported(
    model: Path, calib: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the text part of a vision checkpoint is loaded: ModelOpt's export iterates over the names."""
    from quant.checkpoint import loading

    load = loading.load_model

    def nameless(*arguments: Any) -> Any:
        loaded = load(*arguments)
        loaded.config.architectures = None
        return loaded

    monkeypatch.setattr(loading, "load_model", nameless)
    assert ptq(model, calib, tmp_path / "out") == 0
    assert json.loads((tmp_path / "out/config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


# --- directories that appear whole or not at all --------------------------------------------------------------------


def test_killed_while_exporting(tmp_path: Path) -> None:
    """kill -9 in the middle: no directory of the wanted name, a leftover that preflight refuses, a clean next run."""
    code = (
        "import sys, time; from pathlib import Path; from quant.checkpoint.atomic import atomic_directory\n"
        "with atomic_directory(Path(sys.argv[1])) as partial:\n"
        "    (partial / 'config.json').write_text('{}'); print('half', flush=True); time.sleep(60)\n"
    )
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    (leftover,) = tmp_path.iterdir()
    assert any("its build never ended" in str(finding) for finding in preflight(leftover))
    with atomic.atomic_directory(out) as partial:
        (partial / "done").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_copy_cut_short_is_refused(model: Path, calib: Path, tmp_path: Path) -> None:
    """As `cp -r` leaves it when killed: some files whole, one half, the rest not there."""
    import shutil

    assert ptq(model, calib, tmp_path / "out") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if path.name != "quant_run.json")
    for count in range(len(names)):
        copy = tmp_path / f"copy-{count}"
        copy.mkdir()
        shutil.copyfile(tmp_path / "out" / "quant_run.json", copy / "quant_run.json")
        for name in names[:count]:
            shutil.copyfile(tmp_path / "out" / name, copy / name)
        if names[count:] == ["serve.md"]:
            continue
        raw = (tmp_path / "out" / names[count]).read_bytes()
        (copy / names[count]).write_bytes(raw[: len(raw) // 2])
        assert preflight(copy), f"passed with {names[:count]} and half of {names[count]}"


def test_a_replaced_directory_is_never_missing_for_good(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with atomic.atomic_directory(out) as partial:
        (partial / "a").write_text("old")
    with pytest.raises(UsageError, match="exists already"), atomic.atomic_directory(out):
        pass
    with atomic.atomic_directory(out, replace=True) as partial:
        assert (out / "a").read_text() == "old"
        (partial / "a").write_text("new")
    assert (out / "a").read_text() == "new"
    assert not (out / atomic.INCOMPLETE).exists()
    assert os.stat(out / "a").st_mode & 0o044


def test_a_running_build_keeps_its_directory(tmp_path: Path) -> None:
    running = tmp_path / f".out.partial-{os.getpid()}"
    running.mkdir()
    dead = tmp_path / ".out.partial-4194303"
    dead.mkdir()
    atomic.remove_leftovers(tmp_path / "out")
    assert running.exists()
    assert not dead.exists()


def test_help_is_complete_and_loads_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "preflight" in capsys.readouterr().out
    assert main(["nonsense"]) == 2
    code = "import sys; from quant.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
