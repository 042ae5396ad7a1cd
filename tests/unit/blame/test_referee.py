"""What the referee makes of log-probabilities."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annie_eval.blame.referee import UNLIKELY, ask, opinion
from annie_eval.profile.types import Expect, Limits, Scenario, Variant
from annie_eval.wire.sample import Answer, Exchange, Sample
from tests.support import tiny

SOUND, ODD = [-0.1, -3.0, -0.01], [-0.1, UNLIKELY - 1, -0.01]


@pytest.mark.parametrize(
    ("model", "cleared"),
    [
        ([SOUND] * 10, "server"),
        ([SOUND] * 9 + [ODD], "server"),
        ([SOUND] * 5 + [ODD] * 5, None),
        ([SOUND] * 4 + [ODD] * 6, "weights"),
        ([ODD] * 10, "weights"),
    ],
)
def test_most_answers_decide(model: list[list[float]], cleared: str | None) -> None:
    found = opinion([{"id": str(n), "model": row, "reference": ODD} for n, row in enumerate(model)])
    assert found.cleared == cleared
    odd = sum(row is ODD for row in model)
    assert f"in {odd} of 10 answers that missed (reference: 10)" in found.words


def test_sampled_answers_and_answers_without_ids_get_no_opinion(tmp_path: Path) -> None:
    assert ask([], tmp_path, tmp_path, tmp_path, 0.7).cleared is None
    assert "no token ids" in ask([], tmp_path, tmp_path, tmp_path, 0.0).words


def emitted(prompt: list[int], answer: list[int]) -> Sample:
    body = json.dumps({"choices": [], "prompt_token_ids": prompt}).encode()
    heard = Answer(content="what these say", finish_reason="stop", token_ids=tuple(answer))
    exchange = Exchange({"stream": False}, 200, (), body, (), heard, Expect())
    return Sample("a.unstreamed.off", Scenario("a", "tools", ()), Variant(stream=False), (exchange,), {}, Limits())


def test_tokens_that_are_unlikely_under_the_weights_name_the_server(tmp_path: Path) -> None:
    """`python -m quant score` in full, on a tiny model that is sure of itself."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    model = tiny.llama(tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    embedding = next(name for name in weights if "embed_tokens" in name)
    save_file({**weights, embedding: weights[embedding] * 400}, model / "model.safetensors", {"format": "pt"})
    prompt = [1, 2, 3]
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    with torch.inference_mode():
        order = loaded(torch.tensor([prompt])).logits[0, -1].argsort(descending=True).tolist()
    (tmp_path / "likely").mkdir()
    (tmp_path / "odd").mkdir()
    likely = ask([emitted(prompt, order[:1])], model, model, tmp_path / "likely", 0.0)
    odd = ask([emitted(prompt, order[-1:])], model, model, tmp_path / "odd", 0.0)
    assert (likely.cleared, odd.cleared) == ("server", "weights")


def test_a_checkpoint_that_cannot_be_scored_gets_no_opinion(tmp_path: Path) -> None:
    found = ask([emitted([1], [2])], tmp_path / "nowhere", tmp_path / "nowhere", tmp_path, 0.0)
    assert found.cleared is None
    assert "python -m quant score: " in found.words
    assert "no such directory" in found.words
