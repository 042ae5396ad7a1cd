"""Writes docs/results.md from the study's result files: tables with intervals, paired tests, ablations and plots.

    .venv/bin/python -m research.annie_smol.study.report --results research/annie_smol/results --out docs/results.md

Every number on the page comes from a result file of `run.py`; the conclusions are in notes.md. Paired tests compare
the samples that both candidates answered, by the exact two-sided McNemar test, Holm-adjusted over the gates of a row.
Plots are written to the page's directory.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annie_eval.profile.types import current_key
from annie_eval.stats import binomial as stats
from research.annie_smol.study import plan, recipes

Result = Mapping[str, Any]
GATES = (
    ("thinking_leak", "thinking leak"),
    ("tool_calling", "tool calling"),
    ("no_markdown", "no markdown"),
    ("factual", "factual"),
    ("reasoning", "reasoning"),
    ("brevity", "brevity"),
    ("restraint", "restraint"),
    ("wire_integrity", "wire integrity"),
)
GENERIC = "ptq-generic"
MAIN = ("untuned", "bf16", *(one.name for one in plan.MAIN), "qad-whole")
# The reference candidates of an ablation: its candidates differ from them in the setting that their names state.
BESIDE = {"size": ("qad-lora", "qat-lora"), "rate": ("qad-lora", "qat-lora"), "rank": ("qad-lora",),
          "seed": ("qad-lora", "qat-lora")}  # fmt: skip


def load(directory: Path) -> dict[str, Result]:
    """The results by candidate, in the plan's order. Sample keys of earlier versions are converted to today's."""
    found = {path.stem: path for path in directory.glob("*.json") if not path.stem.endswith(".quant_run")}
    order = [one.name for one in plan.CANDIDATES]
    names = [name for name in order if name in found] + sorted(found.keys() - set(order))
    texts = {name: found[name].read_text(encoding="utf-8") for name in names}
    return {name: json.loads(text, object_hook=_with_current_keys) for name, text in texts.items()}


def _with_current_keys(value: dict[str, Any]) -> dict[str, Any]:
    if "missed" in value:
        value["missed"] = [current_key(key) for key in value["missed"]]
    return value


def part(result: Result, free: bool) -> Result:
    """The result on the freely worded prompts only, or on the others only; unchanged if it was not judged."""
    if "gates" not in result:
        return result
    gates = {}
    for name, gate in result["gates"].items():
        worded_freely = gate.get("free", 0)
        n = worded_freely if free else gate["n"] - worded_freely
        missed = [key for key in gate["missed"] if key.startswith("free-") == free]
        gates[name] = {**gate, "n": n, "passed": n - len(missed), "missed": missed}
    return {**result, "gates": gates}


def cell(result: Result, gate: str) -> str:
    """A table cell such as `190/200 (91-98 %)`, with the exact 95 % interval; or `broke`, `refused`, `-`."""
    if "gates" not in result:
        return "broke" if "broke" in result else "refused"
    measured = result["gates"].get(gate)
    if measured is None or not measured["n"]:
        return "-"
    low, high = stats.clopper_pearson(measured["passed"], measured["n"])
    return f"{measured['passed']}/{measured['n']} ({100 * low:.0f}-{100 * high:.0f} %)"


def pair(one: Result, other: Result, gate: str) -> tuple[int, int, float] | None:
    """(samples that only `one` passes, only `other`, exact two-sided McNemar p); None without common samples."""
    try:
        a, b = one["gates"][gate], other["gates"][gate]
    except KeyError:
        return None
    if a["n"] != b["n"] or one.get("seed") != other.get("seed") or one["errors"] or other["errors"]:
        return None
    missed, other_missed = set(a["missed"]), set(b["missed"])
    gained, lost = len(other_missed - missed), len(missed - other_missed)
    return gained, lost, min(1.0, 2 * stats.mcnemar(max(gained, lost), min(gained, lost)))


def gate_table(results: Mapping[str, Result], names: Sequence[str]) -> list[str]:
    """A Markdown table with a row per gate and a column per candidate that has a result."""
    there = [name for name in names if name in results]
    lines = [f"| gate | {' | '.join(there)} |", "|---" * (len(there) + 1) + "|"]
    for gate, title in GATES:
        lines.append(f"| {title} | {' | '.join(cell(results[name], gate) for name in there)} |")
    lines.append(f"| verdict | {' | '.join(results[name].get('verdict', '-') for name in there)} |")
    return lines


def paired_table(results: Mapping[str, Result], pairs: Sequence[tuple[str, str]]) -> list[str]:
    """A Markdown table with a row per pair of candidates: samples gained and lost in each gate, and the adjusted p."""
    lines = [f"| | {' | '.join(title for _, title in GATES)} |", "|---" * (len(GATES) + 1) + "|"]
    for name, reference in pairs:
        if name not in results or reference not in results:
            continue
        found = {gate: pair(results[name], results[reference], gate) for gate, _ in GATES}
        known = [gate for gate, three in found.items() if three is not None]
        adjusted = dict(zip(known, stats.holm([found[gate][2] for gate in known]), strict=True))  # type: ignore[index]
        cells = []
        for gate, _ in GATES:
            three = found[gate]
            cells.append("-" if three is None else f"+{three[0]} -{three[1]}, p = {adjusted[gate]:.2g}")
        lines.append(f"| {name} against {reference} | {' | '.join(cells)} |")
    return lines


def making_table(results: Mapping[str, Result]) -> list[str]:
    """A Markdown table of how each candidate was made: command, seconds, tokens/s, KL divergence, preflight result."""
    lines = [
        "| candidate | made by | seconds | tokens/s | KL to BF16 in nats (top-1), tokens | preflight | judged on |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        provenance = result.get("provenance", {})
        seconds = sum((provenance.get("seconds") or {}).values())
        speed = (provenance.get("training") or {}).get("tokens_per_second")
        kl = _kl(provenance.get("quality") or {}, str(result.get("command")))
        preflight = result.get("preflight")
        loads = (
            "-"
            if preflight is None
            else f"{preflight['image']}: {'accepted' if preflight['status'] == 0 else 'refused'}"
        )
        made = f"`{result['command']}`" if provenance and result.get("command") else "-"
        speed_cell = f"{speed:,.0f}" if speed else "-"
        lines.append(
            f"| {name} | {made} | {seconds:.0f} | {speed_cell} | {kl} | {loads} | {result.get('machine', '-')} |"
        )
    return lines


def _kl(quality: Mapping[str, Any], command: str) -> str:
    """KL divergence to BF16 in nats, before and after training; "-" for SFT, whose reference is the untuned model."""
    after, before = quality.get("after") or {}, quality.get("before") or {}
    if "quant sft" in command or "kl" not in after:
        return "-"
    if "kl" not in before:
        return f"{after['kl']:.3f} ({100 * after['top1']:.1f} %), {after['positions']} of calibration"
    shares = f"({100 * before['top1']:.1f} -> {100 * after['top1']:.1f} %)"
    return f"{before['kl']:.3f} -> {after['kl']:.3f} {shares}, {after['positions']} held out"


def matrix_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A Markdown table with a row per hardened system prompt: passed/n by gate, and a paired test against the
    profile's own prompt."""
    gates = [(gate, title) for gate, title in GATES if gate in rows[0]["gates"]]
    lines = [
        f"| system prompt | {' | '.join(title for _, title in gates)} | better / worse, p |",
        "|---" * (len(gates) + 2) + "|",
    ]
    for row in rows:
        counts = " | ".join(f"{row['gates'][gate][1]}/{row['gates'][gate][2]}" for gate, _ in gates)
        change = "" if row["p"] is None else f"{row['better']} / {row['worse']}, p = {row['p']:.2g}"
        lines.append(f"| {row['prompt']} | {counts} | {change} |")
    return lines


