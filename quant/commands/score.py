"""`python -m quant score`: how likely given answers are under a checkpoint's weights and under its reference's.

A referee that is no server: what a server emits at temperature 0 is likely under its weights. A line in:

    {"id": "a/0", "prompt": [token ids], "answer": [token ids]}

A line out for each: `id`, `model` and `reference`, the log-probabilities of the answer's tokens in nats.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from quant.checkpoint import loading
from quant.errors import UsageError


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The lines of the file. Raises UsageError that names the line and what is wrong with it."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            sound = all(
                isinstance(row[name], list)
                and row[name]
                and all(type(each) is int and each >= 0 for each in row[name])
                for name in ("prompt", "answer")
            )
            row["id"]
        except (ValueError, LookupError, TypeError, RecursionError):
            sound = False
        if not sound:
            raise UsageError(f"{path}:{number}: needs id, and prompt and answer as lists of token ids")
        rows.append(row)
    if not rows:
        raise UsageError(f"{path}: is empty; write one answer a line")
    return rows


def run(arguments: argparse.Namespace) -> int:
    """Score the answers under both; writes --out."""
    rows = read_rows(arguments.tokens)
    loading.check_source(arguments.reference)
    loading.read_config(arguments.model)
    from quant.checkpoint import dequantize

    device = loading.default_device()
    scores: dict[str, list[list[float]]] = {}
    scores["reference"] = _scores(loading.load_model(arguments.reference, device), rows, arguments.reference)
    model = dequantize.load(arguments.model, arguments.reference, device)
    scores["model"] = _scores(model, rows, arguments.model)
    with arguments.out.open("w", encoding="utf-8") as out:
        for index, row in enumerate(rows):
            out.write(json.dumps({"id": row["id"], **{name: of[index] for name, of in scores.items()}}) + "\n")
    return 0


def _scores(model: Any, rows: list[dict[str, Any]], directory: Path) -> list[list[float]]:
    """Log-probability of each answer's tokens, given the prompt and the tokens before."""
    import torch

    size = model.get_input_embeddings().num_embeddings
    found = []
    for row in rows:
        ids = [*row["prompt"], *row["answer"]]
        if max(ids) >= size:
            raise UsageError(f"{directory}: has {size} tokens, but {row['id']} holds token {max(ids)}")
        with torch.inference_mode():
            tokens = torch.tensor([ids], device=loading.device_of(model))
            logits = model(input_ids=tokens, use_cache=False).logits[0, len(row["prompt"]) - 1 : -1]
            chosen = logits.float().log_softmax(-1).gather(1, tokens[0, len(row["prompt"]) :, None])
        found.append([round(float(value), 4) for value in chosen[:, 0]])
    return found
