"""Repeats: which samples each round has, and the verdict of a gate over several rounds. Pure.

With `--repeats N` each sample of a gate is sent N times. With `--until-decided` N is the maximum: each round sends
every sample of the gate once more, and the gate stops when it is decided or when further rounds are unlikely to decide
it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from annie_eval.errors import UsageError
from annie_eval.gates.decide import Counts, GateResult, by_prompt, decide, scenario_of
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import Gate, Profile, Verdict
from annie_eval.stats import clusters, sequential

MOST = 20  # maximum number of rounds for --until-decided without --repeats
_KEY = re.compile(r"(?P<scenario>[^.]+)\.(?P<way>\w+\.\w+)(?:\.(?P<repeat>\d+))?")
# Why there is no further round. "part": only some samples of the gate were selected. "prompts": only more prompts
# could decide, not repeats. "open": a further round is due.
Stop = Literal["fixed", "rule", "decided", "hopeless", "prompts", "cap", "broken", "part", "open"]
_TELLING = 3  # rounds after which one can see whether answers to one prompt differ


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often every sample is sent: `most` times, or with `adaptive` until its gate is decided, at most `most`
    times.
    """

    most: int = 1
    adaptive: bool = False

    @classmethod
    def of(cls, repeats: int | None, until_decided: bool) -> Repeats:
        """Create it from the command-line options. Raises UsageError."""
        least = 2 if until_decided else 1
        if repeats is not None and repeats < least:
            why = " with --until-decided" if until_decided else ""
            raise UsageError(f"--repeats {repeats}: must be at least {least}{why}")
        return cls(MOST if repeats is None and until_decided else repeats or 1, until_decided)

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Repeats:
        return cls(**value) if value else cls()

    @property
    def asked(self) -> bool:
        """Whether there are repeats."""
        return self.most > 1

    @property
    def first(self) -> int:
        """Number of rounds that are selected from the start."""
        return 1 if self.adaptive else self.most


def own_repeats(profile: Profile) -> Mapping[str, int]:
    """How often the profile itself repeats each scenario; these repeats form one round."""
    return {one.id: max(variant.repeat for variant in one.variants) for one in profile.scenarios}


def key_of_round(key: str, own: Mapping[str, int], round_: int) -> str:
    """The sample of round 1, 2, ... that repeats `key`."""
    if round_ == 1:
        return key
    return f"{_way(key)}.{repeat_of(key) + (round_ - 1) * own[scenario_of(key)]}"


def keys_of_round(profile: Profile, keys: Iterable[str], round_: int) -> list[str]:
    """The samples of a gate in round 1, 2, ..."""
    own = own_repeats(profile)
    return [key_of_round(key, own, round_) for key in keys]


def round_of(own: Mapping[str, int], key: str) -> int:
    """The round that a sample belongs to."""
    return (repeat_of(key) - 1) // own.get(scenario_of(key), 1) + 1


def repeat_of(key: str) -> int:
    match = _KEY.fullmatch(key)
    return int(match["repeat"]) if match and match["repeat"] else 1


def _way(key: str) -> str:
    """The part of a key that all repeats of a sample share: scenario, streamed or not, thinking."""
    match = _KEY.fullmatch(key)
    return f"{match['scenario']}.{match['way']}" if match else key


def threshold(gate: Gate, expected: int) -> float | None:
    """The pass rate that must be exceeded: the gate's lower bound, else the share that it requires.

    None if the gate allows no miss and has no lower bound.
    """
    if gate.lower_bound is not None:
        return gate.lower_bound
    required = _required(gate, expected)
    return None if required is None else required / expected


def _required(gate: Gate, expected: int) -> int | None:
    """How many samples of a round must pass; None if the gate allows no miss."""
    return None if gate.required == expected else gate.required


def decide_repeated(
    profile: Profile,
    gate: Gate,
    judgements: Sequence[Judgement],
    expected: int,
    selected: int,
    repeats: Repeats,
    rounds: int,
    asked: int | None = None,
) -> GateResult:
    """The verdict of a gate over several rounds.

    Args:
        expected: number of samples of the gate in one complete round, independent of the selection.
        selected: number of samples selected in all rounds so far.
        rounds: complete rounds so far; further repeats that other gates requested count only for misses.
        asked: number of samples selected in these rounds; None if no other gate requested more.

    A gate that allows no miss fails if any round has one. For other gates with a fixed number of rounds, the share
    `required` / `expected` must be reached over all rounds, and `lower_bound` is compared with the interval for
    clusters. In adaptive mode the confidence sequence decides PASS or FAIL against `threshold`; the gate is
    INCONCLUSIVE if it has not decided by the last round, or is unlikely to. If the gate has a required share and a
    lower bound, the share must also be reached. A `lower_bound` must also be proven over prompts: the sequence is
    about the pass rate of these prompts, and repeating equal answers proves nothing about other prompts.
    """
    own = own_repeats(profile)
    required = _required(gate, expected)
    in_all = None if required is None else required * rounds
    share = in_all if in_all is None or not repeats.adaptive else 0
    expected_all = expected * rounds
    if gate.every_sample:
        # Further repeats that other gates requested are judged, too, but do not replace missing samples.
        beyond = sum(round_of(own, one.sample) > rounds for one in judgements)
        expected_all += max(beyond, 0 if asked is None else selected - asked)
    else:
        judgements = [one for one in judgements if round_of(own, one.sample) <= rounds]
    base = decide(
        replace(gate, required=share, lower_bound=None), judgements, expected_all, min(selected, expected_all)
    )
    in_rounds = [one for one in judgements if one.error is None and round_of(own, one.sample) <= rounds]
    counts = by_prompt(in_rounds, profile.prompts)
    n = sum(counts[1])
    limit = threshold(gate, expected)
    if repeats.adaptive:
        verdict, stop, detail = _sequentially(base, counts, limit, gate, repeats, rounds, expected)
        interval = sequential.interval(*_units(counts, rounds), gate.confidence) if n else None
        rules_out = None if interval is None else 1.0 - interval[0]
    else:
        verdict, stop, detail = base.verdict, "fixed", base.detail
        interval = clusters.interval(*counts, gate.confidence) if n else None
        rules_out = 1.0 - clusters.lower_bound(*counts, gate.confidence) if n else None
        if gate.lower_bound is not None and verdict == "PASS":
            verdict, detail = _bounded(counts, gate)
    return replace(
        base,
        verdict=verdict,
        detail=detail,
        required=base.required if in_all is None else in_all,
        lower_bound=gate.lower_bound,
        interval=interval,
        rules_out=rules_out,
        repeats=_facts(judgements, len(counts[1]), repeats, rounds, stop, limit),
    )


