"""Whole results of gates for made-up judgements, readings and servers: every verdict, number and sentence.

The expected results are in stored_results.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.errors import UsageError
from annie_eval.gates import server_state
from annie_eval.gates.decide import RunVerdict, all_errors, decide, operating_curve, overall, tolerates
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.repeats import Repeats, decide_repeated, keys_of_round
from annie_eval.gates.replicas import Answered, compare_replicas
from annie_eval.gates.server_state import AGAIN, GREEDY, ROUNDING, Comparison, Difference, ProbeResult, Reading
from annie_eval.profile.load import load
from annie_eval.profile.types import PROBES, Gate, Scenario, Turn, Variant
from annie_eval.stats import clusters
from annie_eval.wire.logprobs import Token
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("stored_results.json")
MISS = (Finding("markdown", "bold text"),)
PROFILE = load("annie")


def rounded(value: Any) -> Any:
    """What is set; numbers with seven digits, so that another machine's last bits are no difference."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items() if each not in (None, "", (), {})}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def stored(case: str, value: Any) -> None:
    expect(TABLE, case, json.loads(json.dumps(rounded(value))))


# --- k of n ---------------------------------------------------------------------------------------------------------

GATES = {
    "all": Gate("g", ("markdown",), ("a",)),
    "12": Gate("g", ("markdown",), ("a",), required=12),
    "bound": Gate("g", ("markdown",), ("a",), lower_bound=0.8),
    "12 and a bound": Gate("g", ("markdown",), ("a",), required=12, lower_bound=0.6, confidence=0.9),
}
OUTCOMES = {
    "all": "p" * 15,
    "one missed": "p" * 14 + "f",
    "three missed": "p" * 12 + "f" * 3,
    "four missed": "p" * 11 + "f" * 4,
    "none": "f" * 15,
    "one broke": "p" * 14 + "e",
    "broke and missed": "p" * 11 + "f" * 3 + "e",
    "few": "p" * 6,
    "few and missed": "p" * 3 + "f" * 3,
    "sixty": "p" * 60,
    "sixty, some missed": "p" * 54 + "f" * 6,
    "nothing": "",
}


def judged(outcomes: str, gate: str = "g") -> list[Judgement]:
    return [
        Judgement(gate, f"s-{i:02}.unstreamed.off", MISS if each == "f" else (), "timed out" if each == "e" else None)
        for i, each in enumerate(outcomes)
    ]


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("outcomes", OUTCOMES)
def test_a_gate_is_decided_as_stored(gate: str, outcomes: str) -> None:
    made, own = judged(OUTCOMES[outcomes]), GATES[gate]
    two_a_prompt = {f"s-{i:02}": f"prompt {i // 2}" for i in range(60)}
    asked: list[tuple[Any, ...]] = [(len(made),), (15,), (len(made) + 5, len(made)), (len(made), None, two_a_prompt)]
    told: list[Any] = []
    for arguments in asked:
        try:
            result = decide(own, made, *arguments)
        except ValueError as error:
            told.append(f"ValueError: {error}")
        else:
            counts = {"misses": len(result.misses), "broken": len(result.broken), "tolerates": tolerates(result)}
            told.append({**asdict(result), **counts, "overall": overall([result])})
    stored(f"gate of {gate}, {outcomes}", told)


@pytest.mark.parametrize("gate", GATES)
def test_operating_curves_are_as_stored(gate: str) -> None:
    stored(f"curve of {gate}", [operating_curve(GATES[gate], n, (0.0, 0.5, 0.8, 0.95, 1.0)) for n in (15, 30)])


@pytest.mark.parametrize(("gate", "n"), [("all", 0), ("all", 1), ("12", 0), ("12", 11), ("12", 12), ("bound", 1)])
def test_curves_of_few_samples_are_refused_or_as_stored(gate: str, n: int) -> None:
    try:
        found: Any = operating_curve(GATES[gate], n, (0.0, 0.5, 1.0))
    except ValueError as error:
        found = f"ValueError: {error}"
    stored(f"curve of {gate}, {n} samples", found)