def plot(results: Mapping[str, Result], names: Sequence[str], title: str, path: Path) -> None:
    """Write an SVG plot of the share passed by gate and candidate, with exact 95 % intervals.

    Gates in which every candidate passes every sample are left out.
    """
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = title  # the same results give the same bytes
    there = [name for name in names if "gates" in results.get(name, {})]
    gates = [
        (gate, label)
        for gate, label in GATES
        if any(results[name]["gates"][gate]["passed"] < results[name]["gates"][gate]["n"] for name in there)
    ]
    figure, axes = plt.subplots(figsize=(9, 4))
    for index, name in enumerate(there):
        measured = [results[name]["gates"][gate] for gate, _ in gates]
        shares = [one["passed"] / one["n"] for one in measured]
        bounds = [stats.clopper_pearson(one["passed"], one["n"]) for one in measured]
        errors = [
            [share - low for share, (low, _) in zip(shares, bounds, strict=True)],
            [high - share for share, (_, high) in zip(shares, bounds, strict=True)],
        ]
        at = [place + 0.8 * (index + 0.5) / len(there) - 0.4 for place in range(len(gates))]
        axes.errorbar(at, shares, yerr=errors, fmt="o", markersize=4, capsize=2, label=name)
    axes.set_xticks(range(len(gates)), [label for _, label in gates])
    axes.set_ylabel("share passed, exact 95 % interval")
    axes.set_title(title)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8, ncols=2)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def page(
    results: Mapping[str, Result],
    on_cpu: Mapping[str, Result],
    of_recipes: Mapping[str, Result],
    notes: str,
    command: str,
) -> str:
    """The page as Markdown. `on_cpu` and `of_recipes` are the results of the CPU and of the study of recipes."""
    judged = [result for result in results.values() if "gates" in result]
    seeds = sorted({(result["seed"], result["samples"]) for result in judged})
    # Leave out results on a CPU from another held-out set or another fine-tune. `make results` judges again.
    on_cpu = {name: one for name, one in on_cpu.items() if (one.get("seed"), one.get("samples")) in seeds}
    parts = [
        "# Results",
        notes.strip(),
        "## The table",
        "Held-out profiles of the annie-smol domain (seed, samples for each gate from either source): "
        f"{', '.join(map(str, seeds))}. In brackets the exact 95 % interval.",
        "\n".join(gate_table(results, MAIN)),
        "### On freely worded prompts",
        "\n".join(gate_table({name: part(result, True) for name, result in results.items()}, MAIN)),
        "### On prompts of the grammar that the training data come from",
        "\n".join(gate_table({name: part(result, False) for name, result in results.items()}, MAIN)),
        "## Pair by pair",
        "Samples that only the first candidate passes (+) or only the second (-); exact two-sided McNemar, Holm over "
        "the gates of a row.",
        "\n".join(paired_table(results, _pairs(results))),
        *recipes.section(of_recipes),
        *_cpu(on_cpu),
        "## How they were made",
        "`{NAME}` is another candidate, `{data:NAME}` a file of research/annie_smol/study/plan.py; of "
        "a setting that stands twice the last holds. Several shared a card, so that seconds and tokens/s are no "
        "benchmark (docs/quant.md has one). KL is comparable within one data set alone: trained ones are measured "
        "on conversations held out of their own data, the others on their calibration data.",
        "\n".join(making_table(results)),
    ]
    for group, names in _groups(results).items():
        abouts = "; ".join(f"{name}: {results[name]['about']}" for name in names if name != "bf16")
        parts += [f"## Ablation: {group}", f"{abouts}.", "\n".join(gate_table(results, names))]
        parts += [f"![{group}](results-{group}.svg)"]
    for name, result in {**results, **on_cpu}.items():
        if result.get("matrix"):
            parts += [f"## Hardened system prompts on {name}", "\n".join(matrix_table(result["matrix"]))]
    parts += ["## Made by", f"```sh\n{command}\n```"]
    return "\n\n".join(parts) + "\n"


