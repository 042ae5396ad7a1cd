"""Turns a trained or calibrated model into a finished checkpoint: export, checks, provenance, atomic rename."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quant.checkpoint.atomic import atomic_directory, refused_path
from quant.checkpoint.provenance import Provenance, digest_ahead
from quant.checkpoint.quiet import quiet
from quant.checkpoint.view import view
from quant.errors import NotServedAsMade, UsageError
from quant.export import verify
from quant.export.export import COMPANIONS, export_model, retarget
from quant.images import Image
from quant.preflight import check
from quant.preflight.reference import movement
from quant.quantize.plots import plot


def finish(
    model: Any,
    source: Path,
    out: Path,
    image: Image,
    provenance: Provenance,
    *,
    trained: dict[str, str] | None = None,
    extra: Callable[[Path, dict[str, str]], None] | None = None,
) -> int:
    """Export a quantised model for `image`, check it bit for bit and with preflight, write its provenance, rename it.

    Args:
        trained: digests of the weights used in training; the model's weights must match them.
        extra: function that writes more files into the checkpoint; its argument are the digests of the served weights.

    Returns the number of layers compared. Raises NotServedAsMade if a check fails. The output is then removed, or
    after training kept as NAME.refused with the reason, because training takes long.
    """
    refused = refused_path(out) if trained is not None else None
    try:
        with atomic_directory(out, refused=refused) as partial:
            return _build(model, source, partial, image, provenance, trained, extra, out.name)
    except NotServedAsMade as error:
        kept = f"the trained result is kept in {refused}" if refused is not None else "nothing was kept"
        if (trained_how := provenance.record.get("training")) and "last_loss" in trained_how:
            kept += f" (loss {trained_how['first_loss']:.4g} at first, {trained_how['last_loss']:.4g} at the end)"
        raise NotServedAsMade(f"{error}; {kept}") from error


def _build(
    model: Any,
    source: Path,
    partial: Path,
    image: Image,
    provenance: Provenance,
    trained: dict[str, str] | None,
    extra: Callable[[Path, dict[str, str]], None] | None,
    name: str,
) -> int:
    with provenance.phase("digest", "hashes of the weights that the model computes with"):
        computed = verify.computed_digests(model)
    if not computed:
        raise UsageError("the recipe's layers match no linear layer of this model; correct its patterns")
    if trained is not None and extra is not None:
        extra(partial, computed)  # first, so that the adapter is kept even if a check fails
    if trained is not None and (changed := [name for name in computed if computed[name] != trained.get(name)]):
        raise NotServedAsMade(
            f"{len(changed)} layers of the merged model differ from the trained ones, first {changed[0]}"
        )
    dtype = model.dtype
    with provenance.phase("export", f"writing the checkpoint for {image.name}"), quiet():
        export_model(model, source, partial, image)
        retarget(partial, image)
    digest_ahead(partial.glob("*.safetensors"))
    with provenance.phase("verify", "comparing the files with the model, bit for bit"):
        layers = verify.assert_served_as_made(computed, partial, dtype)
        provenance.record["bit_check"] = {"layers": layers, "equal": True}
    with provenance.phase("preflight", f"checking that {image.name} loads the files"):
        made = {"kind": provenance.kind, "recipe": provenance.record.get("recipe")}
        findings = check.preflight(partial, image=image, reference=source, being_built=True, made=made)
        if trained is not None:
            provenance.record["moved"] = movement(view(partial)[0], view(source)[0])
    if refused := check.refusals(findings):
        provenance.record["refused"] = str(refused[0])
        provenance.write(partial)
        raise NotServedAsMade(f"preflight refuses the export: {refused[0]}")
    if errors := provenance.record.get("quality", {}).get("block_errors"):
        plot(errors, partial / "block_errors.png", f"{name}: error of each block after quantisation")
    if trained is None and extra is not None:
        extra(partial, computed)
    provenance.write(partial)
    return layers


def finish_bf16(
    model: Any, source: Path, out: Path, provenance: Provenance, extra: Callable[[Path], None] | None = None
) -> None:
    """Write a fine-tuned BF16 model, with tokenizer and other files of the checkpoint that it came from."""
    with atomic_directory(out) as partial:
        with provenance.phase("export", "writing the checkpoint"):
            model.save_pretrained(partial)
            for name in COMPANIONS:
                if (source / name).is_file():
                    shutil.copyfile(source / name, partial / name)
        if extra is not None:
            extra(partial)
        provenance.write(partial)
