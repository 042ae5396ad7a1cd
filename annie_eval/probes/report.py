"""Formats the result of a probe for the terminal: the shortest failing prompt and its answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval.report.phrases import by_cause, percent
from annie_eval.stats import binomial
from annie_eval.text import printable, shortened


def quoted(prompt: str, width: int = 200) -> str:
    """A prompt as a Python string on one line, so that unprintable characters are visible."""
    return shortened(repr(prompt), width)


def summary(row: Mapping[str, Any]) -> str:
    """A probe in one line."""
    name, found, n = row["name"], row["outcome"], row["explored"]
    if found == "holds":
        ruled_out = percent(binomial.rules_out(0, n))
        return f"{name}: holds for {n} prompts of its kind (a share above {ruled_out} of such prompts is ruled out)"
    if found == "nothing":
        return f"{name}: nothing to compare with: no scenario's own prompt gets what it wants"
    if found == "broken":
        cause, prompts = by_cause([{"sample": each["prompt"], "cause": each["cause"]} for each in row["broken"]])[0]
        return f"{name}: ERROR: {len(row['broken'])} prompts broke, {quoted(prompts[0], 60)} first: {printable(cause)}"
    word = "fails" if found == "fails" else "FLAKY, fails"
    failed, asked = row["again"]
    what = quoted(row["prompt"], 80) + (f" after {', '.join(row['edits'])}" if row["edits"] else "")
    return f"{name}: {word} {failed} of {asked} times for {what}: {printable(row['reason'])}"


def details(row: Mapping[str, Any], run_dir: str, answer: Sequence[str]) -> list[str]:
    """All details of a failure. `answer` are the lines (channel: text) of the reply."""
    if row["outcome"] in ("holds", "nothing"):
        return [summary(row)]
    if row["outcome"] == "broken":
        return [
            summary(row),
            *(f"  {quoted(each['prompt'])}: {printable(each['cause'])}" for each in row["broken"][:5]),
        ]
    failed, asked = row["again"]
    lines = [
        summary(row),
        f"prompt ({row['length']} characters): {quoted(row['prompt'])}",
        f"sent: {'streamed' if row['stream'] else 'unstreamed'}, thinking {row['thinking']}",
    ]
    if row["scenario"] is not None:
        lines.append(f"scenario: {row['scenario']}, changed by: {', '.join(row['edits'])}")
    lines += [f"before it, {message['role']}: {quoted(str(message['content']))}" for message in row["history"]]
    lines += [f"offered: {shortened(printable(str(tool)), 300)}" for tool in row["tools"]]
    lines += [f"answer, {printable(line)}" for line in answer]
    excerpt = f": {printable(row['excerpt'])}" if row["excerpt"] else ""
    lines.append(f"{row['detector']}: {printable(row['reason'])}{excerpt}")
    if failed < asked:
        lines.append(f"FLAKY: it failed {failed} of {asked} times when it was asked again")
    how = "replayed from an earlier run" if row["replayed"] else f"{row['failed']} of {row['explored']} prompts failed"
    end = "nothing more can be left out" if row["complete"] else "the budget was spent: it may get shorter"
    lines += [
        f"found: {how}; shrunk from {row['shrunk_from']} characters, {end}; {row['asked']} prompts asked",
        f"kept in {row['database']}: the next run asks it first"
        if row["not_kept"] is None
        else f"NOT kept in {row['database']}: {printable(row['not_kept'])}",
        f"see: annie-eval show {run_dir} {row['sample']}",
    ]
    return lines
