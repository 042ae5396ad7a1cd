"""From a trained or calibrated model to a finished checkpoint: export, check, provenance, one atomic rename."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quant.checkpoint.atomic import atomic_directory
from quant.checkpoint.provenance import Ledger
from quant.errors import NotServedAsMade, UsageError
from quant.export import verify
from quant.export.export import COMPANIONS, export_model, retarget
from quant.images import Image
from quant.preflight.check import preflight
from quant.quantize.plots import plot


def finish(
    model: Any,
    source: Path,
    out: Path,
    image: Image,
    ledger: Ledger,
    *,
    trained: dict[str, str] | None = None,
    extra: Callable[[Path, dict[str, str]], None] | None = None,
) -> int:
    """Export a quantised model for `image`, check it bit for bit and with preflight, write the ledger, make it `out`.

    Args:
        trained: digests of the weights that training multiplied by; the model's must be these.
        extra: writes more files into the checkpoint, given the digests of the weights that the model multiplies by.

    Returns the number of layers compared. Raises NotServedAsMade, and leaves nothing, where a check fails.
    """
    with ledger.phase("digest"):
        computed = verify.computed_digests(model)
    if not computed:
        raise UsageError("the recipe's layers match no linear layer of this model; mend its patterns")
    if trained is not None and (changed := [name for name in computed if computed[name] != trained.get(name)]):
        raise NotServedAsMade(
            f"{len(changed)} layers of the merged model are not those that were trained, first {changed[0]}"
        )
    dtype = model.dtype
    with atomic_directory(out) as partial:
        with ledger.phase("export"), contextlib.redirect_stdout(io.StringIO()):
            export_model(model, source, partial)
            retarget(partial, image)
        with ledger.phase("verify"):
            layers = verify.assert_served_as_made(computed, partial, dtype)
            ledger.record["bit_check"] = {"layers": layers, "equal": True}
        with ledger.phase("preflight"):
            findings = preflight(partial, image=image, reference=source, being_built=True)
        if findings:
            raise NotServedAsMade(f"preflight refuses the export: {findings[0]}; nothing was kept")
        if errors := ledger.record.get("quality", {}).get("block_errors"):
            plot(errors, partial / "block_errors.png", f"{out.name}: error of each block after quantisation")
        if extra is not None:
            extra(partial, computed)
        ledger.write(partial)
    return layers


def finish_bf16(
    model: Any, source: Path, out: Path, ledger: Ledger, extra: Callable[[Path], None] | None = None
) -> None:
    """Write a fine-tuned BF16 model with the companions of the checkpoint that it came from."""
    with atomic_directory(out) as partial:
        with ledger.phase("export"):
            model.save_pretrained(partial)
            for name in COMPANIONS:
                if (source / name).is_file():
                    shutil.copyfile(source / name, partial / name)
        if extra is not None:
            extra(partial)
        ledger.write(partial)
