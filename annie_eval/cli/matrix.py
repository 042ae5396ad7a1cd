"""`annie-eval matrix`: runs every gate of a profile with each of several system prompts, on one server.

It answers whether a better system prompt can repair what quantisation broke. Each text file of a directory replaces
the profile's system prompt, one after the other. The profile's own prompt comes first, and the others are compared
with it, sample by sample. Each prompt is a separate run below the matrix's directory: `annie-eval show` prints it, and
`--resume` continues it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from annie_eval.errors import UsageError
from annie_eval.run.directory import make_series_dir
from annie_eval.text import printable
from annie_eval.untrusted.regular_files import read_bytes

if TYPE_CHECKING:
    from annie_eval.gates.decide import RunVerdict
    from annie_eval.profile.types import Profile
    from annie_eval.serving import Target, TargetSpec

OWN = "own"  # the profile's own system prompt
_ROWS = "matrix.json"
_SUFFIXES = (".txt", ".md")
_LONGEST = 64 * 1024  # maximum number of characters of a system prompt


@dataclasses.dataclass(frozen=True, slots=True)
class PromptResult:
    """One system prompt.

    Attributes:
        prompt: stem of its file, or `OWN`.
        gates: (verdict, passed, n) by gate.
        sound, n: samples without a finding of any gate, of those that could be judged.
        worse, better: samples that fail here and passed with the profile's own prompt, and the reverse.
        p: exact one-sided p-value for "better than the profile's own prompt", with samples of one scenario kept
            together (`annie_eval.stats.paired.sign_flip`), Holm-adjusted over the prompts.
        verdict: verdict of the run.
        run_dir: directory of the run.
    """

    prompt: str
    verdict: str
    gates: Mapping[str, tuple[str, int, int]]
    sound: int
    n: int
    interval: tuple[float, float] | None
    worse: int = 0
    better: int = 0
    p: float | None = None
    run_dir: str = ""


def add_matrix(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `annie-eval matrix`."""
    parser.add_argument(
        "--system-prompts",
        type=Path,
        required=True,
        metavar="DIR",
        help="directory of .txt or .md files, one per prompt",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--model-dir", type=Path, metavar="DIR", help="serve this checkpoint with vLLM")
    target.add_argument("--base-url", metavar="URL", help="URL of a running server")
    parser.add_argument(
        "--profile",
        default="annie",
        metavar="NAME|PATH",
        help="name or file of the profile (default: that of pyproject.toml, else annie)",
    )
    parser.add_argument("--served-model", metavar="NAME", help="model name (default: the one the server lists)")
    parser.add_argument("--api-key-env", metavar="VAR", help="environment variable that holds the API key")
    parser.add_argument("--vllm-python", type=Path, metavar="PATH", help="interpreter of the server's environment")
    parser.add_argument("--vllm-arg", action="append", default=[], metavar="ARG", help="one more argument for vLLM")
    parser.add_argument("--concurrency", type=int, metavar="N", help="requests in flight (default: the profile's)")
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="directory for the runs (default: a new one in runs/)"
    )
    parser.add_argument("--resume", action="store_true", help="continue the matrix in --run-dir; answers are kept")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON instead of the table")
    parser.set_defaults(command=matrix)


def read_prompts(directory: Path) -> dict[str, str]:
    """System prompts by the stem of their file name, sorted by name.

    Raises:
        UsageError: no such directory, no prompt in it, or a file that is not a prompt.
    """
    where = f"--system-prompts {directory}"
    if not directory.is_dir():
        raise UsageError(f"{where}: no such directory; name one that holds a .txt file for each prompt")
    found: dict[str, str] = {}
    for path in sorted(directory.iterdir()):
        if path.suffix not in _SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        try:
            text = read_bytes(path).decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: byte {error.start} is not UTF-8; save the prompt as UTF-8") from None
        if not text:
            raise UsageError(f"{path}: empty; write the system prompt into it, or remove the file")
        if len(text) > _LONGEST:
            raise UsageError(f"{path}: {len(text)} characters; a system prompt has at most {_LONGEST}")
        if path.stem in (OWN, _ROWS):
            what = "the profile's own prompt goes" if path.stem == OWN else "the table of all prompts goes"
            raise UsageError(f"{path}: {what} by this name; rename the file")
        if path.stem in found:
            raise UsageError(f"{path}: a second prompt called {path.stem}; rename one of them")
        found[path.stem] = text
    if not found:
        raise UsageError(f"{where}: holds no .txt or .md file; write one for each prompt")
    return found


def matrix(options: argparse.Namespace) -> int:
    """Run the matrix and print it. Returns 0 if at least one prompt passes every gate, else 1."""
    import shlex

    from annie_eval.profile.load import load
    from annie_eval.serving import TargetSpec, check

    prompts = read_prompts(options.system_prompts)
    profile = load(options.profile)
    if options.concurrency is not None and options.concurrency < 1:
        raise UsageError(f"--concurrency {options.concurrency}: must be at least 1")
    spec = TargetSpec(
        model_dir=None if options.model_dir is None else options.model_dir.expanduser(),
        base_url=options.base_url,
        served_model=options.served_model,
        api_key_env=options.api_key_env,
        vllm_python=options.vllm_python,
        vllm_args=tuple(part for argument in options.vllm_arg for part in shlex.split(argument)),
    )
    check(spec, profile)
    directory = make_series_dir(options.run_dir, profile.name, "matrix", resume=options.resume)
    verdicts = _measure(spec, profile, {OWN: profile.system_prompt, **prompts}, directory, options.concurrency)
    rows = prompt_results(verdicts)
    document = {"profile": profile.name, "rows": [dataclasses.asdict(row) for row in rows]}
    print(json.dumps(document, indent=1) if options.json else "\n".join([*table(rows), "", f"runs: {directory}"]))
    try:
        (directory / _ROWS).write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise UsageError(f"{directory / _ROWS}: cannot be written ({error.strerror}); the runs are whole") from None
    return 0 if any(row.verdict == "PASS" for row in rows) else 1


