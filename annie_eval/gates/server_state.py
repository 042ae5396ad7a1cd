"""Does the server answer the same request otherwise in another state? Pure; docs/blame.md gives the reasons.

Greedy text alone proves nothing: a warm cache, another batch or another kernel rounds otherwise, and activations in
four bits make much of that. So each request is answered several times in each of two states, each time computed in
another shape (alone, beside others). What counts is how far the two nearest answers of different states are apart,
over several requests: further than rounding brings answers, and further than relabelling them explains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, takewhile
from statistics import fmean
from typing import Any

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import GateResult
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.verdicts import worst
from annie_eval.profile.types import PROBES, STATE_GATE, Verdict
from annie_eval.stats import clusters, relabel
from annie_eval.wire.logprobs import Token

ERROR_RATE = 0.01
"""Of a run over all probes: how often a server is accused whose states differ no more than its shapes do."""
LEAST = 0.35
"""A share of probability, 0 to 1: the least difference between states that counts; see docs/blame.md."""
ROUNDING = 2.0
"""Nats. Chosen, not measured: logits that differ by tenths of a nat stay far below it, another state lies above it."""
TIMES_NOISE = 3.0
_SHOWN = 160  # characters of an answer


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer, as the server gave it in one state. Empty tokens: it gave no log-probabilities."""

    tokens: tuple[Token, ...]
    text: str
    cached: int | None = None
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One request in two states, answered in each of them several times, in other shapes of computing.

    Attributes:
        setting: the state that it was tried in, in words that finish the sentence "differs ...".
        question: which request.
        before: its answers in the state compared with; two or more.
        after: its answers in the other state.
        other: answers to the same question in another conversation: what the state of another prompt would say.
    """

    setting: str
    question: str
    before: tuple[Reading, ...]
    after: tuple[Reading, ...]
    other: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference that counts, and the two answers. `size` is a share of probability; of a single token, nats."""

    setting: str
    question: str
    reason: str
    size: float
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe, asked.

    Attributes:
        n: comparisons made.
        noise: the mean distance between answers in the same state; of the probe `greedy` the largest, in nats.
        control: the mean distance to what another conversation's state would make.
        held: the settings in which nothing differed.
        unchecked: what could not be asked, and why; with n = 0 the probe says nothing about the server.
        error: what broke; "" if nothing did.
    """

    probe: str
    n: int = 0
    noise: float = 0.0
    control: float = 0.0
    differences: tuple[Difference, ...] = ()
    held: tuple[str, ...] = ()
    unchecked: str = ""
    error: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """None where nothing could be asked: no evidence for or against the server."""
        if self.differences:
            return "FAIL"
        if self.error:
            return "ERROR"
        return "PASS" if self.n else None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ProbeResult:
        """Of what `dataclasses.asdict` made."""
        differences = tuple(Difference(**each) for each in value["differences"])
        return cls(**{**value, "differences": differences, "held": tuple(value["held"])})


def distance(one: Reading, other: Reading) -> float:
    """The total variation between the next token's probabilities, at most, over the tokens up to where answers part.

    0 where both give the same probabilities, 1 where they have no token in common. A token that one of them does not
    list is at most as likely there as the last that it lists, so it is a lower bound.
    """
    most = 0.0 if one.tokens and other.tokens else float(bool(one.tokens) != bool(other.tokens))
    for a, b in zip(one.tokens, other.tokens, strict=False):
        most = max(most, _moved_share(a, b), _moved_share(b, a))
        if a.text != b.text:
            break
    return most


def _moved_share(a: Token, b: Token) -> float:
    """How much likelier `a` makes the tokens that it lists than `b` does, at least."""
    last = min(b.top.values(), default=0.0)
    return sum(max(0.0, math.exp(logprob) - math.exp(b.top.get(text, last))) for text, logprob in a.top.items())


def judge(probe: str, comparisons: Sequence[Comparison], unchecked: str = "") -> ProbeResult:
    """What the answers of a probe say, setting by setting. `unchecked`: what could not be asked."""
    settings = dict.fromkeys(one.setting for one in comparisons)
    alpha = ERROR_RATE / len(PROBES) / max(1, len(settings))
    found: list[Difference] = []
    held: list[str] = []
    blind: list[str] = []
    noises: list[float] = []
    controls: list[float] = []
    n = 0
    for setting in settings:
        of = [one for one in comparisons if one.setting == setting]
        tables = [(_distances((*one.before, *one.after)), len(one.after)) for one in of]
        sizes = [relabel.apart(table, range(len(table) - after, len(table))) for table, after in tables]
        noise = fmean(_noise(table, after) for table, after in tables)
        control = fmean(_control(one) for one in of)
        size, limit = fmean(sizes), max(LEAST, noise)
        noises.append(noise)
        controls.append(control)
        p = relabel.p_value(tables) if size > limit else 1.0
        if p <= alpha:
            n += len(of)
            first = of[sizes.index(max(sizes))]
            reason = (
                f"over {len(of)} requests the states differ by {size:.2f}, answers in the same state by {noise:.2f}, "
                f"and another conversation's state would by {control:.2f}; p = {p:.1g}"
            )
            before, after = first.before[0].text[:_SHOWN], first.after[0].text[:_SHOWN]
            found.append(Difference(setting, first.question, reason, round(size, 3), before, after))
        elif control <= limit:
            blind.append(
                f"{setting}: the state of another conversation would differ by {control:.2f} alone, "
                f"where rounding explains {limit:.2f}"
            )
        else:
            n += len(of)
            held.append(setting)
    found += unlikely(reading for one in comparisons for reading in (*one.before, *one.after))
    return ProbeResult(
        probe,
        n,
        noise=round(fmean(noises), 4) if noises else 0.0,
        control=round(fmean(controls), 4) if controls else 0.0,
        differences=tuple(found),
        held=tuple(held),
        unchecked="; ".join(filter(None, (unchecked, *blind))),
    )


def _distances(readings: Sequence[Reading]) -> list[list[float]]:
    table = [[0.0] * len(readings) for _ in readings]
    for a, b in combinations(range(len(readings)), 2):
        table[a][b] = table[b][a] = distance(readings[a], readings[b])
    return table


def _noise(table: relabel.Matrix, after: int) -> float:
    groups = range(len(table) - after), range(len(table) - after, len(table))
    return fmean(found for group in groups if (found := relabel.within(table, group)) is not None)


def _control(one: Comparison) -> float:
    """How far another conversation's answers to the same question are away; 1 where nobody asked for them."""
    if not one.other:
        return 1.0
    table = _distances((*one.before, *one.other))
    return relabel.apart(table, range(len(one.before), len(table)))


