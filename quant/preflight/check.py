"""`python -m quant preflight`: will this vLLM load the checkpoint, and serve what it should? Headers and scales only.

The ten points:

1. the algorithm is known to the image; files are whole and safe
2. tensors and configs agree, both ways
3. parts of fused layers share format and scales
4. scales and weights are numbers that can be
5. no leftovers of the quantiser
6. exclusions, as vLLM's own matcher reads them (reported under 2 and 3)
7. the architecture is registered, and names fit its class
8. lm_head, ties, MTP
9. tokenizer, chat template and generation config
10. the size
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quant import images
from quant.checkpoint.provenance import LEDGER, read_ledger
from quant.checkpoint.view import Finding, View, view
from quant.errors import UsageError
from quant.images import Image
from quant.preflight.config import architecture_findings, quantization_findings, served_algorithms
from quant.preflight.files import directory_findings, tokenizer_findings, unreadable_findings, weight_file_findings
from quant.preflight.provenance import ledger_findings
from quant.preflight.reference import reference_findings
from quant.preflight.tensors import is_linear, layer_names, tensor_findings


def preflight(
    directory: Path, *, image: Image | None = None, reference: Path | None = None, being_built: bool = False
) -> list[Finding]:
    """Everything that speaks against serving `directory`; the empty list where nothing does.

    `image`: the serving image; None asks whether any known image would load it. `reference`: the BF16 checkpoint.
    `being_built` lets the marker of an unfinished build pass, for the builder's own check.
    """
    return _preflight(directory, image, reference, being_built=being_built)[0]


def _preflight(
    directory: Path, image: Image | None, reference: Path | None, *, being_built: bool
) -> tuple[list[Finding], View | None]:
    findings = list(directory_findings(directory, being_built=being_built))
    if not directory.is_dir() or not any(directory.iterdir()):
        return findings, None
    if unopened := unreadable_findings(directory):
        return _sorted([*unopened, *findings]), None
    ours, unreadable = view(directory)
    findings += unreadable
    findings += weight_file_findings(ours)
    findings += tokenizer_findings(ours)
    ledger: dict[str, Any] | None = None
    try:
        ledger = read_ledger(directory)
    except UsageError as error:
        findings.append(Finding(1, LEDGER, str(error), "remove it"))
    if ours.config:
        findings += quantization_findings(ours, image)
        findings += architecture_findings(ours, image)
        if ours.tensors and not ours.bad_files:
            findings += tensor_findings(ours, image)
            if reference is not None:
                findings += reference_findings(ours, reference, ledger)
    if ledger is not None and not ours.bad_files:
        findings += ledger_findings(ours, ledger)
    return _sorted(findings), ours


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    """Without repeats of a place; what says why comes before what the ledger only sees as changed."""
    found: dict[str, Finding] = {}
    for finding in findings:
        key = f"{finding.where}\n{finding.problem}" if LEDGER not in finding.problem else finding.where
        if LEDGER in finding.problem and any(f.where.startswith(finding.where) for f in found.values()):
            continue
        found.setdefault(key, finding)
    return list(found.values())


def summary(ours: View) -> dict[str, Any]:
    """What the checkpoint is: algorithm, layers by format, bytes, images that load it."""
    linear = [name for name in layer_names(ours) if is_linear(ours, name)]
    served, _ = served_algorithms(ours, linear)
    formats = Counter(algorithm or "BF16" for algorithm in served.values())
    loads = [
        image.name
        for image in images.images().values()
        if not list(quantization_findings(ours, image)) and not list(architecture_findings(ours, image))
    ]
    return {
        "algorithm": ours.quantization.algorithm if ours.quantization else None,
        "layers": dict(formats.most_common()),
        "bytes": sum(tensor.info.bytes for tensor in ours.tensors.values()),
        "loads_in": loads,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m quant preflight`."""
    parser.add_argument("checkpoint", type=Path, metavar="DIR")
    parser.add_argument("--for", dest="image", metavar="IMAGE", help="|".join(images.images()) + " (default: any)")
    parser.add_argument("--reference", type=Path, metavar="BF16_DIR", help="the checkpoint that it was made from")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print what speaks against serving the checkpoint. Status 0: nothing; 1: something."""
    image = images.find(arguments.image) if arguments.image else None
    if arguments.reference is not None and not arguments.reference.is_dir():
        raise UsageError(f"--reference {arguments.reference}: no such directory")
    if not arguments.checkpoint.is_dir():
        raise UsageError(f"{arguments.checkpoint}: no such directory")
    findings, ours = _preflight(arguments.checkpoint, image, arguments.reference, being_built=False)
    about = summary(ours) if ours is not None and not findings else {}
    if arguments.json:
        said = {
            "ok": not findings,
            "checkpoint": str(arguments.checkpoint),
            "image": image.name if image else None,
            "findings": [{**vars(f), "message": str(f)} for f in findings],
            **about,
        }
        print(json.dumps(said, indent=1, ensure_ascii=False))
        return 1 if findings else 0
    for finding in findings:
        print(finding)
    if findings:
        print(f"{arguments.checkpoint}: refused, {len(findings)} finding{'s' if len(findings) > 1 else ''}")
        return 1
    layers = ", ".join(f"{count} {name}" for name, count in about["layers"].items())
    print(
        f"{arguments.checkpoint}: ready for {image.name if image else ', '.join(about['loads_in'])} "
        f"({about['algorithm'] or 'BF16'}; {layers}; {about['bytes'] / 1e6:,.0f} MB)"
    )
    return 0
