"""Writes docs/troubleshooting.md: known error lines of a server's log, with cause and fix.

    python -m tests.support.troubleshooting

The causes are those that the gate prints (`annie_eval.serving`); the lines are from the real logs of the tests.
"""

from __future__ import annotations

import re
from pathlib import Path

from annie_eval.serving.fingerprint_diff import MEANINGLESS
from annie_eval.serving.log_causes import ENDS, ENGINE_LOST, RULES, CauseRule
from annie_eval.serving.log_diagnosis import diagnose, plain_lines

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs/troubleshooting.md"
LOGS = ROOT / "tests/unit/serving/logs"
_WIDTH = 160  # characters of a log's line

_HEAD = """\
# Troubleshooting

If a server does not start, the gate prints the cause and the fix at the end of its report. This page lists all known
causes by the line in the log (`server.log` in the run's directory). Search for a few words of your line, because
numbers and names differ. The page is written by `python -m tests.support.troubleshooting`.

- [A line in the server's log](#a-line-in-the-servers-log)
- [How the server ended](#how-the-server-ended)
- [A comparison is REFUSED](#a-comparison-is-refused)
- If nothing here matches: `annie-eval doctor --model-dir DIR` checks the files, the server and one answer;
  `annie-quant preflight DIR --for vllm-0.32` checks whether a vLLM image can load the files.
"""


def page() -> str:
    """The text of the page, from the current tables of causes."""
    entries = sorted((_entry(rule) for rule in RULES), key=lambda entry: entry[0].strip('… {"/').lower())
    log = [f"**`{line}`**\\\n{cause.rstrip('.')}.\\\nFix: {fix}." for line, cause, fix in entries]
    ends = [f"- **{signal}**: {cause}. Fix: {fix}." for signal, (cause, fix) in ENDS.items()]
    lost = (
        f"- **`Engine core initialization failed`, and no error above it**: {ENGINE_LOST[0]}. Fix: {ENGINE_LOST[1]}."
    )
    refused = sorted(set(MEANINGLESS.values()))
    return "\n".join(
        [
            _HEAD,
            "## A line in the server's log\n",
            "The gate prints the first cause that matches a log. Causes and fixes below are for the lines shown.\n",
            "\n\n".join(log),
            "\n## How the server ended\n",
            "If no line of the log matches:\n",
            *ends,
            lost,
            "\n## A comparison is REFUSED\n",
            "`--baseline` and `annie-eval compare` refuse to compare two runs if one of these differs:",
            f"{', '.join(refused)}.",
            "Fix: bless a run of the deployed server (`annie-eval bless RUN --as NAME`), or undo the change. Another",
            "checkpoint, server version or GPU is reported, and the comparison goes on.",
            "",
        ]
    )


def _entry(rule: CauseRule) -> tuple[str, str, str]:
    """The line of the rule's first log that matches, and the cause and fix that are printed for this log."""
    file = min(file for file in LOGS.glob("*.txt") if file.stem.partition(".")[0] == rule.name)
    log = file.read_text(encoding="utf-8").partition("\n")[2]
    text = "\n".join(plain_lines(log))
    match = re.search(rule.pattern, text)
    assert match is not None, f"{file} does not hold a line of {rule.name}"
    end = text.find("\n", match.end())
    line = text[text.rfind("\n", 0, match.end() - 1) + 1 : None if end < 0 else end].strip()
    start = max(0, line.find(match.group().strip().splitlines()[-1][:40]))
    shown = line if len(line) <= _WIDTH else ("… " if start else "") + line[start : start + _WIDTH] + " …"
    return shown.replace("`", "'"), *diagnose(log, "exited with status 1")


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
    print(f"wrote {FILE}")
