"""The study of recipes as Markdown: recipes over calibrations and seeds, the noise between these, and paired tests.

`report.py` puts it on docs/results.md. A family is a recipe, as `ptq-mse`; its runs differ in their calibration data
or in the seed of their training alone. Prompts are the unit of evidence: one prompt is better under a family that
misses it in a smaller share of its runs, and families are compared by the exact two-sided sign test over prompts
(McNemar's, where each has one run), Holm-adjusted over a table.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annie_eval.stats import binomial as stats
from research.annie_smol.study import plan

Result = Mapping[str, Any]
BASE = "annie-smol-bf16"
GATES = {"tool_calling": "tools", "factual": "facts", "reasoning": "reasoning"}
SETS = {"": "the set of the table above", "new-": "the second set"}
HEAD = 2  # lines of a table before its first row
PARTS = {
    "w4a16": "Weights alone in four bits",
    "mlp": "MLPs alone in four bits",
    "attention": "Attention alone in four bits",
}  # one run each
KINDS = {"ptq": "PTQ", "qad": "QAD, 430 conversations x 3", **PARTS}


def families(results: Mapping[str, Result], kind: str, having: str = "gates") -> dict[str, list[Result]]:
    """Runs that were judged, or have another field, by family, in the plan's order."""
    found: dict[str, list[Result]] = {}
    for one in plan.RECIPE_STUDY:
        ours = one.name.startswith(f"{kind}-") and not one.name.endswith("-again")
        if ours and having in results.get(one.name, {}):
            name = one.name if kind in PARTS else one.name.rpartition("-")[0]
            found.setdefault(name, []).append(results[one.name])
    return found


def missed(run: Result, gate: str, prefix: str) -> list[str]:
    """Keys of the prompts of one set that a run misses."""
    return [key for key in run["gates"][gate]["missed"] if key.startswith("new-") == bool(prefix)]


def size(run: Result, gate: str, prefix: str) -> int:
    """Prompts of one set."""
    second: int = run["gates"][gate]["second"]
    return second if prefix else run["gates"][gate]["n"] - second


def differences(ones: Sequence[Result], others: Sequence[Result], gates: Iterable[str], prefix: str) -> list[float]:
    """For each prompt of one set: the share of runs of `ones` that pass it, less the share of `others`."""
    found: list[float] = []
    for gate in gates:
        counts: Counter[str] = Counter()
        for runs, sign in ((ones, -1), (others, 1)):
            for key, count in Counter(key for run in runs for key in missed(run, gate, prefix)).items():
                # Whole numbers, so that equal shares are equal.
                counts[key] += sign * count * (len(others) if sign == -1 else len(ones))
        shares = [count / (len(ones) * len(others)) for count in counts.values()]
        found += shares + [0.0] * (size(ones[0], gate, prefix) - len(shares))
    return found


def interval(values: Sequence[float]) -> str:
    """Mean and 95 % interval in points: by the normal distribution over prompts, whose runs are averaged."""
    mean, half = statistics.fmean(values), 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return f"{100 * mean:+.1f} ({100 * (mean - half):+.1f} to {100 * (mean + half):+.1f})"


def sign_test(better: int, worse: int) -> float:
    """Exact two-sided p-value."""
    return min(1.0, 2 * stats.mcnemar(max(better, worse), min(better, worse)))