def _groups(results: Mapping[str, Result]) -> dict[str, list[str]]:
    """The names of each ablation's candidates, after those of BF16, PTQ and the reference candidates."""
    groups = {}
    for group in dict.fromkeys(one.group for one in plan.CANDIDATES if one.group):
        own = [one.name for one in plan.CANDIDATES if one.group == group and one.name in results]
        if own:
            before = ("bf16", "ptq", *BESIDE.get(group, ()))
            groups[group] = [*(name for name in before if name in results), *own]
    return groups


def _cpu(results: Mapping[str, Result]) -> list[str]:
    """The section on the embedded models, which `make gate` serves on a CPU; [] without results."""
    names = [one.name for one in plan.EMBEDDED if "gates" in results.get(one.name, {})]
    if not names:
        return []
    tuned, *quantised = names
    pairs = [(name, tuned) for name in quantised] + [(quantised[-1], quantised[0])] * (len(quantised) > 1)
    if "gates" in results.get(GENERIC, {}):  # shows the effect of the calibration data, and of the machine
        pairs += [(name, GENERIC) for name in quantised]
        names.append(GENERIC)
    return [
        "## The embedded models on a CPU",
        f"The same prompts, served by vLLM on {results[tuned]['machine']} with the project's NVFP4 kernel: what "
        "`make model` builds and `make gate` judges.",
        "\n".join(gate_table(results, names)),
        "On freely worded prompts:",
        "\n".join(gate_table({name: part(result, True) for name, result in results.items()}, names)),
        "\n".join(paired_table(results, pairs)),
    ]


