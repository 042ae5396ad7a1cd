"""The arguments of each command. Nothing of an extra is imported, so that `--help` works without it."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from quant import images

DEFAULT_MODEL = Path("models/smollm2-135m-instruct-bf16")


def _positive(text: str) -> int:
    """An integer above zero, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer above zero")
    return int(text)


def _format(parser: argparse.ArgumentParser) -> None:
    """`--format`: the shape of the data."""
    parser.add_argument("--format", choices=["messages", "auto"], default="messages", dest="shape",
                        help="auto: also ShareGPT, prompt/completion, Alpaca, a JSON array, Parquet, a directory of "
                        "`datasets` (default: JSON Lines with messages or text)")  # fmt: skip


def training(parser: argparse.ArgumentParser) -> None:
    """The arguments of all training commands."""
    parser.add_argument("--model", type=Path, required=True, help="BF16 checkpoint directory")
    parser.add_argument("--recipe", required=True, help="name (`annie-quant recipes`) or path of a .toml file")
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines of conversations: messages, tools")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint directory to make")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="change a field of the recipe, such as training.learning_rate=1e-4")  # fmt: skip
    _format(parser)
    parser.add_argument("--resume", action="store_true", help="continue a run that was interrupted")
    parser.add_argument("--micro-tokens", type=int, default=None, metavar="N",
                        help="padded tokens per forward pass (default: what fits, at most 16384)")  # fmt: skip
    parser.add_argument("--gradient-checkpointing", action=argparse.BooleanOptionalAction, default=None,
                        help="recompute activations to save memory (default: the recipe's, or only if memory "
                        "is too small)")  # fmt: skip
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=None,
                        help="compile the decoder layers (default: on a GPU)")  # fmt: skip
    parser.add_argument("--save-seconds", type=float, default=300.0, metavar="S",
                        help="seconds between two saved states (default: 300)")  # fmt: skip


def default_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_MODEL, help=f"where to put the checkpoint (default: {DEFAULT_MODEL})"
    )


def recipes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=["show"], help="show prints one recipe file")
    parser.add_argument("name", nargs="?", help="the recipe's name, or the path of a .toml file")


def sft(parser: argparse.ArgumentParser) -> None:
    training(parser)


def preview(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="BF16 checkpoint directory")
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines of conversations: messages, tools")
    parser.add_argument("--row", type=_positive, default=1, help="which conversation (default: the first)")
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto",
                        help="never: ⟦ and ⟧ enclose the text that is trained on (default: auto)")  # fmt: skip
    _format(parser)


def ptq(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="BF16 checkpoint directory")
    parser.add_argument("--recipe", required=True, help="name (`annie-quant recipes`) or path of a .toml file")
    parser.add_argument("--calib", type=Path, required=True, help="JSON Lines with messages or text, or a .txt file")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint directory to make")
    parser.add_argument("--for", dest="image", metavar="IMAGE", help="serving image (default: the recipe's)")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="write amax and digests there, so that `merge` can rebuild the checkpoint",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="change a field of the recipe, such as calibration.samples=128")  # fmt: skip
    _format(parser)
    parser.add_argument("--kv-cache", choices=["none", "fp8"], help="KV cache format (default: the recipe's)")


def qat(parser: argparse.ArgumentParser) -> None:
    training(parser)
    parser.add_argument("--teacher", type=Path, metavar="DIR", help="BF16 teacher of a qad recipe (default: --model)")
    parser.add_argument("--calib", type=Path, metavar="FILE", help="calibration data (default: --data)")
    parser.add_argument("--for", dest="image", metavar="IMAGE", help="serving image (default: the recipe's)")


def merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="the BF16 checkpoint that it was made from")
    parser.add_argument("--adapter", type=Path, required=True, metavar="DIR", help="adapter folder of the result")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint directory to make")
    parser.add_argument("--for", dest="image", metavar="IMAGE", help="serving image (default: the recipe's)")


def export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="DIR", help="an exported checkpoint")
    parser.add_argument("--for", dest="image", required=True, metavar="IMAGE", help="|".join(images.images()))
    parser.add_argument("--out", type=Path, required=True, help="the new checkpoint")


def preflight(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="DIR")
    parser.add_argument("--for", dest="image", metavar="IMAGE", help="|".join(images.images()) + " (default: any)")
    parser.add_argument("--reference", type=Path, metavar="BF16_DIR", help="the checkpoint that it was made from")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", type=Path, metavar="REF", help="BF16 checkpoint")
    parser.add_argument("checkpoint", type=Path, metavar="DIR", help="the checkpoint made from it")
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines with messages or text, or a .txt file")
    parser.add_argument("--samples", type=_positive, default=32, help="samples compared (default: 32)")
    parser.add_argument("--positions", type=_positive, default=512,
                        help="tokens compared, of all samples together (default: 512)")  # fmt: skip
    parser.add_argument("--max-length", type=_positive, default=512, help="tokens a sample (default: 512)")
    _format(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="DIR")


def sensitivity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="BF16 checkpoint directory")
    parser.add_argument("--calib", type=Path, required=True, help="JSON Lines with messages or text, or a .txt file")
    parser.add_argument("--out", type=Path, required=True, help="directory for table, plot and recipe")
    _format(parser)
    parser.add_argument("--bits", type=float, default=6.0, help="budget: mean bits per quantised weight (4.5 to 8)")
    parser.add_argument("--samples", type=_positive, default=16, help="samples used (default: 16)")
    parser.add_argument("--max-length", type=_positive, default=256, help="tokens per sample (default: 256)")


def score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="the checkpoint that was served")
    parser.add_argument("--reference", type=Path, required=True, metavar="REF", help="BF16 checkpoint it is made from")
    parser.add_argument("--tokens", type=Path, required=True, metavar="FILE", help="JSON Lines: id, prompt, answer")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON Lines: id, model, reference")


ADD: Mapping[str, Callable[[argparse.ArgumentParser], None]] = {
    "default-model": default_model,
    "recipes": recipes,
    "sft": sft,
    "preview": preview,
    "ptq": ptq,
    "qat": qat,
    "merge": merge,
    "export": export,
    "preflight": preflight,
    "diff": diff,
    "compare": compare,
    "sensitivity": sensitivity,
    "score": score,
}
