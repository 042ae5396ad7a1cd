"""`python -m quant COMMAND`, also `annie-quant`: parse, dispatch, and turn errors into one line and a status.

Status 0: done. 1: the command did its work and the answer is no (preflight refuses, export differs from the model).
2: the caller has to correct something (arguments, files, memory, disk). 130: interrupted.

Each command is a module with `add_arguments(parser)` and `run(arguments) -> status`, imported when it is called, so
that `preflight` starts without torch.
"""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from quant.checkpoint.quiet import quiet_imports
from quant.errors import NotServedAsMade, UsageError

COMMANDS = {
    "default-model": (
        "quant.commands.default_model",
        "build the embedded default model (SmolLM2-135M-Instruct, BF16)",
    ),
    "recipes": ("quant.commands.recipes", "list the recipes, or show one"),
    "sft": ("quant.commands.sft", "fine-tune a checkpoint in BF16 on conversations"),
    "preview": ("quant.commands.preview", "show a conversation as the model sees it, and what of it is learnt"),
    "ptq": ("quant.commands.ptq", "quantise a checkpoint after training, export and check it"),
    "qat": ("quant.commands.qat", "train a checkpoint while it is quantised (QAT and QAD), export and check it"),
    "merge": ("quant.commands.merge", "build a trained checkpoint again from its base model and its adapter"),
    "export": ("quant.commands.export", "bring an exported checkpoint into the shape that a serving image loads"),
    "preflight": (
        "quant.commands.preflight",
        "say whether a vLLM image will load a checkpoint and serve what it should",
    ),
    "diff": (
        "quant.commands.diff",
        "compare a checkpoint with its reference: KL, top-1 agreement, error of each block",
    ),
    "compare": ("quant.commands.compare", "print the table of several checkpoints, from their quant_run.json"),
    "sensitivity": ("quant.commands.sensitivity", "measure each layer group by itself and propose a mixed recipe"),
}


class Parser(argparse.ArgumentParser):
    """argparse, with its complaint in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return (
        "usage: python -m quant COMMAND …\n\n" + "\n".join(lines) + "\n\npython -m quant COMMAND --help says more.\n"
    )


def _cause(error: Exception) -> str | None:
    """One line for what the machine, not the program, has too little of; None for everything else."""
    text = str(error)
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    if (isinstance(error, OSError) and error.errno in full) or "No space left" in text or "File too large" in text:
        return (
            "the disk is full, or files may not be that large here; free some space or name an --out on another disk "
            "(nothing half-written is left)"
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in text:
        return (
            "out of memory; lower calibration.batch_size or max_length in the recipe (in training its max_length, or "
            "take one that trains adapters), or take a larger machine"
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_overview(), end="")
        return 0 if arguments else 2
    name = arguments[0]
    if name == "data":
        print("python -m quant data: is a command of its own now; run annie-data, see docs/data.md", file=sys.stderr)
        return 2
    if name not in COMMANDS:
        print(f"python -m quant: no command {name!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    quiet_imports()
    try:
        module = importlib.import_module(COMMANDS[name][0])
        parser = Parser(prog=f"python -m quant {name}", description=COMMANDS[name][1])
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(arguments[1:])))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"quant", "annie_data"}:
            raise
        fix = "pip install 'annie-eval[quant]'"
        print(f"python -m quant {name}: needs {error.name}, which is not installed: {fix}", file=sys.stderr)
        return 2
    except UsageError as error:
        if os.environ.get("RANK", "0") == "0":  # every process of a launcher finds the same
            print(f"python -m quant {name}: {error}", file=sys.stderr)
        return 2
    except NotServedAsMade as error:
        print(f"python -m quant {name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, a pager) has seen enough; keep Python from complaining when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"python -m quant {name}: interrupted; what --resume can continue is kept", file=sys.stderr)
        return 130
    except Exception as error:
        cause = _cause(error)
        if cause is None or os.environ.get("QUANT_TRACEBACK"):
            raise
        print(f"python -m quant {name}: {cause}", file=sys.stderr)
        return 2
