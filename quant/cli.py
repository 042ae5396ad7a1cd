"""`python -m quant COMMAND` (also `annie-quant`): runs a command and turns errors into one line and an exit status.

Status 0: done. 1: a check failed (preflight refuses, the export differs from the model). 2: the user has to correct
something (arguments, files, memory, disk). 130: interrupted.

Each command is a module with `run(arguments) -> status`, imported when it is called, so that `preflight` starts
without torch. Its arguments are in `quant.commands.arguments`, so that `--help` works without the extra `quant`.
"""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from quant.checkpoint.quiet import quiet_imports
from quant.commands.arguments import ADD
from quant.errors import NotServedAsMade, UsageError

COMMANDS = {
    "default-model": (
        "quant.commands.default_model",
        "build the embedded default model (SmolLM2-135M-Instruct, BF16)",
    ),
    "recipes": ("quant.commands.recipes", "list the recipes or print one"),
    "sft": ("quant.commands.sft", "fine-tune a checkpoint in BF16 on conversations"),
    "preview": ("quant.commands.preview", "show a conversation as the model sees it, and which tokens are trained on"),
    "ptq": ("quant.commands.ptq", "quantise a checkpoint after training, export and check it"),
    "qat": ("quant.commands.qat", "train a checkpoint with quantised weights (QAT and QAD), export and check it"),
    "merge": ("quant.commands.merge", "rebuild a trained checkpoint from its base model and its adapter"),
    "export": ("quant.commands.export", "convert an exported checkpoint to the layout that a serving image loads"),
    "preflight": (
        "quant.commands.preflight",
        "check whether a vLLM image will load a checkpoint and compute with the exported weights",
    ),
    "diff": (
        "quant.commands.diff",
        "compare a checkpoint with its reference: KL divergence, top-1 agreement, error of each block",
    ),
    "compare": ("quant.commands.compare", "print a table of several checkpoints, from their quant_run.json"),
    "sensitivity": (
        "quant.commands.sensitivity",
        "measure the effect of quantising each group of layers, and propose a mixed recipe",
    ),
    "score": ("quant.commands.score", "print how likely given answers are under a checkpoint and its reference"),
}


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return (
        f"usage: {_program()} COMMAND …\n\n" + "\n".join(lines) + f"\n\n{_program()} COMMAND --help "
        "lists the options of a command.\n"
    )


def _cause(error: Exception) -> str | None:
    """One line for an error of the machine (disk, memory, permission); None for everything else."""
    text = str(error)
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    if (isinstance(error, OSError) and error.errno in full) or "No space left" in text or "File too large" in text:
        return (
            "the disk is full, or the file is larger than allowed here; free some space or name an --out "
            "on another disk "
            "(incomplete output was removed)"
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in text:
        return (
            "out of memory; lower calibration.batch_size or max_length in the recipe (for training "
            "its max_length, or use a recipe that trains adapters), or use a larger machine"
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
        print(f"{_program()} data: has moved; run annie-data, see annie-eval docs data", file=sys.stderr)
        return 2
    if name not in COMMANDS:
        print(f"{_program()}: no command {name!r}; the commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    parser = Parser(prog=f"{_program()} {name}", description=COMMANDS[name][1])
    ADD[name](parser)
    given = parser.parse_args(arguments[1:])
    quiet_imports()
    try:
        module = importlib.import_module(COMMANDS[name][0])
        return int(module.run(given))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"quant", "annie_data"}:
            raise
        fix = "pip install 'annie-eval[quant]'"
        print(f"{_program()} {name}: needs {error.name}, which is not installed: {fix}", file=sys.stderr)
        return 2
    except UsageError as error:
        if os.environ.get("RANK", "0") == "0":  # every process of a launcher raises the same error
            print(f"{_program()} {name}: {error}", file=sys.stderr)
        return 2
    except NotServedAsMade as error:
        print(f"{_program()} {name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, a pager) closed the pipe. Prevents an error when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(
            f"{_program()} {name}: interrupted; if a training state was saved, --resume continues it",
            file=sys.stderr,
        )
        return 130
    except Exception as error:
        cause = _cause(error)
        if cause is None or os.environ.get("QUANT_TRACEBACK"):
            raise
        print(f"{_program()} {name}: {cause}", file=sys.stderr)
        return 2


def _program() -> str:
    """What the user typed, for messages that can be typed again."""
    return "annie-quant" if Path(sys.argv[0]).name == "annie-quant" else "python -m quant"