def test_a_bound_that_is_reached_exactly_holds() -> None:
    """And one that the upper bound reaches exactly is not yet failed."""
    every, ones, none = judged("p" * 15), [1] * 15, [0] * 15
    gate = replace(GATES["bound"], required=0)
    reached = replace(gate, lower_bound=clusters.lower_bound(ones, ones, gate.confidence))
    assert decide(reached, every, 15).verdict == "PASS"
    open_ = replace(gate, lower_bound=clusters.upper_bound(none, ones, gate.confidence))
    assert decide(open_, judged("f" * 15), 15).verdict == "INCONCLUSIVE"


def test_what_an_older_verdict_lacks_has_its_default() -> None:
    stored("defaults of a verdict", asdict(RunVerdict("PASS")))


def test_an_error_is_told_once() -> None:
    """Those of the run first; of one sample's causes each, and of two gates with the same sample the first."""
    made = judged("e"), [*judged("e", "h"), replace(judged("e", "h")[0], error="HTTP 500")]
    gates = tuple(
        replace(decide(Gate(name, ("markdown",), ("a",)), of[:1], 1), broken=tuple(of))
        for name, of in zip("gh", made, strict=True)
    )
    run = {"sample": None, "cause": "the server is gone", "hint": "start it"}
    stored("errors", all_errors(RunVerdict("ERROR", gates, (run,))))
    known = {"sample": "s-00.unstreamed.off", "cause": "timed out"}
    stored("errors, one known", all_errors(RunVerdict("ERROR", gates, (known,))))


REPEATED: dict[str, Callable[[int, int], bool]] = {
    "all": lambda i, r: True,
    "one prompt never": lambda i, r: i != 0,
    "half": lambda i, r: (i + r) % 2 == 0,
    "one round": lambda i, r: r != 0,
    "three quarters": lambda i, r: (i + r) % 4 > 0,
    "none": lambda i, r: False,
}


@pytest.mark.parametrize("case", REPEATED)
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("name", ["no_markdown", "thinking_leak"])
def test_repeats_are_decided_as_stored(name: str, adaptive: bool, case: str) -> None:
    gate = PROFILE.gates[name]
    keys = [key for scenario in PROFILE.gate_scenarios(gate) for key in scenario.sample_keys()]
    found = []
    for rounds in (1, 3):
        made = []
        for i, key in enumerate(keys):
            for r in range(rounds):
                sample = key if r == 0 else f"{key}.{r + 1}"
                made.append(Judgement(name, sample, () if REPEATED[case](i, r) else MISS))
        for most in (rounds, 8):
            result = decide_repeated(PROFILE, gate, made, len(keys), len(keys), Repeats(most, adaptive), rounds)
            found.append({**rounded(result), "misses": len(result.misses), "broken": len(result.broken)})
    stored(f"repeats of {name}, {'adaptive' if adaptive else 'fixed'}: {case}", found)


@pytest.mark.parametrize("until_decided", [False, True])
@pytest.mark.parametrize("repeats", [None, 0, 1, 2, 3])
def test_options_of_repeats_are_read_as_stored(repeats: int | None, until_decided: bool) -> None:
    try:
        made = Repeats.of(repeats, until_decided)
        found: Any = [made.most, made.adaptive, made.asked, made.first]
    except UsageError as error:
        found = str(error)
    stored(f"options: {repeats}{' until decided' if until_decided else ''}", found)


def test_a_run_that_says_nothing_of_repeats_has_none() -> None:
    assert Repeats.from_json(None) == Repeats.from_json({}) == Repeats(1, False)
    assert Repeats.from_json({"most": 3, "adaptive": True}) == Repeats(3, True)


