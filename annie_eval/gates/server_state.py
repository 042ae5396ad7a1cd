"""Judges whether the server's state changes its answers. Pure functions; docs/blame.md explains the method.

Comparing greedy text is not enough: a warm cache, another batch size or another kernel rounds differently, and
four-bit activations amplify this. Therefore each request is answered several times in each of two states, in batches
of different sizes. The two states differ if the nearest answers of different states are further apart, on average over
the requests, than answers within one state, and if a permutation test over the state labels rejects chance.
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
"""Probability that a run over all probes fails a server whose answers depend on the batch size only."""
LEAST = 0.35
"""Smallest total variation distance (0 to 1) between states that counts as a difference; see docs/blame.md."""
ROUNDING = 2.0
"""Nats. Chosen, not measured: rounding changes logits by tenths of a nat, another prompt's state by more than 2."""
TIMES_NOISE = 3.0
_SHOWN = 160  # characters of an answer in a report


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of the server in one state. `tokens` is empty if it has no log-probabilities."""

    tokens: tuple[Token, ...]
    text: str
    cached: int | None = None
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answers to one request in two states, several in each, computed in batches of different sizes.

    Attributes:
        setting: describes the second state, as the end of the sentence "differs ...".
        question: the request.
        before: two or more answers in the first state.
        after: answers in the second state.
        other: answers to the same question in another conversation, as a control: a server that used the state of
            that conversation would answer like this.
    """

    setting: str
    question: str
    before: tuple[Reading, ...]
    after: tuple[Reading, ...]
    other: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference beyond the limits, with the two answers.

    `size` is a total variation distance (0 to 1); where a single token is judged, a difference of log-odds in nats.
    """

    setting: str
    question: str
    reason: str
    size: float
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one probe.

    Attributes:
        n: number of comparisons.
        noise: mean distance between answers in the same state; for the probe `greedy` the largest, in nats.
        control: mean distance to the answers in another conversation.
        held: the settings without a difference.
        unchecked: what could not be compared, and why; with n = 0 the probe has no verdict.
        error: the error that ended the probe; "" if none did.
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
        """None if nothing could be compared."""
        if self.differences:
            return "FAIL"
        if self.error:
            return "ERROR"
        return "PASS" if self.n else None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ProbeResult:
        """The inverse of `dataclasses.asdict`."""
        differences = tuple(Difference(**each) for each in value["differences"])
        return cls(**{**value, "differences": differences, "held": tuple(value["held"])})


def distance(one: Reading, other: Reading) -> float:
    """The largest total variation distance between next-token probabilities, up to the first token that differs.

    0 if the probabilities are equal, 1 if no token is in common. The result is a lower bound: a token that one answer
    does not list is taken to be as likely there as the least likely token that it lists.
    """
    most = 0.0 if one.tokens and other.tokens else float(bool(one.tokens) != bool(other.tokens))
    for a, b in zip(one.tokens, other.tokens, strict=False):
        most = max(most, _moved_share(a, b), _moved_share(b, a))
        if a.text != b.text:
            break
    return most


def _moved_share(a: Token, b: Token) -> float:
    """Sum over the tokens listed by `a` of the probability by which `a` exceeds `b`; a lower bound."""
    last = min(b.top.values(), default=0.0)
    return sum(max(0.0, math.exp(logprob) - math.exp(b.top.get(text, last))) for text, logprob in a.top.items())


def judge(probe: str, comparisons: Sequence[Comparison], unchecked: str = "") -> ProbeResult:
    """The result of a probe from its comparisons, which are tested setting by setting.

    `unchecked` says what could not be compared. A setting whose control lies within the limit is added to it.
    """
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
                f"over {len(of)} requests, answers in the two states differ by {size:.2f}, in the same state by "
                f"{noise:.2f}, and in another conversation by {control:.2f}; p = {p:.1g}"
            )
            before, after = first.before[0].text[:_SHOWN], first.after[0].text[:_SHOWN]
            found.append(Difference(setting, first.question, reason, round(size, 3), before, after))
        elif control <= limit:
            blind.append(
                f"{setting}: answers in another conversation differ by only {control:.2f}, which is within the limit "
                f"of {limit:.2f}"
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
    """Distance between the nearest answers of this and of another conversation; 1 if there are no others."""
    if not one.other:
        return 1.0
    table = _distances((*one.before, *one.other))
    return relabel.apart(table, range(len(one.before), len(table)))


def judge_again(probe: str, pairs: Sequence[tuple[str, Reading, Reading]]) -> ProbeResult:
    """The result of a probe that asks for each greedy answer twice in the same state: (question, first, second).

    At the first token that differs, the log-odds of the two tokens changed by the sum of both margins. This counts as
    a difference if it is more than `ROUNDING` and more than `TIMES_NOISE` times the largest change before that token.
    """
    noise = max((drift(first, second) for _, first, second in pairs), default=0.0)
    limit = max(ROUNDING, TIMES_NOISE * noise)
    found = [each for pair in pairs for each in _between(*pair, limit)]
    found += unlikely(reading for _, *both in pairs for reading in both)
    return ProbeResult(probe, len(pairs), round(noise, 4), differences=tuple(found))


def parted(one: Reading, other: Reading) -> tuple[int, float] | None:
    """(index of the first token that differs, change of log-odds there in nats); None if one answer is a prefix.

    The change is a lower bound: a token that one answer does not list is taken to be as likely there as the least
    likely token that it lists.
    """
    for place, (a, b) in enumerate(zip(one.tokens, other.tokens, strict=False)):
        if a.text != b.text:
            return place, max(0.0, a.logprob - _of(a, b.text)) + max(0.0, b.logprob - _of(b, a.text))
    return None


def drift(one: Reading, other: Reading) -> float:
    """The largest change between two answers of a token's log-odds over its most likely rival, in nats.

    Only tokens before the first difference count.
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
        f"token {place + 1} is {now.text!r} instead of {was.text!r}: the log-odds changed by {size:.1f} nats, "
        f"where rounding explains at most {limit:.1f}"
    )
    return [Difference(AGAIN, question, reason, round(size, 3), before.text[:_SHOWN], after.text[:_SHOWN])]


