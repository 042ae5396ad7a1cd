"""The referee that is no server: log-probabilities of the emitted tokens under the model's own weights.

`python -m quant score` runs transformers on the prompts and answers of the samples that missed, with the weights as
the checkpoint has them and as its reference has them. At temperature 0 a server emits the likeliest token. One that
its own model gives a probability near 0 was made by the server.
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
"""Log-probability below which no rounding explains a token of greedy decoding: 1 in 10,000."""
_MOST = 16  # samples
_TOKENS, _SCORES = "referee-tokens.jsonl", "referee-scores.jsonl"


def ask(samples: Sequence[Sample], model: Path, reference: Path, directory: Path, temperature: float) -> Opinion:
    """The referee's opinion on samples that missed; none where `quant score` does not run or refuses a checkpoint."""
    if temperature > 0:
        return Opinion(None, "The referee has no opinion: at a temperature above 0 unlikely tokens are no fault")
    rows = [
        {"id": f"{sample.key}/{number}", "prompt": prompt, "answer": exchange.answer.token_ids}
        for sample in samples[:_MOST]
        for number, exchange in enumerate(sample.exchanges)
        if exchange.answer.token_ids
        and (prompt := prompt_token_ids(exchange.body, streamed=exchange.streamed)) is not None
    ]
    if not rows:
        return Opinion(None, "The referee has no opinion: the server gives no token ids")
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
    """From scores to an opinion.

    Args:
        scores: for each answer `model` and `reference`, the log-probabilities of its tokens in nats.
    """
    lowest = {
        name: [min(values) for row in scores if isinstance(values := row[name], list) and values]
        for name in ("model", "reference")
    }
    n = len(lowest["model"])
    odd = {name: sum(each < UNLIKELY for each in values) for name, values in lowest.items()}
    words = (
        f"The referee computes with the checkpoint's weights and finds a token with a probability below"
        f" 1 in 10,000 in {odd['model']} of {n} answers that missed (reference: {odd['reference']})"
    )
    if 2 * odd["model"] > n:
        return Opinion("weights", f"{words}: the server emits what its weights do not say")
    if 10 * odd["model"] <= n:
        return Opinion("server", f"{words}: the server emits what its weights say")
    return Opinion(None, words)
