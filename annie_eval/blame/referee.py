"""Checks with transformers whether the server's tokens are likely under the model's weights: the referee of a search.

`python -m quant score` computes the log-probabilities of the tokens in answers that missed, with the checkpoint's
weights and with its reference's. At temperature 0 a server emits the most likely token. If a token has a probability
near 0 under the model's own weights, the server is the cause and not the weights.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from annie_eval.blame.search import Opinion
from annie_eval.wire.parse import prompt_token_ids
from annie_eval.wire.sample import Sample

UNLIKELY = -9.2
"""ln(1 / 10,000). Rounding does not make greedy decoding emit a token with a lower log-probability."""
_MOST = 16  # number of samples
_TOKENS, _SCORES = "referee-tokens.jsonl", "referee-scores.jsonl"


def ask(samples: Sequence[Sample], model: Path, reference: Path, directory: Path, temperature: float) -> Opinion:
    """The referee's opinion on samples that missed. It is undecided if `quant score` cannot run, with the reason."""
    if temperature > 0:
        return Opinion(None, "The referee has no opinion: at a temperature above 0 unlikely tokens are normal")
    rows = [
        {"id": f"{sample.key}/{number}", "prompt": prompt, "answer": exchange.answer.token_ids}
        for sample in samples[:_MOST]
        for number, exchange in enumerate(sample.exchanges)
        if exchange.answer.token_ids
        and (prompt := prompt_token_ids(exchange.body, streamed=exchange.streamed)) is not None
    ]
    if not rows:
        return Opinion(None, "The referee has no opinion: the server returns no token ids")
    tokens, scores = directory / _TOKENS, directory / _SCORES
    tokens.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    command = [sys.executable, "-m", "quant", "score", "--model", model, "--reference", reference]
    done = subprocess.run(
        [*map(str, command), "--tokens", str(tokens), "--out", str(scores)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed no error"])[-1]
        return Opinion(None, f"The referee has no opinion: {last}")
    return opinion([json.loads(line) for line in scores.read_text("utf-8").splitlines()])


def opinion(scores: Sequence[dict[str, object]]) -> Opinion:
    """The opinion from the scores.

    Args:
        scores: a dictionary per answer; `model` and `reference` are the log-probabilities of its tokens in nats.
    """
    lowest = {
        name: [min(values) for row in scores if isinstance(values := row[name], list) and values]
        for name in ("model", "reference")
    }
    n = len(lowest["model"])
    odd = {name: sum(each < UNLIKELY for each in values) for name, values in lowest.items()}
    words = (
        f"The referee (transformers with the checkpoint's weights) finds a token with a probability below"
        f" 1 in 10,000 in {odd['model']} of {n} answers that missed (reference: {odd['reference']})"
    )
    if 2 * odd["model"] > n:
        return Opinion("weights", f"{words}: the server emits tokens that its weights make unlikely")
    if 10 * odd["model"] <= n:
        return Opinion("server", f"{words}: the server emits tokens that its weights make likely")
    return Opinion(None, words)
