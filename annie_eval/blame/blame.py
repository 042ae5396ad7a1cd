"""Runs `annie-eval blame`: judges the unchanged server, chooses a failing gate, and searches for the cause."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annie_eval.blame import factors as changes
from annie_eval.blame.search import NOT_FOUND, NOT_MEASURED, Finding, Question, search
from annie_eval.blame.servers import Servers
from annie_eval.errors import TargetError, UsageError
from annie_eval.gates.decide import RunVerdict
from annie_eval.profile.load import builtin_names
from annie_eval.profile.types import Gate, Profile
from annie_eval.run import verdict_json
from annie_eval.run.directory import RUNS
from annie_eval.run.identity import other_files
from annie_eval.run.store import Store
from annie_eval.serving import TargetSpec
from annie_eval.serving import checkpoint as checkpoints
from annie_eval.serving.fingerprint import stable_arguments
from annie_eval.serving.known_defects import Defect, matching
from annie_eval.serving.native import Installation, ask
from annie_eval.serving.spec import interpreter
from annie_eval.serving.target import arguments_of
from annie_eval.untrusted.regular_files import read_object

SERVED = "served"
FILE = "blame.json"
_LOOKED_AT = 20  # number of newest runs among which the failing one is looked for


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `annie-eval blame`; its --help describes them."""

    spec: TargetSpec
    reference: Path | None
    gate: str | None
    directory: Path
    concurrency: int | None = None
    referee: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of the search.

    Attributes:
        gate: the gate that was searched; None if no gate fails.
        others: other gates that fail.
        defects: known defects of this version of vLLM that concern the causes.
    """

    finding: Finding
    gate: str | None
    others: tuple[str, ...] = ()
    defects: tuple[Defect, ...] = ()


def blame(options: Options, profile: Profile, say: Callable[[str], None]) -> Answer:
    """Run the search, or continue an interrupted one. `say` receives a line of progress before each step.

    Raises:
        UsageError: wrong input, or too few misses; no server was started, except to see what misses.
    """
    spec = options.spec
    vllm = ask(interpreter(spec)) if spec.serve == "native" else None
    gates = [profile.gates[options.gate]] if options.gate is not None else list(profile.gates.values())
    run = _begin(options, profile, gates, vllm)
    found = changes.find(spec, profile, options.reference, vllm, options.directory)
    bench = Servers(
        spec,
        profile,
        options.directory,
        options.concurrency,
        say,
        reference=options.reference,
        referees=options.referee,
    )
    say(f"{SERVED}: {f'{run}, the last run of this checkpoint' if run else 'the unchanged server'}")
    try:
        served = verdict_json.load(run / verdict_json.FILE) if run else bench.served(SERVED, gates)
    except TargetError as error:
        return Answer(_without_search(NOT_MEASURED, f"Nothing could be measured: {error}"), None)
    run = run or options.directory / SERVED
    results = {result.name: result for result in served.gates if result.name in {gate.name for gate in gates}}
    failing = [result for result in results.values() if result.verdict == "FAIL"]
    if not failing:
        broken = ", ".join(name for name, result in results.items() if result.verdict == "ERROR")
        if broken:
            return Answer(_without_search(NOT_MEASURED, f"Nothing could be measured: {broken} broke."), None)
        return Answer(_without_search(NOT_FOUND, "No gate fails: there is no cause to search for."), None)
    chosen = max(failing, key=lambda result: result.n - result.passed)
    bench.gate = gate = profile.gates[chosen.name]
    question = Question(
        gate.name,
        chosen.required / chosen.expected,
        _prompts(profile, gate),
        bench.outcomes(run),
        found,
    )
    if few := question.too_few():
        if run.parent != options.directory:
            shutil.rmtree(options.directory)
        raise UsageError(f"{few}; to see the answers of both models, run {_comparison(options, profile, run)}")
    finding = search(question, bench, say)
    topics = {one.topic for one in found if one.name in finding.causes} | set(finding.causes)
    if finding.causes == ("server",):
        topics |= {one.topic for one in found if one.kind == "server"}
    known = _known(spec, served, cpu=vllm is not None and vllm.cpu)
    answer = Answer(
        finding,
        gate.name,
        tuple(result.name for result in failing if result is not chosen),
        tuple(one for one in known if topics & set(one.topics)),
    )
    _keep(options, answer)
    return answer


def _without_search(status: int, sentence: str) -> Finding:
    return Finding(status, (), sentence, ())


def _known(spec: TargetSpec, served: RunVerdict, *, cpu: bool) -> tuple[Defect, ...]:
    """The known defects that apply to this server's version, arguments and checkpoint."""
    assert spec.model_dir is not None
    facts = served.fingerprint
    model = checkpoints.read(spec.model_dir, facts["arguments"])
    return matching(facts["server_version"], facts["arguments"], model.config, model.algorithm, cpu=cpu)