def judge_again(probe: str, pairs: Sequence[tuple[str, Reading, Reading]]) -> ProbeResult:
    """What greedy answers say that were asked for twice in the same state: question, first answer, second.

    Where they part, the log-odds of the two tokens have moved by the sum of both margins. That counts beyond
    `ROUNDING`, and beyond `TIMES_NOISE` what moves at the tokens before.
    """
    noise = max((drift(first, second) for _, first, second in pairs), default=0.0)
    limit = max(ROUNDING, TIMES_NOISE * noise)
    found = [each for pair in pairs for each in _between(*pair, limit)]
    found += unlikely(reading for _, *both in pairs for reading in both)
    return ProbeResult(probe, len(pairs), round(noise, 4), differences=tuple(found))


def parted(one: Reading, other: Reading) -> tuple[int, float] | None:
    """Where two answers part and by how much, in nats; None where one is equal to the other or to its beginning.

    A token that one of them does not list is at most as likely there as the last that it lists, so the size is a lower
    bound.
    """
    for place, (a, b) in enumerate(zip(one.tokens, other.tokens, strict=False)):
        if a.text != b.text:
            return place, max(0.0, a.logprob - _of(a, b.text)) + max(0.0, b.logprob - _of(b, a.text))
    return None


def drift(one: Reading, other: Reading) -> float:
    """How far the log-odds of a token over the next likeliest one move between two answers, at most, in nats.

    Over the tokens that both answers begin with.
    """
    pairs = zip(one.tokens, other.tokens, strict=False)
    return max((_moved(a, b) for a, b in takewhile(lambda pair: pair[0].text == pair[1].text, pairs)), default=0.0)


def _moved(a: Token, b: Token) -> float:
    rivals = [text for text in a.top if text != a.text and text in b.top]
    if not rivals:
        return 0.0
    rival = max(rivals, key=lambda text: a.top[text])
    return abs((a.logprob - a.top[rival]) - (b.logprob - b.top[rival]))


def _of(token: Token, text: str) -> float:
    return token.top.get(text, min(token.top.values(), default=token.logprob))


def _between(question: str, before: Reading, after: Reading, limit: float) -> list[Difference]:
    found = parted(before, after)
    if found is None or found[1] <= limit:
        return []
    place, size = found
    was, now = before.tokens[place], after.tokens[place]
    reason = (
        f"token {place + 1} is {now.text!r} and not {was.text!r}: the log-odds moved by {size:.1f} nats, "
        f"rounding and noise by at most {limit:.1f}"
    )
    return [Difference(AGAIN, question, reason, round(size, 3), before.text[:_SHOWN], after.text[:_SHOWN])]