def _units(counts: Counts, rounds: int) -> tuple[float, int]:
    """(passed, n) for the confidence sequence. Its unit is one prompt in one round, with its share of passed samples.

    The samples of one prompt in one round (streamed and unstreamed) may have the same answer.
    """
    shares = [passed * rounds / size for passed, size in zip(*counts, strict=True)]
    n = len(shares) * rounds
    return min(math.fsum(shares), float(n)), n


def _bounded(counts: Counts, gate: Gate) -> tuple[Verdict, str]:
    """Compare the gate's lower bound with the interval over prompts; repeats of a prompt are one cluster."""
    if gate.lower_bound is None:
        return "PASS", ""
    shown = f"{sum(counts[0])}/{sum(counts[1])} of {len(counts[1])} prompts"
    asked = f"{100 * gate.lower_bound:g} %"
    upper = clusters.upper_bound(*counts, gate.confidence)
    if upper < gate.lower_bound:
        return "FAIL", f"{shown}, upper bound {100 * upper:.1f} % is below {asked}"
    lower = clusters.lower_bound(*counts, gate.confidence)
    if lower < gate.lower_bound:
        return "INCONCLUSIVE", f"{shown}, lower bound {100 * lower:.1f} % does not reach {asked}"
    return "PASS", ""


def _sequentially(
    base: GateResult,
    counts: Counts,
    limit: float | None,
    gate: Gate,
    repeats: Repeats,
    rounds: int,
    expected: int,
) -> tuple[Verdict, Stop, str]:
    """Verdict, why sampling stopped ("open" if it has not), and the detail."""
    if base.verdict == "FAIL":
        return "FAIL", "rule", base.detail
    if base.verdict == "ERROR":
        return "ERROR", "broken", base.detail
    if base.verdict != "PASS":
        return base.verdict, "part", base.detail
    passed, n = map(sum, counts)
    if limit is None or limit <= 0.0:
        return "PASS", "rule", ""
    if limit >= 1.0:
        return "INCONCLUSIVE", "cap", "no number of samples shows a pass rate above 100 %"
    held, asked = _units(counts, rounds)
    side = sequential.decides(held, asked, limit, gate.confidence)
    low, high = sequential.interval(held, asked, gate.confidence)
    enough = gate.required is None or passed * expected >= gate.required * n
    if side is not None and (side == "below" or enough):
        verdict, doubt = _bounded(counts, gate)
        if gate.lower_bound is not None and verdict != ("PASS" if side == "above" else "FAIL"):
            if rounds >= repeats.most:
                return "INCONCLUSIVE", "cap", doubt or f"{passed}/{n}"
            if rounds >= _TELLING and verdict == "INCONCLUSIVE":
                # The bound depends on the prompts' shares, which further rounds like these leave as they are.
                return "INCONCLUSIVE", "prompts", f"{doubt}; more prompts would, repeats do not"
            return "INCONCLUSIVE", "open", doubt
    if side == "above" and enough:
        return "PASS", "decided", ""
    if side == "above":
        short = f"{passed}/{n}, needs {gate.required}/{expected}"
        return ("FAIL", "cap", short) if rounds >= repeats.most else ("INCONCLUSIVE", "open", short)
    shown = f"{passed}/{n}, confidence sequence {100 * low:.1f}-{100 * high:.1f} %"
    if side == "below":
        return "FAIL", "decided", f"{shown} is below {100 * limit:g} %"
    shown += f" holds {100 * limit:g} %"
    if rounds >= repeats.most:
        return "INCONCLUSIVE", "cap", f"{shown} after {rounds} rounds, the most allowed"
    if sequential.hopeless(held, asked, len(counts[0]) * repeats.most, limit, gate.confidence):
        return "INCONCLUSIVE", "hopeless", f"{shown}, and {repeats.most} rounds would hardly change that"
    return "INCONCLUSIVE", "open", shown


def _facts(
    judgements: Sequence[Judgement],
    scenarios: int,
    repeats: Repeats,
    rounds: int,
    stop: Stop,
    limit: float | None,
) -> Mapping[str, Any]:
    """The facts about repeats for the report, as JSON values."""
    ways: dict[str, list[bool]] = defaultdict(list)
    for one in judgements:
        if one.error is None:
            ways[_way(one.sample)].append(one.passed)
    passed, sizes = [sum(way) for way in ways.values()], [len(way) for way in ways.values()]
    deepest = max(sizes, default=0)
    return {
        "rounds": rounds,
        "most": repeats.most,
        "adaptive": repeats.adaptive,
        "stopped": stop,
        "threshold": limit,
        "scenarios": scenarios,
        "pass_hat_k": {str(k): clusters.pass_hat_k(passed, sizes, k) for k in range(1, deepest + 1)},
    }
