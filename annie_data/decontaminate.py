"""`annie-data decontaminate FILE`: removes conversations that are too similar to a scenario, and names the scenario.

Every message of any role is compared with all user messages of the scenarios (`overlap`).
"""

import argparse
from pathlib import Path

from annie_data.conversation import Line, read_lines
from annie_data.generate import write_lines
from annie_data.overlap import Overlap, contamination
from annie_data.scenario_prompts import prompts, scenario_files
from annie_data.teachers.protocol import excerpt
from annie_eval.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    """Check a file. Returns 0 if nothing was found or hits were left out of --out; 1 if there are hits and no --out.

    Raises:
        UsageError: a file cannot be read, a line is not a conversation, or --out exists.
    """
    path: Path = arguments.file
    out: Path | None = arguments.out
    if out is not None and out.exists():
        raise UsageError(f"{out} exists already; name another --out, or remove it first")
    files = scenario_files(arguments.against)
    overlap = Overlap(prompts(files))
    kept: list[Line] = []
    hits = 0
    for one in read_lines(path):
        if one.line is None or not isinstance(one.line.get("messages", one.line.get("text")), list | str):
            raise UsageError(
                f"{path}:{one.number}: {one.problem or 'has neither messages nor text'}; annie-data "
                "validate lists all problems"
            )
        found = contamination(one.line, overlap)
        if found is None:
            kept.append(one.line)
            continue
        hits += 1
        field, hit = found
        near = "" if hit.similarity == 1 else f" {hit.similarity:.2f}"
        print(f"{path}:{one.number}: {field}: {hit.reason}{near}: scenario {hit.scenario}: {excerpt(hit.prompt)!r}")
    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            write_lines(out, kept)
        except OSError as error:
            raise UsageError(f"--out {out}: {error.strerror}; name a file that can be written") from error
    count = hits + len(kept)
    print(f"{path}: {hits} of {count} conversations ({hits / count:.1%}) too near to a scenario of {len(files)} files")
    return 1 if hits and out is None else 0
