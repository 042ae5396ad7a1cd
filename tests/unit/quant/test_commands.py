"""Wrong input to quant's commands is reported in one line before anything slow, and leaves no files."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from quant import recipe
from quant.checkpoint.safetensors_file import BadFile
from quant.checkpoint.view import read_json
from quant.cli import main
from tests.support import mutants, tiny
from tests.support.growth import LINEAR, growth

SHIPPED = recipe.available()["nvfp4-default"].read_text()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("commands") / "llama")


@pytest.fixture(scope="module")
def calib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.calibration_file(tmp_path_factory.mktemp("calib") / "calib.jsonl")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, calib: Path) -> Path:
    """An export of Qwen3.5 with W4A16_NVFP4 inside MIXED_PRECISION."""
    root = tmp_path_factory.mktemp("mixed")
    arguments = ["--model", str(tiny.qwen3_5_text(root / "bf16")), "--recipe", "qwen3_5-mixed", "--calib", str(calib)]
    assert main(["ptq", *arguments, "--out", str(root / "out")]) == 0
    return root / "out"


def output_of(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("python -m quant")]
    assert len(lines) == 1
    return lines[0]


def ptq(model: Path, calib: Path, out: Path, name: str = "nvfp4-default") -> int:
    return main(["ptq", "--model", str(model), "--recipe", name, "--calib", str(calib), "--out", str(out)])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"vllm-0.32"', '"vllm-9"', "my.toml: image: no image 'vllm-9'"),
        ('["*", "nvfp4"]', '["*.mpl.*", "nvfp4"]', "no pattern matches a linear layer"),
        ('["*", "nvfp4"]', '["*.q_proj", "nvfp4"]', "need one format: q_proj nvfp4, k_proj bf16, v_proj bf16"),
        ('  ["*lm_head*", "bf16"],\n', "", "lm_head is tied to the embedding"),
    ],
)
def test_a_recipe_that_suits_neither_server_nor_model(
    model: Path, calib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, says: str
) -> None:
    assert old in SHIPPED
    (tmp_path / "my.toml").write_text(SHIPPED.replace(old, new))
    assert ptq(model, calib, tmp_path / "out", str(tmp_path / "my.toml")) == 2
    assert says in output_of(capsys)
    assert not (tmp_path / "out").exists()


def test_a_misspelt_recipe_is_guessed(model: Path, calib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ptq(model, calib, Path("nowhere"), "nvfp4-defalt") == 2
    assert "did you mean nvfp4-default?" in output_of(capsys)


def test_the_output_stays_out_of_the_model(model: Path, calib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ptq(model, calib, model / "nvfp4") == 2
    assert "lies inside" in output_of(capsys)
    assert not (model / "nvfp4").exists()


def test_other_commands_output_stays_out_of_the_model(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = model / "made"
    assert main(["merge", "--model", str(model), "--adapter", str(tmp_path), "--out", str(out)]) == 2
    assert "lies inside" in output_of(capsys)
    data = tiny.calibration_file(tmp_path / "data.jsonl")
    arguments = ["--model", str(model), "--recipe", "qat-lora", "--data", str(data)]
    assert main(["qat", *arguments, "--out", str(out)]) == 2
    assert "lies inside" in output_of(capsys)


@pytest.mark.parametrize(
    ("out", "keep"),
    [
        ("{tmp}/out", "{tmp}/out"),
        ("{tmp}/out", "{tmp}/out/kept"),
        ("{tmp}/kept/out", "{tmp}/kept"),
        ("{tmp}/out", "{model}/kept"),
    ],
)
def test_what_is_kept_lies_beside_the_checkpoints(
    model: Path, calib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, keep: str
) -> None:
    where = [each.format(tmp=tmp_path, model=model) for each in (out, keep)]
    arguments = ["--model", str(model), "--recipe", "nvfp4-default", "--calib", str(calib)]
    assert main(["ptq", *arguments, "--out", where[0], "--keep", where[1]]) == 2
    assert "lies inside" in output_of(capsys)
    assert not list(tmp_path.iterdir())
    assert not (model / "kept").exists()


def test_a_full_disk_leaves_no_half_of_what_is_kept(
    model: Path, calib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from quant.export import adapter

    def full(directory: Path, *_: object) -> None:
        (directory / "recipe.json").write_text("{")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(adapter, "write_folder", full)
    arguments = ["--model", str(model), "--recipe", "nvfp4-default", "--calib", str(calib)]
    (tmp_path / "kept").mkdir()
    command = ["ptq", *arguments, "--out", str(tmp_path / "out"), "--keep", str(tmp_path / "kept")]
    assert main(command) == 2
    assert "the disk is full" in output_of(capsys)
    assert not list((tmp_path / "kept").iterdir())
    assert not (tmp_path / "out").exists()


def test_half_a_surrogate_pair_is_named_by_its_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": "fine, this one"}\n{"text": "\\ud800 not this"}\n')
    assert ptq(model, tmp_path / "data.jsonl", tmp_path / "out") == 2
    assert "data.jsonl:2: contains half a surrogate pair" in output_of(capsys)


def _config(**values: object) -> Callable[[Path], None]:
    return lambda directory: mutants.change_json(directory, "config.json", lambda c: c.update(values))


def _cut(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (_cut, "model.safetensors: is cut short"),
        (lambda d: (d / "config.json").write_text("[" * 100_000), "config.json: is not readable as JSON"),
        (_config(hidden_size=64), "do not have the shapes that config.json says"),
        (_config(num_hidden_layers=3), "config.json asks for model.layers.2."),
    ],
)
def test_a_model_that_is_not_whole(
    model: Path,
    calib: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[Path], None],
    says: str,
) -> None:
    source = tmp_path / "source"
    shutil.copytree(model, source)
    break_it(source)
    assert ptq(source, calib, tmp_path / "out") == 2
    assert says in output_of(capsys)
    assert not (tmp_path / "out").exists()


def test_diff_of_two_models_is_no_number(
    model: Path, mixed: Path, calib: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["diff", str(model), str(mixed), "--data", str(calib)]) == 2
    assert "so it is not made from" in output_of(capsys)


@pytest.mark.parametrize("option", ["--samples", "--max-length"])
def test_no_samples_are_no_measurement(
    model: Path, calib: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["sensitivity", "--model", str(model), "--calib", str(calib), "--out", "nowhere", option, "-2"])
    assert left.value.code == 2
    assert "not an integer above zero" in output_of(capsys)


def test_export_refuses_an_image_that_would_take_layers_for_bf16(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Inside MIXED_PRECISION, vLLM leaves layers of an algorithm that it does not know unquantised, silently."""
    assert main(["export", str(mixed), "--for", "vllm-0.19", "--out", str(tmp_path / "out")]) == 2
    assert f"{mixed}: vllm-0.19 does not load W4A16_NVFP4 inside MIXED_PRECISION" in output_of(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["{", "{}"])
