"""`python -m quant preview`: prints a conversation as the model will see it, with trained tokens in colour."""

from __future__ import annotations

import argparse
import os
import sys

from quant.checkpoint import loading
from quant.errors import UsageError

LEARNT, READ, END = "\x1b[1;32m", "\x1b[2m", "\x1b[0m"


def painted(pieces: list[tuple[str, bool]], colour: bool) -> str:
    """Join pieces of text; those that are trained on are in colour or in brackets."""
    if colour:
        return "".join(f"{LEARNT if learnt else READ}{text}{END}" for text, learnt in pieces)
    return "".join(f"⟦{text}⟧" if learnt else text for text, learnt in pieces)


def run(arguments: argparse.Namespace) -> int:
    """Print one conversation, and how many of its tokens are trained on."""
    from quant.training.conversations import read_conversations, render_all

    loading.read_config(arguments.model)
    samples = read_conversations(arguments.data, arguments.shape)
    if arguments.row > len(samples):
        raise UsageError(f"--row {arguments.row}: {arguments.data} has {len(samples)} conversations")
    tokenizer = loading.load_tokenizer(arguments.model)
    colour = arguments.color == "always" or (
        arguments.color == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    )
    for example in render_all(tokenizer, [samples[arguments.row - 1]], arguments.data, sys.maxsize):
        pieces: list[tuple[list[int], bool]] = []
        for token, learnt in zip(example.ids, example.learnt, strict=True):
            if not pieces or pieces[-1][1] != learnt:
                pieces.append(([], learnt))
            pieces[-1][0].append(token)
        print(painted([(tokenizer.decode(ids), learnt) for ids, learnt in pieces], colour))
        print(f"{arguments.data}:{example.line}: {sum(example.learnt)} of {len(example.ids)} tokens are learnt")
    return 0
