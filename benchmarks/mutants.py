"""Mutation testing of the judging code: changes one operator, number or statement at a time; the tests must fail.

    python -m benchmarks.mutants [--seed N] [--count 60] [--minutes 15] [--only PATH]

Samples places by seed, writes each mutant into a copy of the tree and runs the unit tests that can see its module, up
to the first failure. Two copies work side by side. Prints each mutant that no test saw, and the score: seen of those
that matter. `mutant_equivalents.toml` lists mutants that change nothing, each with the reason. A test that fails
without a mutant, too, has seen nothing: at the end each test that failed is run on the copy as it was.

Status 0 where the score is at least `GOAL` and all were run, else 1.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).parents[1]
EQUIVALENTS = Path(__file__).with_name("mutant_equivalents.toml")
GOAL = 0.95
WORKERS = 2
HANGS_S = 240
"""Seconds after which a test hangs: the mutant is seen."""
MUTANT_S = 300
"""Seconds of CPU after which the tests of a mutant are cut off: it is not seen. A busy machine cuts nothing off."""

UNIT = "tests/unit/"
TESTS: dict[str, str] = {
    "annie_eval/gates/": "gates/test_stored_results.py gates repeats/test_repeats.py",
    "annie_eval/gates/repeats.py": "gates/test_stored_results.py repeats/test_repeats.py",
    "annie_eval/gates/replicas.py": "gates/test_stored_results.py nightly/test_replicas.py",
    "annie_eval/stats/binomial.py": "stats/test_stored_numbers.py stats/test_counts.py",
    "annie_eval/stats/distributions.py": "stats/test_stored_numbers.py stats/test_counts.py",
    "annie_eval/stats/clusters.py": "stats/test_stored_numbers.py repeats/test_clusters.py gates/test_gates.py",
    "annie_eval/stats/medians.py": "stats/test_stored_numbers.py stats/test_medians.py",
    "annie_eval/stats/nights.py": "stats/test_stored_numbers.py stats/test_nights.py",
    "annie_eval/stats/paired.py": "stats/test_stored_numbers.py regression/test_paired.py",
    "annie_eval/stats/relabel.py": "stats/test_stored_numbers.py stats/test_relabel.py",
    "annie_eval/stats/sequential.py": "stats/test_stored_numbers.py repeats/test_sequential.py",
    "annie_eval/stats/trend.py": "stats/test_stored_numbers.py regression/test_trend.py",
    "annie_eval/regression/": "regression/test_rules.py regression/test_stored_comparisons.py"
    " regression/test_baseline.py"
    " regression/test_rejudge.py regression/test_judged_by.py regression/test_compare.py"
    " regression/test_what_changed.py report/test_json.py nightly/test_verdict_of_a_night.py",
    "annie_eval/regression/determinism.py": "regression/test_stored_runs.py regression/test_stored_comparisons.py"
    " regression/test_what_changed.py",
    "annie_eval/regression/run_data.py": "regression/test_stored_runs.py regression/test_stored_comparisons.py",
    "annie_eval/timing/verdict.py": "timing/test_stored_rows.py timing/test_rows.py timing/test_verdict.py",
    "annie_eval/timing/confirm.py": "timing/test_confirm.py timing/test_stored_rows.py timing/test_rows.py",
    "annie_eval/timing/gates.py": "timing/test_stored_rows.py timing/test_rows.py",
    "annie_eval/detectors/": "detectors/test_checks.py detectors/test_detectors.py wire/test_detector.py",
    "annie_eval/detectors/argument_text.py": "detectors/test_tool_calls.py detectors/test_checks.py",
    "annie_eval/detectors/brevity.py": "detectors/test_brevity.py",
    "annie_eval/detectors/call_text.py": "detectors/test_tool_calls.py detectors/test_thinking.py",
    "annie_eval/detectors/data_text.py": "detectors/test_tool_calls.py detectors/test_thinking.py",
    "annie_eval/detectors/degeneration.py": "detectors/test_degeneration.py",
    "annie_eval/detectors/dropped_calls.py": "detectors/test_tool_calls.py wire/test_detector.py",
    "annie_eval/detectors/english/": "detectors/test_english.py detectors/test_sentences.py"
    " detectors/test_knowledge_forms.py detectors/test_knowledge_answers.py detectors/test_knowledge.py"
    " detectors/test_knowledge_weighed.py",
    "annie_eval/detectors/knowledge.py": "detectors/test_knowledge_forms.py detectors/test_knowledge_answers.py"
    " detectors/test_knowledge.py detectors/test_knowledge_weighed.py detectors/test_relatives.py",
    "annie_eval/detectors/numeric_answer.py": "detectors/test_knowledge_forms.py detectors/test_knowledge_answers.py"
    " detectors/test_knowledge.py detectors/test_knowledge_weighed.py detectors/test_relatives.py",
    "annie_eval/detectors/languages.py": "detectors/test_english.py detectors/test_untagged_reasoning.py"
    " detectors/test_degeneration.py"
    " detectors/test_thinking.py",
    "annie_eval/detectors/markdown": "detectors/test_markdown.py",
    "annie_eval/detectors/matching.py": "detectors/test_tool_calls.py detectors/test_checks.py",
    "annie_eval/detectors/parity.py": "wire/test_stored_differences.py wire/test_parity.py",
    "annie_eval/detectors/restraint.py": "detectors/test_restraint.py",
    "annie_eval/detectors/roles.py": "detectors/test_roles.py",
    "annie_eval/detectors/silence.py": "detectors/test_silence.py",
    "annie_eval/detectors/speakable.py": "detectors/test_speakable.py",
    "annie_eval/detectors/tag": "detectors/test_tags.py detectors/test_thinking.py",
    "annie_eval/detectors/thinking.py": "detectors/test_tags.py detectors/test_thinking.py",
    "annie_eval/detectors/tool_calls.py": "detectors/test_tool_calls.py detectors/test_checks.py",
    "annie_eval/detectors/undecoded.py": "detectors/test_undecoded.py",
    "annie_eval/detectors/untagged_reasoning/": "detectors/test_cues.py detectors/test_untagged_reasoning.py"
    " detectors/test_thinking.py",
    "annie_eval/detectors/wire": "wire/test_detector.py wire/test_parity.py",
    "quant/preflight/": "quant/test_preflight_values.py quant/test_preflight_findings.py quant/test_what_vllm_loads.py"
    " quant/test_preflight_models.py quant/test_preflight.py",
    "quant/preflight/architectures.py": "quant/test_architectures.py quant/test_preflight_values.py",
    "quant/preflight/config.py": "quant/test_model_configs.py quant/test_preflight_findings.py",
    "quant/preflight/config_meaning.py": "quant/test_directories.py quant/test_preflight.py",
    "quant/preflight/files.py": "quant/test_directories.py quant/test_preflight_findings.py"
    " quant/test_what_vllm_loads.py quant/test_preflight.py",
    "quant/preflight/foreign.py": "quant/test_preflight_foreign.py quant/test_what_vllm_loads.py",
    "quant/preflight/scales.py": "quant/test_preflight_values.py quant/test_what_vllm_loads.py",
    "quant/checkpoint/quantization.py": "quant/test_preflight.py quant/test_what_vllm_loads.py",
    "quant/formats/": "nvfp4/test_format.py nvfp4/test_modelopt.py nvfp4/test_gradient.py training/test_layers.py"
    " training/test_stacked.py",
    "quant/formats/cpu_bf16.py": "quant/test_cpu_bf16.py",
    "quant/formats/fp8.py": "quant/test_fp8.py",
    "quant/formats/fused.py": "quant/test_fused.py",
    "quant/formats/nvfp4_native.py": "nvfp4/test_native.py",
    "quant/formats/nvfp4_search.py": "nvfp4/test_search.py nvfp4/test_hessian.py",
    "quant/export/": "quant/test_export_layouts.py quant/test_export_parts.py quant/test_ptq.py"
    " quant/test_commands.py",
    "quant/export/finish.py": "quant/test_export_parts.py quant/test_ptq.py training/test_refused_results.py",
}
"""The code that decides, by the start of its path, and the tests of tests/unit that can see it; the longest counts."""

NOT_HERE = {"quant/formats/nvfp4_triton.py": "runs on a GPU alone"}

SLOW = (
    "coverage_holds or noninferiority_is_wrong or as_often_as_the_table or at_most_five_percent or covers_at_least"
    " or ordinary_interval_every_round or processes_that_build or unproven_flat_curve or prefix_cache_makes_warm"
    " or goodput_under or judged_fast or every_block_prints or never_lowers_a_bound or slow_server_fails"
)
"""Tests that simulate for long: left out here, so that all of it takes minutes."""

SWAPS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, order=True)
class Mutant:
    """`file` with the characters from `start` to `end` replaced by `text`."""

    file: str
    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]

    def lines(self, source: str) -> tuple[int, str, str]:
        """The number of the first line that changes, and that line before and after, without indentation."""
        begin = source.rfind("\n", 0, self.start) + 1
        stop = source.find("\n", self.start)
        after = self.apply(source)
        return (
            source.count("\n", 0, self.start) + 1,
            source[begin:stop].strip(),
            after[begin:].split("\n", 1)[0].strip(),
        )


def decides() -> list[str]:
    """The files that mutants are made of."""
    files = (str(path.relative_to(ROOT)) for top in ("annie_eval", "quant") for path in (ROOT / top).rglob("*.py"))
    return sorted(file for file in files if file not in NOT_HERE and any(map(file.startswith, TESTS)))


def tests_of(file: str) -> list[str]:
    """The tests that can see a module, those that see most in the least time first."""
    names = TESTS[max(filter(file.startswith, TESTS), key=len)].split()
    if file.startswith("annie_eval/detectors/"):
        names[:0] = ["detectors/test_stored_readings.py", "detectors/test_edges.py"]
    return [UNIT + name for name in names]


def mutants(file: str, source: str) -> list[Mutant]:
    """All mutants of a module. Annotations, messages of errors and decorators are left as they are."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = source.split("\n")

    def at(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())  # columns are of bytes

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    def between(left: ast.expr, right: ast.expr, operator: ast.AST) -> Iterator[Mutant]:
        if type(operator) not in SWAPS:
            return
        was, becomes = SWAPS[type(operator)]
        begin, stop = span(left)[1], span(right)[0]
        code = re.sub(r"#[^\n]*", lambda comment: " " * len(comment[0]), source[begin:stop])
        if found := re.search(rf"(?<!\w){re.escape(was)}(?!\w)", code):
            yield Mutant(file, begin + found.start(), begin + found.end(), becomes)

    def of(node: ast.AST) -> Iterator[Mutant]:
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert):
            return
        if isinstance(node, ast.Compare):
            for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                yield from between(left, right, operator)
        elif isinstance(node, ast.BinOp):
            if not any(
                isinstance(each, ast.Constant | ast.JoinedStr) and isinstance(getattr(each, "value", ""), str)
                for each in (node.left, node.right)
            ):
                yield from between(node.left, node.right, node.op)
        elif isinstance(node, ast.BoolOp):
            yield from between(node.values[0], node.values[1], node.op)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            begin = span(node)[0]
            yield Mutant(file, begin, begin + len("not" if isinstance(node.op, ast.Not) else "-"), "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield Mutant(file, *span(node), str(not node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, int):
            yield Mutant(file, *span(node), str(node.value + 1))
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield Mutant(file, *span(node), repr(node.value * 1.25 or 1.0))
        elif isinstance(node, ast.Continue):
            yield Mutant(file, *span(node), "break")
        elif isinstance(node, ast.Break):
            yield Mutant(file, *span(node), "continue")
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield | ast.YieldFrom):
            yield Mutant(file, *span(node), "yield from ()")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield Mutant(file, *span(node.func), CALLS[node.func.id])
        if isinstance(node, ast.If | ast.IfExp) and not (
            isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        ):
            begin, stop = span(node.test)
            yield Mutant(file, begin, stop, f"not ({source[begin:stop]})")
        for name, child in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params", "type_comment"):
                continue
            for each in child if isinstance(child, list) else [child]:
                if isinstance(each, ast.AST):
                    yield from of(each)

    return sorted(set(of(ast.parse(source))))


