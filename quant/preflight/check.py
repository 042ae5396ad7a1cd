"""Preflight: checks whether vLLM will load a checkpoint and compute with the right weights.

Only headers, scales and small windows of the weights are read. There are ten points:

1. the image knows the algorithm; files are complete and safe
2. tensors and configs agree: none is missing, none is left over
3. parts of fused layers share format and scales
4. scales and weights are plausible numbers
5. no state of the quantiser is left
6. excluded layers, found like vLLM's own matcher does (reported under 2 and 3)
7. the architecture is registered, and names fit its class
8. lm_head, tied embeddings, MTP
9. tokenizer, chat template and generation config
10. the size
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from quant import images
from quant.checkpoint.provenance import PROVENANCE, read_provenance
from quant.checkpoint.view import Problem, View, view
from quant.errors import UsageError
from quant.images import Image
from quant.preflight.config import architecture_findings
from quant.preflight.files import directory_findings, tokenizer_findings, unreadable_findings, weight_file_findings
from quant.preflight.foreign import foreign_findings, foreign_formats, is_foreign, method_findings
from quant.preflight.provenance import provenance_findings
from quant.preflight.quantization import quantization_findings, served_algorithms
from quant.preflight.reference import reference_findings
from quant.preflight.tensors import is_linear, layer_names, plain_values, tensor_findings


def preflight(
    directory: Path,
    *,
    image: Image | None = None,
    reference: Path | None = None,
    being_built: bool = False,
    made: dict[str, Any] | None = None,
) -> list[Problem]:
    """All findings about `directory`; an empty list if it can be served.

    Args:
        image: the serving image; None asks whether any known image would load it.
        reference: the BF16 checkpoint.
        being_built: ignore the marker of an unfinished build, for the check at the end of the build.
        made: `kind` and `recipe` of a checkpoint whose provenance is not written yet.
    """
    return check(directory, image, reference, being_built=being_built, made=made)[0]


def refusals(findings: Iterable[Problem]) -> list[Problem]:
    """The findings because of which the checkpoint must not be served; the others are warnings."""
    return [finding for finding in findings if finding.level == "refused"]


def check(
    directory: Path,
    image: Image | None,
    reference: Path | None,
    *,
    being_built: bool = False,
    made: dict[str, Any] | None = None,
) -> tuple[list[Problem], View | None]:
    """Like `preflight`, with the checkpoint as it was read; None if it could not be read."""
    findings = list(directory_findings(directory, being_built=being_built))
    if not directory.is_dir() or not any(directory.iterdir()):
        return findings, None
    if unopened := unreadable_findings(directory):
        return _sorted([*unopened, *findings]), None
    ours, unreadable = view(directory)
    findings += unreadable
    findings += weight_file_findings(ours)
    findings += tokenizer_findings(ours, image)
    provenance: dict[str, Any] | None = None
    try:
        provenance = read_provenance(directory)
    except UsageError as error:
        findings.append(Problem(1, PROVENANCE, str(error), "remove it"))
    if ours.config:
        findings += quantization_findings(ours, image)
        findings += architecture_findings(ours, image)
        if ours.tensors and not ours.bad_files:
            if is_foreign(ours):
                findings += foreign_findings(ours, image)
                findings += plain_values(ours)
            else:
                findings += tensor_findings(ours, provenance or made)
            if reference is not None:
                findings += reference_findings(ours, reference, provenance or made)
    if provenance is not None and not ours.bad_files:
        findings += provenance_findings(ours, provenance)
    return _sorted(findings), ours


_NAME = re.compile(r"[\w\[\]]+(?:\.[\w\[\]]+){2,}")
_NUMBER = re.compile(r"[-+]?\d[\d.,e+-]*%?")


def _cause(finding: Problem) -> tuple[Any, ...]:
    """A key that is equal for findings with the same cause: the finding without its layer and numbers."""
    last = finding.where.rpartition(".")[2]
    problem = _NUMBER.sub("#", _NAME.sub("*", finding.problem))
    return finding.point, finding.level, last, problem, _NAME.sub("*", finding.fix)


def _by_cause(findings: Iterable[Problem]) -> list[Problem]:
    """One finding for each cause: the first, with the number of layers that have it. Refusals come first."""
    groups: dict[tuple[Any, ...], list[Problem]] = {}
    for finding in findings:
        groups.setdefault(_cause(finding), []).append(finding)
    found = [replace(group[0], layers=len({f.where for f in group})) for group in groups.values()]
    return sorted(found, key=lambda finding: finding.level != "refused")


def _sorted(findings: Iterable[Problem]) -> list[Problem]:
    """One finding per place, sorted. A finding with a reason takes precedence over "changed since it was written"."""
    found: dict[str, Problem] = {}
    for finding in findings:
        key = f"{finding.where}\n{finding.problem}" if PROVENANCE not in finding.problem else finding.where
        if PROVENANCE in finding.problem and any(f.where.startswith(finding.where) for f in found.values()):
            continue
        found.setdefault(key, finding)
    return _by_cause(found.values())


_BY_IMAGE = (quantization_findings, architecture_findings, method_findings)


def summary(ours: View) -> dict[str, Any]:
    """Summary of a checkpoint: algorithm, layers by format, bytes, images that load it."""
    linear = [name for name in layer_names(ours) if is_linear(ours, name)]
    served, _ = served_algorithms(ours, linear)
    formats = Counter(algorithm or "BF16" for algorithm in served.values())
    if is_foreign(ours):
        formats = foreign_formats(ours)
    loads = [
        image.name
        for image in images.images().values()
        if not refusals(problem for find in _BY_IMAGE for problem in find(ours, image))
    ]
    return {
        "algorithm": (ours.quantization.algorithm or ours.quantization.method) if ours.quantization else None,
        "layers": dict(formats.most_common()),
        "bytes": sum(tensor.info.bytes for tensor in ours.tensors.values()),
        "loads_in": loads,
    }