def _measure(
    spec: TargetSpec, profile: Profile, prompts: Mapping[str, str], directory: Path, concurrency: int | None
) -> dict[str, RunVerdict]:
    """The verdict of each prompt's run, on one server."""
    from annie_eval.profile.load import with_system_prompt
    from annie_eval.serving import open_target

    verdicts = {}
    with ExitStack() as stack:
        target = open_target(
            spec, profile, directory, lambda message: print(printable(message), file=sys.stderr, flush=True)
        )
        stack.callback(target.close)
        for number, (name, text) in enumerate(prompts.items(), start=1):
            print(f"{number}/{len(prompts)} {name}", file=sys.stderr, flush=True)
            verdicts[name] = _one(spec, target, with_system_prompt(profile, text), directory / name, concurrency)
            if (died := target.alive()) is not None:
                print(f"annie-eval matrix: {printable(died)}", file=sys.stderr)
                break  # answers are kept; --resume continues
    return verdicts


def _one(spec: TargetSpec, target: Target, profile: Profile, directory: Path, concurrency: int | None) -> RunVerdict:
    """Run every gate once on the given server."""
    from annie_eval.run.directory import RunOptions
    from annie_eval.run.lifecycle import Run
    from annie_eval.run.reader import Reader, SampleBroken
    from annie_eval.run.store import FILE
    from annie_eval.serving import TargetSpec

    # The server is identified by its checkpoint, because after --resume it may have another port.
    here = TargetSpec(spec.model_dir, target.base_url, target.served_model, spec.api_key_env)
    run = Run(profile, here, RunOptions(directory.parent, directory, (directory / FILE).exists(), concurrency))
    try:
        run.open(lambda message: None)
        run.wait_ready()
        gates = {
            gate.name: [key for scenario in profile.gate_scenarios(gate) for key in scenario.sample_keys()]
            for gate in profile.gates.values()
        }
        run.store.select(gates, [], list(dict.fromkeys(key for keys in gates.values() for key in keys)))
        run.start()
        reader = Reader(profile, directory)
        try:
            for gate in gates:
                reader.gate_result(gate)
        except SampleBroken:
            pass  # the verdict says so
        finally:
            reader.store.close()
        return run.finish()
    finally:
        run.close()


def prompt_results(verdicts: Mapping[str, RunVerdict]) -> list[PromptResult]:
    """One row per prompt, the profile's own first; p-values are adjusted for all other prompts (Holm)."""
    from annie_eval.regression.run_data import scenario_of
    from annie_eval.stats import binomial
    from annie_eval.stats.paired import sign_flip

    own = _outcomes(verdicts[OWN].run_dir)
    rows, p_values = [], {}
    for name, verdict in verdicts.items():
        outcomes = _outcomes(verdict.run_dir)
        shared = own.keys() & outcomes.keys()
        sound, n = sum(outcomes.values()), len(outcomes)
        gained: Counter[str] = Counter()
        for key in shared:
            gained[scenario_of(key)] += outcomes[key] - own[key]
        if name != OWN:
            p_values[name] = sign_flip(list(gained.values()))
        rows.append(
            PromptResult(
                prompt=name,
                verdict=verdict.verdict,
                gates={gate.name: (gate.verdict, gate.passed, gate.n) for gate in verdict.gates},
                sound=sound,
                n=n,
                interval=binomial.clopper_pearson(sound, n) if n else None,
                worse=sum(own[key] and not outcomes[key] for key in shared),
                better=sum(outcomes[key] and not own[key] for key in shared),
                run_dir=verdict.run_dir,
            )
        )
    p_of = dict(zip(p_values, binomial.holm(list(p_values.values())), strict=True))
    return [dataclasses.replace(row, p=p_of.get(row.prompt)) for row in rows]


def _outcomes(run_dir: str) -> dict[str, bool]:
    """For each sample that could be judged, whether no gate found anything."""
    from annie_eval.run.verdict import outcomes

    sound: dict[str, bool] = {}
    for of_gate in outcomes(Path(run_dir)).values():
        for key, passed in of_gate.items():
            sound[key] = sound.get(key, True) and passed
    return sound


def table(rows: Sequence[PromptResult]) -> list[str]:
    """The matrix as lines of text. A gate that does not pass is marked with its verdict."""
    from annie_eval.report.phrases import percent
    from annie_eval.text import aligned, printable

    gates = list(dict.fromkeys(gate for row in rows for gate in row.gates))
    lines = [["system prompt", *gates, "all", "95 %", "better", "worse", "p", "verdict"]]
    for row in rows:
        cells = [_cell(*row.gates[gate]) if gate in row.gates else "-" for gate in gates]
        interval = "-" if row.interval is None else f"{percent(row.interval[0])} to {percent(row.interval[1])}"
        change = ["", "", ""] if row.p is None else [str(row.better), str(row.worse), f"{row.p:.2g}"]
        lines.append([printable(row.prompt), *cells, f"{row.sound}/{row.n}", interval, *change, row.verdict])
    return aligned(lines)


def _cell(verdict: str, passed: int, n: int) -> str:
    return f"{passed}/{n}" if verdict == "PASS" else f"{passed}/{n} {verdict}"
