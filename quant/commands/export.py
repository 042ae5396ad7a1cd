"""`python -m quant export`: converts a checkpoint to the layout that another serving image loads."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from quant import images
from quant.checkpoint.atomic import atomic_directory, check_free, check_outside
from quant.checkpoint.provenance import PROVENANCE, Provenance, read_provenance
from quant.checkpoint.safetensors_file import BadFile
from quant.errors import NotServedAsMade, UsageError
from quant.export.export import check_loads, retarget
from quant.preflight.check import preflight, refusals


def run(arguments: argparse.Namespace) -> int:
    """Convert a checkpoint to the layout of another image; returns 1 if preflight refuses the result."""
    source: Path = arguments.checkpoint
    image = images.find(arguments.image)
    check_loads(source, image)
    check_outside(arguments.out, source)
    check_free(arguments.out)
    made = read_provenance(source) or {}
    written_anew = {"schema", "kind", "written", "versions", "seconds", "peak_bytes", "files", "tensors"}
    provenance = Provenance("export", {key: value for key, value in made.items() if key not in written_anew})
    provenance.record |= {"image": image.name, "made_by": made.get("made_by", made.get("kind"))}
    provenance.seconds.update(made.get("seconds", {}))
    with atomic_directory(arguments.out) as partial:
        with provenance.phase("export", f"{source} for {image.name}"):
            for path in sorted(source.iterdir()):
                if path.is_file() and path.name not in {PROVENANCE, "serve.md"}:
                    shutil.copyfile(path, partial / path.name)
            try:
                retarget(partial, image)
            except BadFile as error:
                raise UsageError(f"{source}: a weight file {error}; copy it again") from error
            if findings := refusals(preflight(partial, image=image, being_built=True)):
                raise NotServedAsMade(
                    f"{source}: preflight refuses the converted checkpoint: {findings[0]}; nothing was kept"
                )
        provenance.write(partial)
    print(f"{arguments.out}: for {image.name}; {arguments.out}/serve.md has the commands")
    return 0
