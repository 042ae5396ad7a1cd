"""`python -m quant score`: log-probabilities of given tokens under a quantised checkpoint and its reference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant import cli
from tests.support import tiny

ROWS = [{"id": "a/0", "prompt": [1, 2, 3], "answer": [4, 5]}, {"id": "b/0", "prompt": [9], "answer": [8, 7, 6]}]


def score(model: Path, reference: Path, folder: Path, rows: object = ROWS) -> tuple[int, list[dict[str, object]]]:
    (folder / "tokens").write_text("".join(json.dumps(row) + "\n" for row in rows))  # type: ignore[attr-defined]
    arguments = ["score", "--model", str(model), "--reference", str(reference)]
    status = cli.main([*arguments, "--tokens", str(folder / "tokens"), "--out", str(folder / "scores")])
    scores = (folder / "scores").read_text().splitlines() if status == 0 else []
    return status, [json.loads(line) for line in scores]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("reference"))


def test_the_scores_are_what_transformers_says(reference: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    status, scores = score(reference, reference, tmp_path)
    assert status == 0
    model = AutoModelForCausalLM.from_pretrained(reference, dtype=torch.bfloat16).eval()
    with torch.inference_mode():
        said = model(torch.tensor([[1, 2, 3, 4, 5]])).logits[0].float().log_softmax(-1)
    wanted = [float(said[2, 4]), float(said[3, 5])]
    assert [row["id"] for row in scores] == ["a/0", "b/0"]
    assert scores[0]["model"] == scores[0]["reference"] == pytest.approx(wanted, abs=1e-3)
    assert len(scores[1]["model"]) == 3  # type: ignore[arg-type]


def test_other_weights_score_otherwise(reference: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    other = tiny.llama(tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    name = next(name for name in weights if name.endswith("down_proj.weight"))
    save_file({**weights, name: weights[name] * 8}, other / "model.safetensors", {"format": "pt"})
    status, scores = score(other, reference, tmp_path)
    assert status == 0
    assert not torch.allclose(torch.tensor(scores[0]["model"]), torch.tensor(scores[0]["reference"]), atol=0.01)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "is empty"),
        ([{"id": 1, "prompt": [1]}], "tokens:1: needs id"),
        ([{"id": 1, "prompt": [1], "answer": ["a"]}], "tokens:1: needs id"),
        ([{"id": 1, "prompt": [], "answer": [1]}], "tokens:1: needs id"),
        ([{"id": 1, "prompt": [1], "answer": [99999]}], "holds token 99999"),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    rows: object, said: str, reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = score(reference, reference, tmp_path, rows)
    assert status == 2
    assert said in capsys.readouterr().err
