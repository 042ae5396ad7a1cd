"""`python -m quant preflight`: checks whether a vLLM image will load a checkpoint and compute correctly."""

from __future__ import annotations

import argparse
import json

from quant import images
from quant.errors import UsageError
from quant.preflight.check import check, refusals, summary


def run(arguments: argparse.Namespace) -> int:
    """Print the findings. Returns 0 if the checkpoint is ready, perhaps with warnings; 1 if it is refused."""
    image = images.find(arguments.image) if arguments.image else None
    if arguments.reference is not None and not arguments.reference.is_dir():
        raise UsageError(f"--reference {arguments.reference}: no such directory")
    if not arguments.checkpoint.is_dir():
        raise UsageError(f"{arguments.checkpoint}: no such directory")
    findings, ours = check(arguments.checkpoint, image, arguments.reference)
    refused = refusals(findings)
    about = summary(ours) if ours is not None and not refused else {}
    if arguments.json:
        report = {
            "ok": not refused,
            "level": "refused" if refused else "warned" if findings else "ready",
            "checkpoint": str(arguments.checkpoint),
            "image": image.name if image else None,
            "findings": [{**vars(f), "message": str(f)} for f in findings],
            **about,
        }
        print(json.dumps(report, indent=1, ensure_ascii=False))
        return 1 if refused else 0
    for finding in findings:
        print(f"{'warning: ' if finding.level == 'warned' else ''}{finding}")
    warnings = len(findings) - len(refused)
    warned = f", {warnings} warning{'s' if warnings > 1 else ''}" if warnings else ""
    if refused:
        print(f"{arguments.checkpoint}: refused, {len(refused)} finding{'s' if len(refused) > 1 else ''}{warned}")
        return 1
    layers = ", ".join(f"{count} {name}" for name, count in about["layers"].items())
    print(
        f"{arguments.checkpoint}: ready for {image.name if image else ', '.join(about['loads_in'])} "
        f"({about['algorithm'] or 'BF16'}; {layers}; {about['bytes'] / 1e6:,.0f} MB){warned}"
    )
    return 0
