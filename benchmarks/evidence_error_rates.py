"""Simulates how often the gate's bounds and its stopping rule are wrong for a model at exactly the required rate.

    .venv/bin/python -m benchmarks.evidence_error_rates [--runs 2000] [--histories 200] [--seed 1] [--write FILE]

Kinds of prompts: `equal` (each passes with the same chance), `differ` (chances drawn from a beta distribution), `dead`
(some prompts never pass, the others always), `copies` (the samples of one prompt in one round are one outcome),
`half` (each sample of a prompt is a copy of that prompt's shared outcome with chance 1/2, else drawn again).

Bounds: `lower` and `upper` are runs in which a one-sided 95 % bound lay beyond the truth (5 % at most is promised);
`plain` is what `lower` would be if all samples counted as independent.

Until decided: runs that say PASS and FAIL at a threshold that equals the true rate (5 % at most together), and the
mean number of samples that were asked; `most` is what the same rounds without a stop would ask.

Nights: those of one baseline and `nights.HORIZON` nights of a server that did not change, with the gates of `annie`
and of `annie-strict` but those over every sample. Samples of `copies` and `half` are two a prompt, of half as many
prompts. `alarm`: histories with a FAIL on any night (5 % at most is promised); `once`: nights that would FAIL if each
were the only comparison, `worst`: their share with the unluckiest baseline; `gate`: nights on which the gate alone
does not PASS; `samples`: of one night.

Replicas: runs in which a paired test says that equal servers differ (1 % at most is promised); `samples`: of one
server.

`--write` puts the tables between the markers of a document. Status 1 where a promised rate is surely exceeded: its
exact one-sided 99.9 % lower bound lies above it.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from annie_eval.detectors.finding import Finding
from annie_eval.gates import replicas
from annie_eval.gates.decide import decide
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.load import load
from annie_eval.profile.types import Gate, Profile
from annie_eval.stats import binomial, clusters, nights, sequential
from annie_eval.stats.paired import lowest, sign_flip

PROMISED, ALPHA = 0.05, 0.001
ROUNDS = 20
BEGIN, END = (f"<!-- {word} of python -m benchmarks.evidence_error_rates -->" for word in ("begin", "end"))
MISS = (Finding("markdown", "bold text"),)


@dataclass(frozen=True, slots=True)
class Kind:
    """How prompts are made, and how the samples of one prompt hang together.

    `copies` is the chance that a sample of a prompt in one round is the prompt's shared outcome of that round.
    """

    name: str
    spread: float = 0.0
    dead: bool = False
    copies: float = 0.0

    def rates(self, draw: random.Random, mean: float, prompts: int) -> list[float]:
        if self.dead:
            return [float(draw.random() < mean) for _ in range(prompts)]
        if self.spread == 0.0:
            return [mean] * prompts
        return [draw.betavariate(mean / self.spread, (1 - mean) / self.spread) for _ in range(prompts)]

    def ask(self, draw: random.Random, rates: Sequence[float], ways: int) -> list[int]:
        """Passed samples of each prompt in one round of `ways` samples."""
        found = []
        for rate in rates:
            shared = draw.random() < rate
            found.append(sum(shared if draw.random() < self.copies else draw.random() < rate for _ in range(ways)))
        return found


KINDS = (
    Kind("equal"),
    Kind("differ", spread=0.5),
    Kind("dead", dead=True),
    Kind("copies", copies=1.0),
    Kind("half", copies=0.5),
)


@cache
def too_high(passed: tuple[int, ...], size: int, rate: float) -> bool:
    """Whether the lower bound of prompts of one size lies above a rate: one look, where the bound itself needs 30."""
    shares = Counter(each / size for each in passed)
    if set(shares) <= {0.0, 1.0}:
        return binomial.lower_bound(shares[1.0], len(passed)) > rate
    shares[0.0] += 1
    return rate < max(shares) and clusters._mass_below(shares, rate) < PROMISED


def bounds(
    kind: Kind, mean: float, prompts: int, rounds: int, ways: int, runs: int, seed: int
) -> tuple[int, int, int]:
    """Runs in which the lower bound, the upper bound and the lower bound of independent samples were wrong."""
    draw, low, high, plain = random.Random(seed), 0, 0, 0
    for run in range(runs):
        rates = kind.rates(draw, mean, prompts)
        asked = [kind.ask(draw, rates, ways) for _ in range(rounds)]
        passed, sizes = list(map(sum, zip(*asked, strict=True))), [rounds * ways] * prompts
        low += too_high(tuple(sorted(passed)), rounds * ways, mean)
        high += too_high(tuple(sorted(rounds * ways - each for each in passed)), rounds * ways, 1 - mean)
        if run % 100 == 0:
            assert too_high(tuple(sorted(passed)), rounds * ways, mean) == (clusters.lower_bound(passed, sizes) > mean)
        plain += binomial.lower_bound(sum(passed), sum(sizes)) > mean
    return low, high, plain


def until_decided(
    kind: Kind, mean: float, prompts: int, most: int, ways: int, runs: int, seed: int
) -> tuple[int, int, float]:
    """Runs that decided above and below the true rate over these prompts, and the mean number of samples."""
    draw, above, below, samples = random.Random(seed), 0, 0, 0
    for _ in range(runs):
        rates = kind.rates(draw, mean, prompts)
        truth = sum(rates) / prompts
        if not 0.0 < truth < 1.0:
            continue
        passed, n = 0.0, 0
        for _ in range(most):
            passed, n = passed + sum(kind.ask(draw, rates, ways)) / ways, n + prompts
            side = sequential.decides(passed, n, truth)
            if side is not None or sequential.hopeless(passed, n, prompts * most, truth):
                break
        above, below, samples = above + (side == "above"), below + (side == "below"), samples + n * ways
    return above, below, samples / runs


@dataclass(frozen=True, slots=True)
class Nights:
    """What a number of histories came to; `worst` is the largest share of `once` of one history."""

    alarms: int
    once: float
    worst: float
    gate: float


@cache
def one_night(worse: int, better: int, prompts: int, ways: int) -> float:
    return nights.one_night(worse, better, [ways] * prompts)


@cache
def one_comparison(differences: tuple[int, ...]) -> float:
    return sign_flip(differences)


def histories(
    kind: Kind, mean: float, gates: Sequence[Gate], sizes: Sequence[int], ways: int, runs: int, seed: int
) -> Nights:
    """Baselines with the nights after them, each prompt asked in `ways` ways a night; `sizes` are prompts."""
    draw, alarms, shares, open_ = random.Random(seed), 0, [], 0

    @cache
    def holds(place: int, passed: int) -> bool:
        n = sizes[place] * ways
        given = [Judgement(gates[place].name, str(i), () if i < passed else MISS) for i in range(n)]
        return decide(gates[place], given, n).verdict == "PASS"

    for _ in range(runs):
        rates = [kind.rates(draw, mean, size) for size in sizes]
        missed = [[[ways - asked] for asked in kind.ask(draw, of, ways)] for of in rates]
        start = [sum(counts[0] for counts in of) for of in missed]
        alarm, failed = False, 0
        for night in range(1, nights.HORIZON + 1):
            adjusted, plain, whole = [], [], True
            for place, (of, counts) in enumerate(zip(rates, missed, strict=True)):
                for each, asked in zip(counts, kind.ask(draw, of, ways), strict=True):
                    each.append(ways - asked)
                differences = sorted(each[-1] - each[0] for each in counts if each[-1] != each[0])
                plain.append(one_comparison(tuple(differences)))
                if not alarm:
                    worse = sum(each > 0 for each in differences)
                    tonight, since = one_night(worse, len(differences) - worse, len(of), ways), 1.0
                    # With as many misses as are to be expected, half of all baselines have no more: no evidence.
                    if sum(map(sum, counts)) > start[place] * (night + 1):
                        since = lowest(counts)
                    adjusted.append(nights.adjusted(tonight, since, start[place], len(sizes)))
                whole = whole and holds(place, len(of) * ways - sum(each[-1] for each in counts))
            alarm = alarm or min(adjusted) <= PROMISED
            failed += min(binomial.holm(plain)) <= PROMISED
            open_ += not whole
        alarms += alarm
        shares.append(failed / nights.HORIZON)
    return Nights(alarms, sum(shares) / runs, max(shares), open_ / runs / nights.HORIZON)


def equal_replicas(kind: Kind, mean: float, servers: int, profile: Profile, runs: int, seed: int) -> int:
    """Runs in which a paired test says that one of some equal servers passes less often."""
    draw, wrong = random.Random(seed), 0
    gates = {gate.name: profile.gate_scenarios(gate) for gate in profile.gates.values() if not gate.every_sample}
    of_sample: dict[str, list[str]] = {}
    by_prompt: dict[str, list[str]] = {}
    for gate, scenarios in gates.items():
        for scenario in scenarios:
            for key in scenario.sample_keys():
                of_sample.setdefault(key, []).append(gate)
                asked = by_prompt.setdefault(profile.prompts.get(scenario.id, scenario.id), [])
                asked += [key] if key not in asked else []
    for _ in range(runs):
        rates = kind.rates(draw, mean, len(by_prompt))
        given = []
        for server in range(servers):
            for keys, rate in zip(by_prompt.values(), rates, strict=True):
                shared = draw.random() < rate
                for key in keys:
                    passes = shared if draw.random() < kind.copies else draw.random() < rate
                    judged = tuple(Judgement(gate, key, () if passes else MISS) for gate in of_sample[key])
                    given.append(replicas.Answered(server, key, server == 0, judged))
        found = replicas.compare_replicas(profile, [f"http://{place}" for place in range(servers)], given)
        wrong += any(row["verdict"] == "FAIL" and row["adjusted"] is not None for row in found["gates"])
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000, metavar="N")
    parser.add_argument("--histories", type=int, default=200, metavar="N", help="of annie, of 90 nights each")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables between its markers")
    options = parser.parse_args()
    runs, broken, told = options.runs, [], []

    def say(line: str) -> None:
        told.append(line)
        print(line, flush=True)

    def judge(name: str, wrong: int, runs: int = runs, promised: float = PROMISED) -> str:
        if binomial.lower_bound(wrong, runs, 1 - ALPHA) > promised:
            broken.append(f"{name}: wrong in {wrong} of {runs} runs, {promised:.0%} is promised")
        return f"{wrong / runs:7.1%}"

    say(f"bounds, {runs} runs each")
    say("kind     rate  prompts x samples    lower    upper    plain")
    for kind in KINDS:
        for mean, prompts, rounds, ways in ((0.9, 15, 5, 1), (0.95, 60, 1, 2), (0.6, 10, 10, 1), (0.8, 5, 3, 2)):
            name = f"{kind.name:<7}  {mean:.2f}  {prompts:>7} x {rounds * ways:<7}"
            low, high, plain = bounds(kind, mean, prompts, rounds, ways, runs, options.seed)
            say(f"{name}  {judge(f'{name} lower', low)}  {judge(f'{name} upper', high)}  {plain / runs:7.1%}")
    say(f"\n--until-decided, at most {ROUNDS} rounds, {runs} runs each")
    say("kind     rate  prompts x ways    PASS    FAIL  samples   most")
    for kind in KINDS:
        for mean, prompts, ways in ((0.8, 15, 1), (0.8, 15, 2), (0.6, 10, 3)):
            name = f"{kind.name:<7}  {mean:.2f}  {prompts:>7} x {ways:<4}"
            above, below, samples = until_decided(kind, mean, prompts, ROUNDS, ways, runs, options.seed)
            judge(f"{name} until decided", above + below)
            say(f"{name}  {above / runs:6.1%}  {below / runs:6.1%}  {samples:7.0f}  {ROUNDS * prompts * ways:5}")
    say(f"\n{nights.HORIZON} nights of an unchanged server")
    say("kind     rate  profile       histories    alarm     once    worst     gate  samples")
    # A history of annie-strict costs five of annie.
    for profile, several in (("annie", options.histories), ("annie-strict", -(-options.histories // 5))):
        gates = [gate for gate in load(profile).gates.values() if not gate.every_sample]
        samples_of = [sum(len(one.variants) for one in load(profile).gate_scenarios(gate)) for gate in gates]
        for kind in KINDS:
            ways = 2 if kind.copies else 1
            sizes = [-(-n // ways) for n in samples_of]
            for mean in (0.99, 0.8):
                found = histories(kind, mean, gates, sizes, ways, several, options.seed)
                alarm = judge(f"{kind.name} {mean} {profile} nights", found.alarms, several)
                shares = "  ".join(f"{each:7.1%}" for each in (found.once, found.worst, found.gate))
                name = f"{kind.name:<7}  {mean:.2f}  {profile:<12}  {several:>9}"
                say(f"{name}  {alarm}  {shares}  {sum(sizes) * ways:7}")
    several = -(-options.histories // 2)
    say(f"\nequal replicas, {several} runs of annie each")
    say("kind     rate  servers   differ  samples")
    annie = load("annie")
    asked = {key for gate in annie.gates.values() for one in annie.gate_scenarios(gate) for key in one.sample_keys()}
    for kind in KINDS:
        for mean in (0.99, 0.8):
            for servers in (2, 3):
                wrong = equal_replicas(kind, mean, servers, annie, several, options.seed)
                differ = judge(f"{kind.name} {mean} {servers} replicas", wrong, several, replicas.ALPHA)
                say(f"{kind.name:<7}  {mean:.2f}  {servers:>7}  {differ}  {len(asked):7}")
    print(*broken, sep="\n")
    if options.write:
        text = options.write.read_text("utf-8")
        (before, _), (_, after) = text.split(BEGIN), text.split(END)
        tables = "\n".join(told)
        options.write.write_text(f"{before}{BEGIN}\n```text\n{tables}\n```\n{END}{after}", "utf-8")
    return int(bool(broken))


if __name__ == "__main__":
    raise SystemExit(main())