AGAIN = "when it is sent again in the same state"
GREEDY = "in greedy decoding: a token was sent that is not the most likely by the server's own log-probabilities"


def unlikely(readings: Iterable[Reading]) -> list[Difference]:
    """Tokens of greedy answers whose log-probability from the server is more than `ROUNDING` below the best one."""
    found = []
    for reading in readings:
        for place, token in enumerate(reading.tokens):
            best = max(token.top, key=token.top.__getitem__, default=token.text)
            gap = token.top.get(best, token.logprob) - token.logprob
            if gap > ROUNDING:
                reason = f"token {place + 1} is {token.text!r}, but {best!r} is more likely by {gap:.1f} nats"
                likely = "".join(each.text for each in reading.tokens[:place]) + best
                found.append(Difference(GREEDY, "", reason, round(gap, 3), likely[-_SHOWN:], reading.text[:_SHOWN]))
    return found


@dataclass(frozen=True, slots=True)
class StateSummary:
    """The gate's result over all probes; None if no probe could run. `unchecked` gives the reasons by probe."""

    result: GateResult | None
    unchecked: Mapping[str, str] = field(default_factory=dict)


def summary(rows: Iterable[ProbeResult], wanted: Sequence[str]) -> StateSummary:
    """The gate's result: FAIL if any probe found a difference, INCONCLUSIVE if one of `wanted` is missing.

    A probe that could not run is listed in `unchecked` and changes no verdict.
    """
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
        detail = f"{len(asked)} of {len(wanted)} probes ran"
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
    """The two answers, shortened to the same length."""
    half = (_SHOWN - len(" / ")) // 2
    return f"{one.before[: half - 2]!r} / {one.after[: half - 2]!r}"


def _telling(rows: Sequence[ProbeResult]) -> tuple[ProbeResult, Difference] | None:
    """The difference to report first.

    Wrong greedy tokens come first, then different answers in the same state, because these cause the others.
    """
    found = [(row, one) for row in rows for one in row.differences]
    order = (GREEDY, AGAIN)
    return min(
        found, key=lambda pair: order.index(pair[1].setting) if pair[1].setting in order else len(order), default=None
    )


def _sentence(row: ProbeResult, first: Difference) -> str:
    """The first line of the report."""
    held = f" There was no difference {row.held[0]}." if row.held else ""
    if len(row.held) > 1:
        held = f" There was no difference in {len(row.held)} other settings, such as {row.held[0]}."
    asked = f" ({first.question!r})" if first.question else ""
    return (
        f"The server's state is to blame, not the weights: the same request{asked} gets another answer "
        f"{first.setting}: {first.after!r} instead of {first.before!r} ({first.reason}).{held}"
    )
