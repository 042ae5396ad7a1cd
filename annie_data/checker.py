"""Runs an external program that judges samples: JSON Lines on standard input, one line of findings per sample.

In: `{"id", "messages", "thinking", "expect", "then", "finish_reasons"}`, as `annie-eval check` reads them. Out:
`{"id", "findings": [{"detector", "reason", …}]}`; no findings means that the sample is accepted. Its exit status may
be 0 or 1.
"""

import json
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval.errors import UsageError

_LIMIT = 600.0


class Checker:
    """Runs a command line on batches of samples. Raises UsageError if it cannot be run."""

    def __init__(self, command_line: str) -> None:
        try:
            self._words = shlex.split(command_line)
        except ValueError as error:
            raise UsageError(
                f"--check {command_line!r} cannot be split into words ({error}); correct its quotes"
            ) from None
        if not self._words or shutil.which(self._words[0]) is None:
            name = self._words[0] if self._words else ""
            raise UsageError(f"--check: there is no program {name!r}; name one on the PATH, such as annie-eval check")

    def judge(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Findings by sample id; an empty list if the sample is accepted.

        Raises UsageError if the program fails, writes anything else, or leaves a sample out.
        """
        if not samples:
            return {}
        given = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
        try:
            ended = subprocess.run(self._words, input=given.encode(), capture_output=True, timeout=_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"--check: {self._words[0]} took more than {_LIMIT:g} s for {len(samples)} samples"
            ) from None
        except OSError as error:
            raise UsageError(f"--check: {self._words[0]} cannot be run: {error.strerror}") from error
        complaint = ended.stderr.decode(errors="replace").strip().split("\n")[-1][:200]
        if ended.returncode not in (0, 1):
            raise UsageError(f"--check: {self._words[0]} ended with status {ended.returncode}: {complaint}")
        found: dict[str, list[dict[str, Any]]] = {}
        for line in ended.stdout.decode(errors="replace").splitlines():
            try:
                answer = json.loads(line)
                found[answer["id"]] = list(answer["findings"])
            except (ValueError, LookupError, TypeError):
                raise UsageError(
                    f"--check: {self._words[0]} wrote {line[:80]!r}, not a line with id and findings"
                ) from None
        for sample in samples:
            if sample["id"] not in found:
                raise UsageError(f"--check: {self._words[0]} wrote nothing about sample {sample['id']}: {complaint}")
        return found
