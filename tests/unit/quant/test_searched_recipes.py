"""Recipes with searched weight scales and other input scales: bit check, and how they differ from max."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from quant import recipe
from quant.cli import main
from quant.errors import NotServedAsMade, UsageError
from quant.export import verify
from quant.preflight.check import preflight
from tests.support import mutants, tiny

LLAMA = [
    "nvfp4-default", "nvfp4-mse", "nvfp4-four-over-six", "nvfp4-act-headroom", "nvfp4-constant-amax",
    "nvfp4-mse-act-headroom", "nvfp4-local-hessian", "nvfp4-gptq",
]  # fmt: skip
SEARCHED = [name for name in LLAMA if recipe.load(name).search is not None]


@pytest.fixture(scope="module")
def calib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.calibration_file(tmp_path_factory.mktemp("calib") / "calib.jsonl")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, calib: Path) -> dict[str, Path]:
    """A checkpoint by each recipe; `ptq` itself compares every layer bit for bit and runs preflight."""
    root = tmp_path_factory.mktemp("made")
    model = tiny.llama(root / "llama")
    for name in LLAMA:
        assert (
            main(["ptq", "--model", str(model), "--recipe", name, "--calib", str(calib), "--out", str(root / name)])
            == 0
        )
    return {name: root / name for name in ("llama", *LLAMA)}


def tensors(checkpoint: Path, ending: str) -> dict[str, Tensor]:
    found = load_file(checkpoint / "model.safetensors")
    return {name: value for name, value in found.items() if name.endswith(ending)}


def quality(checkpoint: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((checkpoint / "quant_run.json").read_text())["quality"]["weight_error"]
    return found


@pytest.mark.parametrize("name", LLAMA)
def test_it_is_served_as_made(made: dict[str, Path], name: str) -> None:
    assert preflight(made[name], reference=made["llama"]) == []
    record = json.loads((made[name] / "quant_run.json").read_text())
    assert record["bit_check"] == {"layers": 14, "equal": True}


def test_searched_scales_are_nearer_to_the_weights(made: dict[str, Path]) -> None:
    by_max = quality(made["nvfp4-default"])
    assert by_max["found"] == by_max["max"]
    for name in SEARCHED:
        found = quality(made[name])
        assert found["max"] == by_max["max"]
        assert found["found"] < 0.97 * by_max["max"]
    assert quality(made["nvfp4-mse"])["found"] < quality(made["nvfp4-four-over-six"])["found"]


def test_four_over_six_leaves_room_above_its_block_scales(made: dict[str, Path]) -> None:
    plain = tensors(made["nvfp4-default"], "weight_scale_2")
    for name, scale in tensors(made["nvfp4-four-over-six"], "weight_scale_2").items():
        assert scale.item() == pytest.approx(plain[name].item() * 448 / 256)


def test_a_searched_scale_that_another_took_the_place_of_is_found(made: dict[str, Path], tmp_path: Path) -> None:
    """The fault for the bit check: one block scale of one layer is the neighbouring E4M3 value."""
    computed = verify.exported_digests(made["nvfp4-mse"], torch.bfloat16)
    copy = tmp_path / "copy"
    shutil.copytree(made["nvfp4-mse"], copy)

    def nudge(found: mutants.Tensors) -> None:
        codes = found["model.layers.0.mlp.up_proj.weight_scale"].view(torch.uint8)
        codes[2, 1] = codes[2, 1] + 1

    mutants.change(copy, nudge)
    with pytest.raises(NotServedAsMade, match=r"1 different, first model.layers.0.mlp.up_proj"):
        verify.assert_served_as_made(computed, copy, torch.bfloat16)


@pytest.mark.parametrize("factor", [1.1, 1.3])
def test_scales_that_are_fitted_to_inputs_may_be_further_off(
    made: dict[str, Path], tmp_path: Path, factor: float
) -> None:
    """A bias of a tenth is refused after rounding and accepted after a fit; one of three tenths is another scale."""
    refused = {}
    for name in ("nvfp4-mse", "nvfp4-local-hessian"):
        copy = tmp_path / name
        shutil.copytree(made[name], copy)

        def scale(found: mutants.Tensors) -> None:
            found["model.layers.0.mlp.down_proj.weight_scale_2"] *= factor

        mutants.change(copy, scale)
        refused[name] = "times the reference's" in str(preflight(copy, reference=made["llama"]))
    assert refused == {"nvfp4-mse": True, "nvfp4-local-hessian": factor > 1.2}


def test_headroom_goes_beyond_what_calibration_saw(made: dict[str, Path]) -> None:
    plain = tensors(made["nvfp4-default"], "input_scale")
    for name in ("nvfp4-act-headroom", "nvfp4-mse-act-headroom"):
        found = tensors(made[name], "input_scale")
        assert found.keys() == plain.keys()
        assert all(found[key] > plain[key] for key in plain)
    weights, others = (tensors(made[name], ".weight") for name in ("nvfp4-default", "nvfp4-act-headroom"))
    assert all(torch.equal(weights[key], others[key]) for key in weights)


def test_constant_scales_are_one_and_accepted_only_where_the_recipe_says_so(
    made: dict[str, Path], tmp_path: Path
) -> None:
    source = made["nvfp4-constant-amax"]
    assert {scale.item() for scale in tensors(source, "input_scale").values()} == {1.0}
    message = "nothing was calibrated"

    def findings(change: str, to: str) -> str:
        copy = tmp_path / to.strip('"')
        shutil.copytree(source, copy)
        text = (copy / "quant_run.json").read_text()
        assert change in text
        (copy / "quant_run.json").write_text(text.replace(change, to))
        return str(preflight(copy))

    assert message in findings('"constant"', '"max"')
    assert message not in findings('"seconds"', '"seconds"')
    copy = tmp_path / "without"
    shutil.copytree(source, copy)
    (copy / "quant_run.json").unlink()
    assert message in str(preflight(copy))


def test_qwen3_5_mixed_with_searched_scales(tmp_path: Path, calib: Path) -> None:
    model = tiny.qwen3_5_text(tmp_path / "qwen")
    for name in ("qwen3_5-mixed", "qwen3_5-mixed-mse"):
        assert (
            main(
                ["ptq", "--model", str(model), "--recipe", name, "--calib", str(calib), "--out", str(tmp_path / name)]
            )
            == 0
        )
    assert quality(tmp_path / "qwen3_5-mixed-mse")["found"] < quality(tmp_path / "qwen3_5-mixed")["found"]


def test_weights_are_written_once_under_the_names_that_the_image_reads(
    tmp_path: Path, calib: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renaming them in complete files took 8 s of a 9B's export."""
    model, out = tiny.qwen3_5_text(tmp_path / "qwen"), tmp_path / "out"

    def copied(*_: object) -> None:
        pytest.fail("a weight file is copied to rename its tensors")

    monkeypatch.setattr("quant.export.export.rewrite", copied)
    arguments = ["--model", str(model), "--calib", str(calib), "--out", str(out)]
    for image, prefix in (("vllm-0.25", "model.language_model.layers."), ("vllm-0.32", "model.layers.")):
        assert main(["ptq", "--recipe", "qwen3_5-mixed", *arguments, "--for", image]) == 0
        assert any(name.startswith(prefix) for name in tensors(out, "weight_scale"))
        shutil.rmtree(out)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('["*", "nvfp4"]', '["*", "fp8"]'), "activations: headroom, but no layer is nvfp4"),
        (('algorithm = "mse"', 'algorithm = "awq_lite"'), "activations: headroom does not go with awq_lite"),
        (('activations = "headroom"', 'activations = "room"'), "activations: "),
    ],
)
def test_a_recipe_that_asks_for_what_does_not_go_together_is_refused(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    text = recipe.available()["nvfp4-mse-act-headroom"].read_text()
    assert change[0] in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(*change))
    with pytest.raises(UsageError, match=r"mine\.toml") as caught:
        recipe.load(str(path))
    assert says in str(caught.value)