def counts_table(results: Mapping[str, Result], kind: str) -> list[str]:
    """A row a family: mean of what passes, from least to most, of each gate and set."""
    rows = {BASE: [results[BASE]], **families(results, kind)} if BASE in results else families(results, kind)
    heads = [f"{title}, {where}" for where in ("first", "second") for title in GATES.values()]
    lines = [f"| | runs | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
    for name, runs in rows.items():
        cells = []
        for prefix, gate in itertools.product(SETS, GATES):
            n = size(runs[0], gate, prefix)
            cells.append(_spread([n - len(missed(run, gate, prefix)) for run in runs]) + f" of {n}")
        lines.append(f"| {name} | {len(runs)} | {' | '.join(cells)} |")
    return lines


def agreement_table(results: Mapping[str, Result]) -> list[str]:
    """A row a family: KL to BF16 and top-1 agreement on conversations that trained nothing, and each run's KL."""
    lines = ["| | runs | KL in nats a token | of each run | top-1 |", "|---|---|---|---|---|"]
    for kind in KINDS:
        for name, runs in families(results, kind, "agreement").items():
            kl = [run["agreement"]["kl"] for run in runs]
            top = sum(100 * run["agreement"]["top1"] for run in runs) / len(runs)
            each = ", ".join(f"{value:.3f}" for value in kl)
            lines.append(f"| {name} | {len(runs)} | {sum(kl) / len(kl):.3f} | {each} | {top:.1f} % |")
    return lines


def _spread(values: Sequence[int]) -> str:
    mean = sum(values) / len(values)
    return f"{mean:.0f} ({min(values)}-{max(values)})" if len(values) > 1 else str(values[0])


def paired_table(results: Mapping[str, Result], pairs: Sequence[tuple[str, str]]) -> list[str]:
    """A row a pair of families and a column a gate: prompts of both sets that are better, worse, and the p-value."""
    every = {BASE: [results[BASE]]} if BASE in results else {}
    for kind in KINDS:
        every |= families(results, kind)
    there = [pair for pair in pairs if all(name in every for name in pair)]
    gates = [*GATES, "*"]
    found = {}
    for (one, other), gate in itertools.product(there, gates):
        chosen = (
            [each for each in every[one][0]["gates"] if each in every[other][0]["gates"]] if gate == "*" else [gate]
        )
        found[one, other, gate] = [
            each for prefix in SETS for each in differences(every[one], every[other], chosen, prefix)
        ]
    flips = {
        key: (sum(each > 0 for each in values), sum(each < 0 for each in values)) for key, values in found.items()
    }
    adjusted = dict(zip(flips, stats.holm([sign_test(*counts) for counts in flips.values()]), strict=True))
    lines = [f"| | {' | '.join(GATES.values())} | all gates |", "|---" * (len(gates) + 1) + "|"]
    for one, other in there:
        cells = []
        for gate in gates:
            better, worse = flips[one, other, gate]
            points = "" if gate == "*" else f"{interval(found[one, other, gate])}; "
            cells.append(f"{points}+{better} -{worse}, p = {adjusted[one, other, gate]:.2g}")
        lines.append(f"| {one} against {other} | {' | '.join(cells)} |")
    return lines


def floor_table(results: Mapping[str, Result]) -> list[str]:
    """A row a family: prompts that change sides between two of its runs, mean over the pairs of runs."""
    lines = [f"| | {' | '.join(GATES.values())} |", "|---" * (len(GATES) + 1) + "|"]
    rows = {name: runs for kind in KINDS for name, runs in families(results, kind).items() if len(runs) > 1}
    again = [results[name] for name in ("ptq-max-0", "ptq-max-0-again") if "gates" in results.get(name, {})]
    if len(again) == 2:
        rows = {"ptq-max-0, made and judged twice": again, **rows}
    for name, runs in rows.items():
        cells = []
        for gate in GATES:
            flips = [
                len(set(one["gates"][gate]["missed"]) ^ set(other["gates"][gate]["missed"]))
                for one, other in itertools.combinations(runs, 2)
            ]
            cells.append(f"{sum(flips) / len(flips):.0f} of {runs[0]['gates'][gate]['n']}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def section(results: Mapping[str, Result]) -> list[str]:
    """The parts of the page; none without results."""
    if not any("gates" in result for result in results.values()):
        return []
    ptq, qad = (list(families(results, kind)) for kind in ("ptq", "qad"))
    pairs = [(name, "ptq-max") for name in ptq[1:]] + [(name, BASE) for name in ptq]
    pairs += [(name, "qad-max") for name in qad[1:]] + [(name, BASE) for name in qad]
    pairs += [(f"qad-{name.removeprefix('ptq-')}", name) for name in ptq]
    pairs += [("ptq-mse-headroom", "ptq-mse"), ("ptq-local-hessian", "ptq-mse"), ("ptq-gptq", "ptq-mse")]
    pairs += [("ptq-gptq", "ptq-local-hessian"), ("ptq-gptq", "qad-max"), ("ptq-gptq", "qad-mse")]
    for part in PARTS:
        pairs += [(name, f"{part}-max") for name in families(results, part) if name != f"{part}-max"]
        pairs += [(name, BASE) for name in families(results, part)]
    positions = next(result["agreement"]["positions"] for result in results.values() if "agreement" in result)
    parts = [
        "## Recipes",
        "One base, the embedded BF16 fine-tune. Runs of a PTQ recipe differ in their calibration data "
        f"(`{', '.join(plan.CALIBRATIONS)}`), those of QAD in the seed. A cell is the mean of what passes, and in "
        f"brackets the least and the most of the runs. First is {SETS['']}; second is seed {plan.SECOND_SEED} with "
        "prompts that were written after the recipes were frozen.",
        "### Distance from BF16",
        f"On {positions} tokens of conversations that trained and calibrated nothing.",
        "\n".join(agreement_table(results)),
    ]
    for kind, title in KINDS.items():
        if families(results, kind):
            parts += [f"### {title}", "\n".join(counts_table(results, kind))]
    if len(noise := floor_table(results)) > HEAD:
        parts += [
            "### The noise between runs of one recipe",
            "Prompts of both sets that one run passes and another misses.",
            "\n".join(noise),
        ]
    parts += [
        "### Recipe against recipe",
        "Difference in points with its 95 % interval (the runs of a prompt averaged, then over prompts); prompts of "
        "both sets that are better (+) or worse (-) over all runs; exact two-sided sign test, Holm over the table.",
        "\n".join(paired_table(results, pairs)),
    ]
    return parts