ADAPTIVE = {
    "10 of 12": {"required": 10},
    "a bound of 60 %": {"required": 0, "lower_bound": 0.6},
    "a bound of 30 % and 11 of 12": {"required": 11, "lower_bound": 0.3},
    "a bound of 60 % and 11 of 12": {"required": 11, "lower_bound": 0.6},
    "a bound of 100 %": {"required": 0, "lower_bound": 1.0},
    "any number of misses": {"required": 0},
}
ROUNDS: dict[str, Callable[[int, int], bool]] = {
    "all": lambda i, r: True,
    "one prompt never": lambda i, r: i > 0,
    "three of four": lambda i, r: (i + r) % 4 > 0,
    "half": lambda i, r: (i + r) % 2 == 0,
    "every third": lambda i, r: (i + r) % 3 == 0,
    "better in the end": lambda i, r: i > 5 - r,
}


@pytest.mark.parametrize("case", ROUNDS)
@pytest.mark.parametrize("rule", ADAPTIVE)
def test_adaptive_repeats_stop_as_stored(rule: str, case: str) -> None:
    """Twelve prompts, one sample each: the verdict, why there is no further round, and what is said."""
    scenarios = tuple(
        Scenario(f"s-{i}", "a", (Turn(f"Question {i}?"),), variants=(Variant(stream=False),)) for i in range(12)
    )
    gate = replace(Gate("g", ("markdown",), ("a",)), **ADAPTIVE[rule])  # type: ignore[arg-type]
    profile = replace(PROFILE, scenarios=scenarios, gates={"g": gate})
    first = [key for scenario in scenarios for key in scenario.sample_keys()]
    found = {}
    for rounds, most in ((1, 8), (2, 8), (3, 8), (3, 40), (8, 8)):
        keys = [key for r in range(rounds) for key in keys_of_round(profile, first, r + 1)]
        made = [Judgement("g", key, () if ROUNDS[case](n % 12, n // 12) else MISS) for n, key in enumerate(keys)]
        one = decide_repeated(profile, gate, made, 12, len(keys), Repeats(most, True), rounds)
        found[f"{rounds} of {most}"] = [one.verdict, one.repeats["stopped"], one.detail, one.interval, one.rules_out]
    stored(f"adaptive, {rule}: {case}", found)


# --- the server's state ---------------------------------------------------------------------------------------------


def reading(*yes: float, words: Sequence[str] = ("yes", "no")) -> Reading:
    """Tokens, each the first word with this probability, else the second."""
    tops = [{words[0]: math.log(p), words[1]: math.log(1 - p)} for p in yes]
    texts = [max(top, key=top.__getitem__) for top in tops]
    tokens = tuple(Token(text, top[text], top) for text, top in zip(texts, tops, strict=True))
    return Reading(tokens, " ".join(texts))


def comparisons(
    n: int, shift: float, noise: float, seed: int = 1, setting: str = "warm", other: bool = True
) -> list[Comparison]:
    draw = random.Random(seed)

    def made(base: float) -> Reading:
        return reading(*(min(0.99, max(0.01, base + draw.uniform(-noise, noise))) for _ in range(2)))

    return [
        Comparison(
            setting,
            f"question {i}",
            tuple(made(0.7) for _ in range(3)),
            tuple(made(0.7 - shift) for _ in range(3)),
            tuple(made(0.1) for _ in range(2)) if other else (),
        )
        for i in range(n)
    ]


STATES: dict[str, list[Comparison]] = {
    "equal": comparisons(8, 0.0, 0.0),
    "noisy": comparisons(8, 0.0, 0.1),
    "shifted": comparisons(8, 0.3, 0.01),
    "a little shifted": comparisons(8, 0.04, 0.001),
    "shifted beyond a token": comparisons(8, 0.5, 0.01),
    "shifted and noisy": comparisons(8, 0.2, 0.15),
    "few": comparisons(2, 0.4, 0.01),
    "no other conversation": comparisons(8, 0.3, 0.01, other=False),
    "two settings": comparisons(8, 0.3, 0.01) + comparisons(8, 0.0, 0.01, setting="cold"),
    "blind": [replace(one, other=one.before) for one in comparisons(8, 0.0, 0.01)],
    "one in the second group": [replace(one, after=one.after[:1]) for one in comparisons(8, 0.4, 0.05)],
    "one in the first group": [replace(one, before=one.before[:1]) for one in comparisons(8, 0.4, 0.05)],
    "nothing": [],
    "no tokens": [replace(one, after=(Reading((), ""),) * 2) for one in comparisons(8, 0.0, 0.01)],
}


@pytest.mark.parametrize("case", STATES)
def test_states_are_judged_as_stored(case: str) -> None:
    stored(f"states: {case}", server_state.judge("warm_cold", STATES[case], "one thing"))


def token(text: str, margin: float, other: str, sent: float = -0.01) -> Token:
    return Token(text, sent, {text: sent, other: sent - margin})


def pair(margin: float, back: float, drift: float = 0.0) -> tuple[str, Reading, Reading]:
    first = token("The", 3.0, "A"), token("yes", margin, "no"), token("end", 1.0, ".")
    second = token("The", 3.0 + drift, "A"), token("no", back, "yes"), token("stop", 1.0, ".")
    one, other = (Reading(each, "".join(one.text for one in each)) for each in (first, second))
    return "Is it?", one, other


AGAINS: dict[str, list[tuple[str, Reading, Reading]]] = {
    "equal": [("Is it?", reading(0.9, 0.8), reading(0.9, 0.8))],
    "a tie": [pair(0.01, 0.01)],
    "a change": [pair(3.0, 3.0)],
    "a change on one side": [pair(3.0, 0.01)],
    "a change below the limit": [pair(0.1, ROUNDING - 0.5)],
    "a change below the limit on the other side": [pair(ROUNDING - 0.5, 0.1)],
    "a change beside noise": [pair(3.0, 3.0, drift=2.0)],
    "a change beside much noise": [pair(1.0, 1.0, drift=2.0)],
    "two": [pair(3.0, 3.0), pair(0.01, 0.01), pair(4.0, 4.0, drift=0.5)],
    "a prefix": [("Is it?", reading(0.9), reading(0.9, 0.8))],
    "unlikely": [("Is it?", Reading((token("a", -3.0, "b"),), "a"), Reading((token("a", -3.0, "b"),), "a"))],
    "hardly unlikely": [("Is it?", Reading((token("a", -0.2, "b"),), "a"), Reading((), ""))],
    "nothing listed": [("Is it?", Reading((Token("a", -0.1, {}),), "a"), Reading((Token("b", -0.1, {}),), "b"))],
    "nothing": [],
}


@pytest.mark.parametrize("case", AGAINS)
def test_answers_in_the_same_state_are_judged_as_stored(case: str) -> None:
    stored(f"again: {case}", server_state.judge_again("greedy", AGAINS[case]))


def difference(setting: str = "warm", question: str = "Is it?", size: float = 0.5) -> Difference:
    return Difference(setting, question, "it differs", size, "yes " * 60, "no " * 60)


ROWS: dict[str, list[ProbeResult]] = {
    "none": [],
    "clean": [ProbeResult("warm_cold", 8, held=("warm",)), ProbeResult("greedy", 4)],
    "a difference": [ProbeResult("warm_cold", 8, differences=(difference(),)), ProbeResult("greedy", 4)],
    "a difference without a question": [ProbeResult("warm_cold", 8, differences=(difference(question=""),))],
    "one setting held": [ProbeResult("warm_cold", 8, differences=(difference(),), held=("cold",))],
    "settings held": [ProbeResult("warm_cold", 8, differences=(difference(),), held=("cold", "cool"))],
    "an order": [
        ProbeResult("warm_cold", 8, differences=(difference(),)),
        ProbeResult("load", 8, differences=(difference(AGAIN),)),
        ProbeResult("greedy", 8, differences=(difference(), difference(GREEDY))),
    ],
    "more differences than answers": [ProbeResult("warm_cold", 1, differences=(difference(), difference()))],
    "broke": [ProbeResult("warm_cold", error="it broke"), ProbeResult("greedy", 4)],
    "broke and differs": [
        ProbeResult("warm_cold", error="it broke"),
        ProbeResult("greedy", 4, differences=(difference(),)),
    ],
    "unchecked": [ProbeResult("warm_cold", 8, unchecked="no cache"), ProbeResult("greedy", unchecked="no logprobs")],
    "unchecked alone": [ProbeResult("greedy", unchecked="no logprobs")],
    "unchecked and broke": [ProbeResult("greedy", unchecked="no logprobs", error="it broke")],
}


@pytest.mark.parametrize("case", ROWS)
def test_probes_are_summed_up_as_stored(case: str) -> None:
    rows = ROWS[case]
    stored(f"probes: {case}", server_state.summary(rows, [row.probe for row in rows]))
    stored(f"all probes: {case}", server_state.summary(rows, PROBES))


# --- replicas -------------------------------------------------------------------------------------------------------

URLS = ["http://a/v1", "http://b/v1", "http://c/v1"]
SHOWN = frozenset({"says anything", "ends with finish_reason stop"})
Change = Callable[[int, int, Answered], Answered]


def answers(n: int, servers: int, change: Change = lambda i, server, one: one) -> list[Answered]:
    gate = PROFILE.gates["no_markdown"]
    keys = [key for scenario in PROFILE.gate_scenarios(gate) for key in scenario.sample_keys()][:n]
    made = []
    for i, key in enumerate(keys):
        for server in range(servers):
            one = Answered(server, key, i % servers == server, (Judgement(gate.name, key),), SHOWN, 70)
            made.append(change(i, server, one))
    return made


def some(which: Callable[[int, int], bool], **fields: Any) -> Change:
    return lambda i, server, one: replace(one, **fields) if which(i, server) else one


def missed(which: Callable[[int, int], bool], error: str | None = None) -> Change:
    def change(i: int, server: int, one: Answered) -> Answered:
        judgement = one.judgements[0]
        return replace(one, judgements=(replace(judgement, findings=MISS, error=error),)) if which(i, server) else one

    return change


REPLICAS: dict[str, Change] = {
    "equal": some(lambda i, s: False),
    "one fails": missed(lambda i, s: s == 1),
    "all fail": missed(lambda i, s: True),
    "one fails some": missed(lambda i, s: s == 1 and i % 3 == 0),
    "each fails some": missed(lambda i, s: i % 3 == s),
    "one broke": missed(lambda i, s: s == 1 and i < 2, "timed out"),
    "one is missing": lambda i, s, one: replace(one, sample=f"other-{i}") if s == 1 and i == 0 else one,
    "one never shows": some(lambda i, s: s == 1, shows=frozenset({"says anything"})),
    "one never shows in streams": lambda i, s, one: (
        replace(one, shows=frozenset()) if s == 1 and ".stream." in one.sample else one
    ),
    "one never shows unstreamed": lambda i, s, one: (
        replace(one, shows=frozenset()) if s == 1 and ".unstreamed." in one.sample else one
    ),
    "one seldom shows": some(lambda i, s: s == 1 and i > 0, shows=frozenset()),
    "one alone shows": some(lambda i, s: s == 1, shows=SHOWN | {"calls a tool"}),
    "one alone shows seldom": some(lambda i, s: s == 1 and i < 2, shows=SHOWN | {"calls a tool"}),
    "one alone shows thrice": some(lambda i, s: s == 1 and i < 3, shows=SHOWN | {"calls a tool"}),
    "other prompts": some(lambda i, s: s == 1, prompt_tokens=75),
    "one other prompt": some(lambda i, s: s == 0 and i == 4, prompt_tokens=75),
    "unknown prompts": some(lambda i, s: s == 1, prompt_tokens=None),
    "all other prompts": lambda i, s, one: replace(one, prompt_tokens=70 + s),
}


@pytest.mark.parametrize("case", REPLICAS)
@pytest.mark.parametrize("servers", [2, 3])
def test_replicas_are_compared_as_stored(case: str, servers: int) -> None:
    for n, missing in ((15, 0), (6, 2)):
        found = compare_replicas(PROFILE, URLS[:servers], answers(n, servers, REPLICAS[case]), missing)
        found["gates"] = [
            list(gate.values()) for gate in found["gates"] if gate["verdict"] == "FAIL" or gate["name"] == "all gates"
        ]
        stored(f"{servers} replicas, {n} samples: {case}", found)