def test_export_of_a_broken_config_is_one_line(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    source = tmp_path / "source"
    shutil.copytree(mixed, source)
    (source / "hf_quant_config.json").write_text(content)
    assert main(["export", str(source), "--for", "vllm-0.24", "--out", str(tmp_path / "out")]) == 2
    assert "hf_quant_config.json:" in output_of(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("section", ["x", [1], {"quantized_layers": ["a"]}, {"quantized_layers": {"a": "NVFP4"}}])
def test_export_of_what_is_no_quantization_config_is_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], section: object
) -> None:
    source = tmp_path / "source"
    shutil.copytree(model, source)
    _config(quantization_config=section)(source)
    assert main(["export", str(source), "--for", "vllm-0.32", "--out", str(tmp_path / "out")]) == 2
    assert "config.json: quantization_config is none" in output_of(capsys)


def test_export_of_a_broken_checkpoint_is_refused(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would carry no provenance of its source, so nobody would see later what was lost."""
    source = tmp_path / "source"
    shutil.copytree(mixed, source)
    gone = "model.layers.1.mlp.up_proj.weight_scale_2"
    mutants.change(source, lambda tensors: tensors.pop(gone))
    assert main(["export", str(source), "--for", "vllm-0.24", "--out", str(tmp_path / "out")]) == 1
    assert gone.replace("model.", "model.language_model.") in output_of(capsys)
    assert not (tmp_path / "out").exists()


def test_export_keeps_the_provenance_of_how_it_was_made(mixed: Path, tmp_path: Path) -> None:
    assert main(["export", str(mixed), "--for", "vllm-0.24", "--out", str(tmp_path / "out")]) == 0
    provenance = json.loads((tmp_path / "out" / "quant_run.json").read_text())
    assert provenance["recipe"]["name"] == "qwen3_5-mixed"
    assert provenance["image"] == "vllm-0.24"


def test_a_file_of_many_keys_is_soon_found_to_name_one_twice(tmp_path: Path) -> None:
    path = tmp_path / "config.json"

    def read(keys: int) -> Callable[[], None]:
        path.write_text("{" + ",".join(f'"k{i}": 1' for i in range(keys)) + f', "k{keys - 1}": 2}}')

        def refuse() -> None:
            with pytest.raises(BadFile, match=f"names k{keys - 1} twice"):
                read_json(path)

        return refuse

    assert growth(read, 3_000) < LINEAR