def _comparison(options: Options, profile: Profile, run: Path) -> str:
    """The command that judges the reference and compares its answers with those of the run."""
    spec = options.spec
    words = ["annie-eval", "gate", str(options.reference or "BF16_DIR"), "--profile", profile.name]
    if profile.name not in builtin_names():
        words[-1] = str(profile.path)
    words += ["--baseline", str(run)]
    words += ["--vllm-python", str(spec.vllm_python)] if spec.vllm_python else []
    words += ["--serve", "docker", "--image", str(spec.image)] if spec.serve == "docker" else []
    return shlex.join(words)


def _begin(options: Options, profile: Profile, gates: Sequence[Gate], vllm: Installation | None) -> Path | None:
    """Write what is searched to the directory; returns the run that has the misses, None if there is none yet.

    Raises:
        UsageError: the directory has another search.
    """
    file = options.directory / FILE
    asked = _asked(options, profile)
    if file.exists():
        before = read_object(file)
        if before.get("asked") != asked:
            known = before.get("asked")
            odd = next((k for k in asked if not isinstance(known, dict) or known.get(k) != asked[k]), "asked")
            raise UsageError(f"{file}: another search, with another {odd}; name another --run-dir")
        run = before.get("run")
    else:
        run = _last_run(options.spec, profile, gates, vllm)
    file.write_text(json.dumps({"asked": asked, "run": run}, indent=1) + "\n", "utf-8")
    return None if run is None else Path(run)


def _judged(verdict: RunVerdict, gates: Sequence[Gate]) -> bool:
    """Whether a run judged every sample of these gates."""
    whole = {result.name for result in verdict.gates if result.n + result.errors >= result.expected}
    return {gate.name for gate in gates} <= whole


def _last_run(spec: TargetSpec, profile: Profile, gates: Sequence[Gate], vllm: Installation | None) -> str | None:
    """The newest run in runs/ of these gates, this checkpoint, profile and server; None if there is none."""
    assert spec.model_dir is not None
    model = checkpoints.read(spec.model_dir, (*profile.serving.args, *spec.vllm_args))
    same = {
        "arguments": stable_arguments(arguments_of(spec, profile, model, vllm, "")),
        "image": spec.image,
        **({} if vllm is None else {"server_version": vllm.version}),
    }
    target = {"profile": profile.name, "digest": profile.digest, "target": str(spec.model_dir.resolve())}
    for file in sorted(RUNS.glob(f"*/{verdict_json.FILE}"), reverse=True)[:_LOOKED_AT]:
        try:
            store = Store(file.parent)
            try:
                facts = store.all_meta()
                known, identity = facts["fingerprint"], facts["identity"]
                if (
                    facts["state"] == "finished"
                    and all(identity.get(name) == value for name, value in target.items())
                    and all(known.get(name) == value for name, value in same.items())
                    and _judged(verdict_json.load(file), gates)
                    and not other_files(store, profile, spec.model_dir, spec.vllm_args)
                ):
                    return str(file.parent)
            finally:
                store.close()
        except (UsageError, sqlite3.Error, KeyError, AttributeError):
            continue
    return None


def _asked(options: Options, profile: Profile) -> dict[str, Any]:
    spec = options.spec
    return {
        "model-dir": str(options.spec.model_dir),
        "reference": None if options.reference is None else str(options.reference),
        "profile": profile.digest,
        "gate": options.gate,
        "vllm-arg": list(spec.vllm_args),
        "image": spec.image,
        "concurrency": options.concurrency,
    }


def _keep(options: Options, answer: Answer) -> None:
    file = options.directory / FILE
    document = {**read_object(file), "answer": dataclasses.asdict(answer)}
    file.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _prompts(profile: Profile, gate: Gate) -> list[list[str]]:
    """The samples of each prompt."""
    same = profile.prompts
    grouped: dict[str, list[str]] = {}
    for scenario in profile.gate_scenarios(gate):
        grouped.setdefault(same[scenario.id], []).extend(scenario.sample_keys())
    return list(grouped.values())