def _pairs(results: Mapping[str, Result]) -> list[tuple[str, str]]:
    others = ("w4a16", "mlp-only", "fp8", "qad-whole")
    quantised = [name for name in (*(one.name for one in plan.MAIN), *others) if "gates" in results.get(name, {})]
    trained = [name for name in quantised if name.startswith(("qat", "qad"))]
    plain = [name for name in ("ptq", "ptq-generic") if name in quantised]
    pairs = [(name, "bf16") for name in quantised] + [(name, other) for other in plain for name in trained]
    pairs += [("ptq", GENERIC), *((name, "ptq") for name in ("awq-lite", *others[:3]))]
    return [*pairs, ("qad-whole", "qat-whole"), ("qad-whole", "qad-4300"), ("qad-on-policy", "qad-lora"),
            ("bf16", "sft-3-epochs")]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, required=True, metavar="DIR", help="directory with the results of run.py"
    )
    parser.add_argument("--notes", type=Path, default=Path(__file__).parent / "notes.md", metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    options = parser.parse_args()
    results = load(options.results)
    if not results:
        print(
            f"report.py: --results {options.results}: no results there; research/annie_smol/study/run.py makes them",
            file=sys.stderr,
        )
        return 2
    notes = options.notes.read_text(encoding="utf-8") if options.notes.exists() else ""
    if "@@" in notes:
        print(f"report.py: --notes {options.notes}: replace the placeholder @@", file=sys.stderr)
        return 2
    if not options.out.parent.is_dir():
        print(f"report.py: --out {options.out}: there is no directory {options.out.parent}", file=sys.stderr)
        return 2
    judged_recipes = load(options.results / "recipes")
    for group, names in _groups(results).items():
        plot(results, names, group, options.out.with_name(f"results-{group}.svg"))
    text = page(results, load(options.results / "cpu"), judged_recipes, notes, "make results")
    options.out.write_text(text, encoding="utf-8")
    print(f"{options.out}: {len(results)} candidates")
    return 0


if __name__ == "__main__":
    sys.exit(main())
