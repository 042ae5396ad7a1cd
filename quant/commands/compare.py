"""`python -m quant compare`: prints a table of several checkpoints, from their provenance."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quant.checkpoint.provenance import read_provenance
from quant.checkpoint.view import view
from quant.errors import UsageError
from quant.preflight.check import summary

HEAD = ("strategy", "algorithm", "time", "format", "MB", "loads in", "KL", "top-1", "bit check")


def row(directory: Path) -> tuple[str, ...]:
    """One row of the table. Raises UsageError if the directory does not exist or is not a checkpoint."""
    provenance = read_provenance(directory)
    if provenance is None and not directory.is_dir():
        raise UsageError(f"{directory}: no such directory")
    # made by another tool: its content is known, but not how it was made
    provenance = provenance or {"kind": directory.name}
    found, _ = view(directory)
    about = summary(found)
    recipe = provenance.get("recipe")
    recipe = recipe if isinstance(recipe, dict) else {}
    after: dict[str, Any] = (provenance.get("quality") or {}).get("after") or {}
    seconds = sum((provenance.get("seconds") or {}).values())
    layers = "+".join(f"{count} {name}" for name, count in about["layers"].items())
    check = provenance.get("bit_check") or {}
    return (
        str(recipe.get("name") or provenance.get("kind")),
        str(recipe.get("algorithm", "-")),
        f"{seconds:.0f} s" if seconds else "-",
        f"{about['algorithm'] or 'BF16'} ({layers})",
        f"{about['bytes'] / 1e6:,.0f}",
        ", ".join(about["loads_in"]) or "none",
        f"{after['kl']:.4f}" if "kl" in after else "-",
        f"{after['top1']:.1%} of {after['positions']}" if "top1" in after else "-",
        f"{check['layers']} layers equal" if check.get("equal") else "-",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the table, as Markdown."""
    rows = [HEAD, *(row(directory) for directory in arguments.checkpoints)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEAD))]
    for number, line in enumerate(rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return 0