AGAIN = "when it is asked again in the same state"
GREEDY = "in greedy decoding: a token was sent that is not the likeliest by the server's own account"


def unlikely(readings: Iterable[Reading]) -> list[Difference]:
    """Tokens of greedy answers that the server itself calls less likely than another one, by more than `ROUNDING`."""
    found = []
    for reading in readings:
        for place, token in enumerate(reading.tokens):
            best = max(token.top, key=token.top.__getitem__, default=token.text)
            gap = token.top.get(best, token.logprob) - token.logprob
            if gap > ROUNDING:
                reason = f"token {place + 1} is {token.text!r}, but {best!r} is likelier by {gap:.1f} nats"
                likely = "".join(each.text for each in reading.tokens[:place]) + best
                found.append(Difference(GREEDY, "", reason, round(gap, 3), likely[-_SHOWN:], reading.text[:_SHOWN]))
    return found


@dataclass(frozen=True, slots=True)
class StateSummary:
    """What the probes say together. `result` is None where none of them could be asked; `unchecked` says why."""

    result: GateResult | None
    unchecked: Mapping[str, str] = field(default_factory=dict)


def summary(rows: Iterable[ProbeResult], wanted: Sequence[str]) -> StateSummary:
    """The gate's result: FAIL if any probe differs. A probe that could not be asked is named in `unchecked`, and is
    neither a PASS nor a FAIL."""
    by_name = {row.probe: row for row in rows}
    missing = [name for name in wanted if name not in by_name]
    unchecked = {
        f"{STATE_GATE}.{row.probe}": row.unchecked for row in by_name.values() if row.unchecked and not row.error
    }
    asked = [row for row in by_name.values() if row.verdict is not None]
    if not asked and not missing:
        return StateSummary(None, unchecked)
    verdicts: list[Verdict] = [row.verdict for row in asked if row.verdict is not None]
    if missing:
        verdicts.append("INCONCLUSIVE")
    verdict = worst(verdicts) or "INCONCLUSIVE"
    misses = [
        Judgement(STATE_GATE, f"{row.probe}-{number}", (_finding(each),))
        for row in asked
        for number, each in enumerate(row.differences, 1)
    ]
    broken = [Judgement(STATE_GATE, row.probe, error=row.error) for row in asked if row.error]
    n = sum(row.n for row in asked)
    passed = max(0, n - len(misses))
    told = _telling(asked)
    if told is not None:
        detail = f"{passed}/{n}, needs {n}: {told[0].probe} differs {told[1].setting}"
    elif verdict == "ERROR":
        detail = broken[0].error or ""
    elif verdict == "INCONCLUSIVE":
        detail = f"{len(asked)} of {len(wanted)} probes asked"
    else:
        detail = ""
    return StateSummary(
        GateResult(
            name=STATE_GATE,
            verdict=verdict,
            passed=passed,
            n=n,
            errors=len(broken),
            required=n,
            expected=n,
            interval=clusters.interval([1] * passed + [0] * (n - passed), [1] * n, 0.95) if n else None,
            rules_out=1.0 - clusters.lower_bound([1] * passed + [0] * (n - passed), [1] * n, 0.95) if n else None,
            detail=detail,
            misses=tuple(misses),
            broken=tuple(broken),
            cause="server" if told is not None else "",
            blame=_sentence(*told) if told is not None else "",
        ),
        unchecked,
    )


def _finding(one: Difference) -> Finding:
    return Finding(STATE_GATE, f"differs {one.setting}: {one.reason}", _both(one))


def _both(one: Difference) -> str:
    """The two answers, each shortened alike."""
    half = (_SHOWN - len(" / ")) // 2
    return f"{one.before[: half - 2]!r} / {one.after[: half - 2]!r}"


def _telling(rows: Sequence[ProbeResult]) -> tuple[ProbeResult, Difference] | None:
    """The difference that explains the others: a server that is not steady in one state differs in every other too."""
    found = [(row, one) for row in rows for one in row.differences]
    order = (GREEDY, AGAIN)
    return min(
        found, key=lambda pair: order.index(pair[1].setting) if pair[1].setting in order else len(order), default=None
    )


def _sentence(row: ProbeResult, first: Difference) -> str:
    """What the report's first line says."""
    held = f" Nothing differed {row.held[0]}." if row.held else ""
    if len(row.held) > 1:
        held = f" Nothing differed in {len(row.held)} other settings, such as {row.held[0]}."
    asked = f" ({first.question!r})" if first.question else ""
    return (
        f"The server's state is to blame, not the weights: the same request{asked} is answered otherwise "
        f"{first.setting}. It was {first.before!r}, and is {first.after!r} ({first.reason}).{held}"
    )