def sample(seed: int, count: int, only: str = "") -> list[Mutant]:
    """Places drawn by seed, each as likely as any other."""
    all_of = [m for file in decides() if only in file for m in mutants(file, (ROOT / file).read_text())]
    return random.Random(seed).sample(all_of, min(count, len(all_of)))


def copy_of_the_tree(to: Path) -> None:
    """What git knows of, and links to what it does not: environments and models."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)
    for name in (".venv", ".venv-vllm", "models"):
        if (ROOT / name).exists() and not (to / name).exists():
            (to / name).symlink_to((ROOT / name).resolve())


def pytest_in(tree: Path, arguments: Sequence[str], seconds: int | None = None) -> tuple[int, str]:
    """Exit status, -SIGXCPU where it was cut off, and output of pytest on a copy of the tree."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", "-rfE"]
    command += ["--hypothesis-seed=0", f"-ofaulthandler_timeout={HANGS_S}", "-ofaulthandler_exit_on_timeout=true"]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [*command, *arguments], cwd=tree, env=environment, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds)) if seconds else None,
    )  # fmt: skip
    output, _ = process.communicate()
    return process.returncode, output


@dataclass(frozen=True)
class Outcome:
    """What the tests made of a mutant: `seen` False where all passed or were cut off, `by` the test that failed."""

    mutant: Mutant
    seen: bool
    by: str


