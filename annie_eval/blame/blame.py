"""Runs `annie-eval blame`: judges the unchanged server, chooses a failing gate, and searches for the cause."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annie_eval.blame import factors as changes
from annie_eval.blame.search import NOT_FOUND, NOT_MEASURED, Finding, Question, search
from annie_eval.blame.servers import Servers
from annie_eval.errors import TargetError, UsageError
from annie_eval.gates.decide import RunVerdict
from annie_eval.profile.types import Gate, Profile
from annie_eval.serving import TargetSpec
from annie_eval.serving import checkpoint as checkpoints
from annie_eval.serving.known_defects import Defect, matching
from annie_eval.serving.native import ask
from annie_eval.serving.spec import interpreter
from annie_eval.untrusted.regular_files import read_object

SERVED = "served"
FILE = "blame.json"


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
        UsageError: wrong input. No server was started.
    """
    spec = options.spec
    vllm = ask(interpreter(spec)) if spec.serve == "native" else None
    _begin(options, profile)
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
    gates = [profile.gates[options.gate]] if options.gate is not None else list(profile.gates.values())
    say(f"{SERVED}: the unchanged server")
    try:
        served = bench.served(SERVED, gates)
    except TargetError as error:
        return Answer(_without_search(NOT_MEASURED, f"Nothing could be measured: {error}"), None)
    results = {result.name: result for result in served.gates if result.name in profile.gates}
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
        bench.outcomes(SERVED),
        found,
    )
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
    _keep(options, profile, answer)
    return answer


def _without_search(status: int, sentence: str) -> Finding:
    return Finding(status, (), sentence, ())


def _known(spec: TargetSpec, served: RunVerdict, *, cpu: bool) -> tuple[Defect, ...]:
    """The known defects that apply to this server's version, arguments and checkpoint."""
    assert spec.model_dir is not None
    facts = served.fingerprint
    model = checkpoints.read(spec.model_dir, facts["arguments"])
    return matching(facts["server_version"], facts["arguments"], model.config, model.algorithm, cpu=cpu)


def _begin(options: Options, profile: Profile) -> None:
    """Write what is searched to the directory. Raises UsageError if the directory has another search."""
    file = options.directory / FILE
    asked = _asked(options, profile)
    if file.exists():
        before = read_object(file).get("asked")
        if before != asked:
            odd = next((k for k in asked if not isinstance(before, dict) or before.get(k) != asked[k]), "asked")
            raise UsageError(f"{file}: another search, with another {odd}; name another --run-dir")
    file.write_text(json.dumps({"asked": asked}, indent=1) + "\n", "utf-8")


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


def _keep(options: Options, profile: Profile, answer: Answer) -> None:
    document = {"asked": _asked(options, profile), "answer": dataclasses.asdict(answer)}
    (options.directory / FILE).write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def _prompts(profile: Profile, gate: Gate) -> list[list[str]]:
    """The samples of each prompt in a fixed random order, because similar prompts are neighbours in the file."""
    same = profile.prompts
    grouped: dict[str, list[str]] = {}
    for scenario in profile.gate_scenarios(gate):
        grouped.setdefault(same[scenario.id], []).extend(scenario.sample_keys())
    prompts = list(grouped.values())
    random.Random(0).shuffle(prompts)
    return prompts
