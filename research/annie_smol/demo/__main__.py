"""`make demo`: what quantising breaks and training repairs, on 60 held-out tool prompts and a real vLLM.

    .venv/bin/python -m research.annie_smol.demo [--models DIR] [--work DIR]

The gate of `annie-smol` for tool calls judges three models, one after the other: BF16, the same quantised (PTQ),
and the default, which was trained while quantised (QAT). The prompts lie beside this file (`hold_out.py`): 30 of the
grammar under the study's held-out seed and 30 freely worded ones, none near to a line that the models were trained on.
The end is one table with the interval of each pass rate, and an exact test on the pairs: 60 prompts tell a large
difference, and not a small one.

Status 0: all three were judged. 1: one was not, and the line says where its log is.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annie_data.scenario_prompts import PROFILES
from annie_eval.run import verdict_json
from annie_eval.run.verdict import outcomes
from annie_eval.stats.binomial import mcnemar

ROOT = Path(__file__).resolve().parents[3]
PROMPTS = Path(__file__).with_name("tool-calling.jsonl")
GATE = "tool_calling"
MODELS = {
    "annie-smol-bf16": "BF16",
    "annie-smol-nvfp4-ptq": "NVFP4, quantised (PTQ)",
    "annie-smol-nvfp4-qat": "NVFP4, trained quantised (QAT)",
}
_BAR = 40  # characters for 0 to 100 %


@dataclass(frozen=True, slots=True)
class Row:
    """One model: counts and interval as verdict.json has them, and whether each sample passed."""

    name: str
    verdict: str
    passed: int
    n: int
    required: int
    interval: tuple[float, float]
    samples: Mapping[str, bool]


def profile(directory: Path) -> Path:
    """`annie-smol` with its gate for tool calls alone, over the held-out prompts; the same share is required."""
    lines = PROMPTS.read_text(encoding="utf-8")
    count = lines.count("\n")
    text = (PROFILES / "annie-smol.toml").read_text(encoding="utf-8")
    head, *gates = re.split(r"(?m)^(?=(?:#[^\n]*\n)*\[gates\.)", text)
    gate = next(gate for gate in gates if f"[gates.{GATE}]" in gate)
    numbers = {name: int(re.search(rf"(?m)^{name} = (\d+)$", gate)[1]) for name in ("samples", "required")}  # type: ignore[index]
    required = math.ceil(count * numbers["required"] / numbers["samples"])
    gate = re.sub(r"(?m)^samples = \d+$", f"samples = {count}", gate)
    gate = re.sub(r"(?m)^required = \d+$", f"required = {required}", gate)
    head = re.sub(r'(?m)^scenarios = ".*"$', 'scenarios = "demo.jsonl"', head)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "demo.jsonl").write_text(lines, encoding="utf-8")
    (directory / "demo.toml").write_text(head + gate, encoding="utf-8")
    return directory / "demo.toml"


def judge(model: Path, wanted: Path, run_dir: Path) -> Row:
    """Serve and judge one model. Raises RuntimeError where the gate came to no verdict."""
    log = run_dir.with_suffix(".log")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--model-dir={model}"]
    with log.open("w", encoding="utf-8") as stream:
        subprocess.run(
            [*command, f"--profile={wanted}", f"--run-dir={run_dir}", "-k", f"test_{GATE}"],
            cwd=ROOT,
            stdout=stream,
            stderr=stream,
            check=False,
        )
    if not (run_dir / verdict_json.FILE).is_file():
        raise RuntimeError(f"{model.name} was not judged; see {log}")
    (gate,) = verdict_json.load(run_dir / verdict_json.FILE).gates
    if gate.interval is None or gate.errors:
        raise RuntimeError(f"{model.name}: {gate.detail or 'no sample was judged'}; see {log}")
    samples = outcomes(run_dir)[GATE]
    return Row(MODELS[model.name], gate.verdict, gate.passed, gate.n, gate.required, gate.interval, samples)


def picture(rows: Sequence[Row]) -> list[str]:
    """The table: a line a model with its interval drawn against what the gate needs, then what the pairs say."""
    need = rows[0].required / rows[0].n
    width = max(len(row.name) for row in rows)
    out = [f"Right tool calls of {rows[0].n} held-out prompts. The gate needs {rows[0].required} (|).", ""]
    for row in rows:
        low, high = row.interval
        shown = f"{100 * row.passed / row.n:3.0f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f} %"
        out.append(f"{row.name:<{width}}  {_bar(row, need)}  {row.passed}/{row.n}  {row.verdict}")
        out.append(f"{'':<{width}}  {shown}")
    out.append("")
    first, *others = rows
    for row in others:
        worse = [key for key, passed in first.samples.items() if passed and not row.samples[key]]
        better = [key for key, passed in row.samples.items() if passed and not first.samples[key]]
        p = mcnemar(len(worse), len(better))
        chance = "no more than chance shows" if p >= 0.05 else "more than chance shows"
        out.append(
            f"{row.name}: {len(worse)} prompts worse and {len(better)} better than {first.name},"
            f" {chance} (one-sided exact p = {p:.2g})"
        )
    return out


def _bar(row: Row, need: float) -> str:
    """`[     --|o--    ]`: the interval, the rate, and what is needed."""
    cells = [" "] * (_BAR + 1)
    low, high = (round(_BAR * edge) for edge in row.interval)
    cells[low : high + 1] = "-" * (high + 1 - low)
    cells[round(_BAR * need)] = "|"
    cells[round(_BAR * row.passed / row.n)] = "o"
    return f"[{''.join(cells)}]"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=Path, default=ROOT / "models", metavar="DIR")
    parser.add_argument("--work", type=Path, default=ROOT / "build/demo", metavar="DIR", help="runs and logs")
    options = parser.parse_args(argv)
    work = options.work.resolve() / time.strftime("%Y-%m-%dT%H-%M-%S")
    wanted = profile(work)
    began = time.monotonic()
    prompts = PROMPTS.read_text(encoding="utf-8").count("\n")
    print(f"vLLM starts for {len(MODELS)} models in turn, and each answers {prompts} prompts ...", flush=True)
    rows: dict[str, Row] = {}
    for name, title in MODELS.items():  # one after the other: each server takes all processors
        try:
            rows[name] = judge(options.models / name, wanted, work / name)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("demo: interrupted", file=sys.stderr)
            return 130
        print(f"{title}: judged after {time.monotonic() - began:.0f} s", flush=True)
    judged = [rows[name] for name in MODELS]
    print("", *picture(judged), "", sep="\n")
    print(f"{time.monotonic() - began:.0f} s; runs with every answer: {work}")
    (work / "demo.json").write_text(json.dumps([{k: getattr(r, k) for k in Row.__slots__} for r in judged], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