def run(mutant: Mutant, tree: Path) -> Outcome:
    """Run the tests that can see a mutant on a copy that holds it, and restore the copy."""
    path, source = tree / mutant.file, (ROOT / mutant.file).read_text()
    path.write_text(mutant.apply(source))
    try:
        status, output = pytest_in(tree, ["-x", "-k", f"not ({SLOW})", *tests_of(mutant.file)], MUTANT_S)
    finally:
        path.write_text(source)
    failed = re.search(r"^(?:FAILED|ERROR) ([^\s\[]+)", output, re.M)
    if status == 1 and failed:
        return Outcome(mutant, True, failed[1])
    if status in (0, -signal.SIGXCPU, -signal.SIGKILL):
        return Outcome(mutant, False, "cut off" if status else "all passed")
    return Outcome(mutant, True, "a test hung" if "Timeout (" in output else "nothing could be collected")


def equivalents() -> dict[tuple[str, str, str], str]:
    """Reasons of mutants that change nothing, by file, line before and line after."""
    listed = tomllib.loads(EQUIVALENTS.read_text()).get("equivalent", [])
    return {(each["file"], each["was"], each["becomes"]): each["reason"] for each in listed}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what no test saw, and the score."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=15.0, help="mutants that do not fit in are not run")
    parser.add_argument("--only", default="", metavar="TEXT", help="only files whose path holds it")
    options = parser.parse_args(arguments)
    chosen, began = sample(options.seed, options.count, options.only), time.monotonic()
    known = equivalents()
    trees: Queue[Path] = Queue()

    def one(mutant: Mutant) -> Outcome | None:
        if time.monotonic() - began > options.minutes * 60:
            return None
        tree = trees.get()
        try:
            outcome = run(mutant, tree)
        finally:
            trees.put(tree)
        if not outcome.seen:
            line, was, becomes = mutant.lines((ROOT / mutant.file).read_text())
            print(f"{mutant.file}:{line}: {outcome.by}\n  - {was}\n  + {becomes}", flush=True)
            if reason := known.get((mutant.file, was, becomes)):
                print(f"  changes nothing: {reason}", flush=True)
        return outcome

    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        for number in range(WORKERS):
            tree = Path(place) / str(number)
            copy_of_the_tree(tree)
            trees.put(tree)
        with ThreadPoolExecutor(WORKERS) as pool:
            done = [outcome for outcome in pool.map(one, chosen) if outcome is not None]
        by = sorted({outcome.by for outcome in done if "::" in outcome.by or outcome.by.endswith(".py")})
        status, output = pytest_in(trees.get(), by) if by else (0, "")
    if status != 0:
        print(output, "tests that fail without a mutant show nothing: fix them first", sep="\n")
        return 1
    matter = [
        outcome
        for outcome in done
        if (outcome.mutant.file, *outcome.mutant.lines((ROOT / outcome.mutant.file).read_text())[1:]) not in known
    ]
    seen = sum(outcome.seen for outcome in matter)
    score = seen / len(matter) if matter else 0.0
    print(
        f"seed {options.seed}: {seen} of {len(matter)} mutants that matter seen, {score:.0%};"
        f" {len(done) - len(matter)} change nothing, {len(chosen) - len(done)} not run;"
        f" {(time.monotonic() - began) / 60:.0f} min, {resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime / 60:.0f}"
        " min of CPU"
    )
    return 0 if score >= GOAL and len(done) == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
