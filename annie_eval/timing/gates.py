"""Judges the timing gates: computes estimate, verdict and notes of each from the measurements. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from annie_eval.gates.verdicts import worst
from annie_eval.profile.types import Verdict
from annie_eval.stats import medians
from annie_eval.timing import verdict as rule
from annie_eval.timing.confirm import GateEstimate, Pairs, against, confirm_gate, error_row
from annie_eval.timing.measurement import Measurement, Source
from annie_eval.timing.plan import Plan
from annie_eval.timing.prompts import Capabilities
from annie_eval.timing.result import TimingResult
from annie_eval.timing.server_metrics import LEAST_TOKENS
from annie_eval.timing.verdict import Estimate

SOURCES: dict[str, tuple[Source, ...]] = {
    "ttft_short": ("short",),
    "ttft_cold": ("cold",),
    "ttft_warm": ("cold", "warm"),
    "decode": ("short",),
    "decode_flat": ("cold",),
    "stalls": ("short", "cold"),
    "tool_call": ("tool",),
    "goodput": ("streams",),
}
"""The measurements that each row uses; `stalls` also uses cold answers if other rows measured them."""


def evaluate(name: str, measurements: Sequence[Measurement], plan: Plan, capabilities: Capabilities) -> TimingResult:
    """The row of one gate from all its measurements so far; a broken measurement makes it an ERROR."""
    own = [s for s in measurements if s.source in SOURCES[name]]
    broken = [s for s in own if s.error is not None]
    if broken:
        first = f"{broken[0].source}: {broken[0].error}"
        return error_row(name, plan, f"{first} ({len(broken)} of {len(own)} requests)", n=len(own))
    return _JUDGES[name](name, own, plan, capabilities)


def _ttft_short(
    name: str, measurements: Sequence[Measurement], plan: Plan, capabilities: Capabilities
) -> TimingResult:
    pairs = [(s, s.ttft_ms) for s in measurements if s.ttft_ms is not None]
    tokens = _median([s.prompt_tokens for s in measurements])

    def judge(pairs: Pairs) -> GateEstimate:
        estimate = rule.median_in_order([value for _, value in pairs])
        share = None
        if plan.bounds is not None and tokens is not None:
            share = plan.bounds.ttft_floor_ms(round(tokens)) / estimate.value
        return GateEstimate(against(estimate, plan, "ttft_short_ms", at_most=True), estimate, (), share)

    notes = [f"cold prompts of {_number(tokens)} tokens, {_proof(measurements)}"]
    if sum(s.in_one_piece for s in measurements) * 2 > len(measurements):
        notes.append("every answer comes in one piece: this is the time of the whole answer")
    late = [s.content_ms - s.ttft_ms for s in measurements if s.content_ms is not None and s.ttft_ms is not None]
    if late and medians.median(late) > 1.0:
        notes.append(
            f"the first spoken text comes {medians.median(late):.0f} ms after the first token (reasoning first)"
        )
    spoken = [s.sentence_ms for s in measurements if s.sentence_ms is not None]
    if spoken:
        notes.append(f"TTFS {medians.median(spoken):.0f} ms: the first spoken sentence is complete")
    early = [s.ttft_ms - s.role_ms for s in measurements if s.role_ms is not None and s.ttft_ms is not None]
    if early and medians.median(early) > 1.0:
        notes.append(f"a role chunk without a token comes {medians.median(early):.0f} ms before the first token")
    return confirm_gate(name, plan, capabilities, pairs, judge, lambda s: s.server_ttft_ms, notes=notes)


def _decode(name: str, measurements: Sequence[Measurement], plan: Plan, capabilities: Capabilities) -> TimingResult:
    rated, short = _rated(measurements)
    if len(rated) * 2 < len(measurements):
        cause = short or "the server reports no usage, so tokens cannot be counted"
        return error_row(name, plan, cause, len(measurements), "INCONCLUSIVE")

    def judge(pairs: Pairs) -> GateEstimate:
        estimate = rule.median_in_order([value for _, value in pairs])
        verdict = against(estimate, plan, "decode_tok_s", at_most=False)
        ceiling = _ceiling(plan, [s for s, _ in pairs])
        if ceiling is not None and estimate.value > ceiling:
            note = f"{estimate.value:.1f} tok/s beats the physical ceiling of {ceiling:.1f}: a wrong token count"
            return GateEstimate("ERROR", estimate, (note,), estimate.value / ceiling)
        return GateEstimate(verdict, estimate, (), None if ceiling is None else estimate.value / ceiling)

    notes = [f"answers of {_number(_median([s.completion_tokens for s, _ in rated]))} tokens", _counted(rated)]
    if short:
        notes.append(short)
    return confirm_gate(name, plan, capabilities, rated, judge, lambda s: s.server_rate, notes=notes)


def _ttft_cold(name: str, measurements: Sequence[Measurement], plan: Plan, capabilities: Capabilities) -> TimingResult:
    pairs = [(s, s.ttft_ms) for s in measurements if s.ttft_ms is not None]
    proven = all(s.cached is not None for s in measurements)

    def judge(pairs: Pairs) -> GateEstimate:
        groups = _groups(pairs)
        found = rule.shape_of(groups, plan.limits.get("ttft_quadratic_share"))
        linear, excess = found.verdict, found.excess
        per_token = rule.slope_of({x: values for x, values in groups.items() if x >= found.since})
        # A longer prompt cannot take less time, so a part of the interval below zero is impossible.
        value, low, high = (max(0.0, 1e3 * each) for each in (per_token.value, per_token.low, per_token.high))
        slope = Estimate(value, low, high, len(pairs))
        verdicts: tuple[Verdict, ...] = (against(slope, plan, "ttft_slope_ms_per_1k", at_most=True), linear)
        shape = "TTFT is linear in the prompt" if linear == "PASS" else "TTFT is not shown to be linear"
        if linear == "PASS" and found.since > min(groups):
            shape += f" from {found.since:.0f} tokens on, and shorter ones lie on a floor"
        if linear == "ERROR":
            shape = "TTFT stops growing with the prompt: the longest are truncated, or come out of a cache"
        elif slope.low <= 0:
            # Prefill always takes time. If prompts are proven cold, counted completely and above the floor, a flat
            # curve may be a fast machine; otherwise it is a cache.
            shape = "TTFT does not grow with the prompt"
            verdicts = (*verdicts, "PASS" if proven else "INCONCLUSIVE")
        note = (
            f"{shape}: {slope.value:.1f} ms per 1000 tokens, quadratic term {_percent(excess.value)} "
            f"({_percent(excess.low)} to {_percent(excess.high)}) at {max(groups):.0f} tokens"
        )
        if linear != "PASS" and len(groups) > 3:
            late = found.late
            note += f", over the three longest alone {_percent(late.value)} "
            note += f"({_percent(late.low)} to {_percent(late.high)})"
        share = plan.bounds.slope_floor_ms() / slope.value if plan.bounds is not None and slope.value > 0 else None
        return GateEstimate(worst(verdicts) or "INCONCLUSIVE", slope, (note,), share)

    notes = [_proof(measurements), *_read_first(capabilities)]
    return confirm_gate(name, plan, capabilities, pairs, judge, lambda s: s.server_ttft_ms, _points(pairs), notes)


def _ttft_warm(name: str, measurements: Sequence[Measurement], plan: Plan, capabilities: Capabilities) -> TimingResult:
    warm = [s for s in measurements if s.source == "warm"]
    pairs = [(s, s.ttft_ms) for s in warm if s.ttft_ms is not None]

    def judge(pairs: Pairs) -> GateEstimate:
        groups = _groups(pairs)
        slope, ratio = rule.slope_of(groups), rule.ratio_of(groups)
        us = Estimate(slope.value * 1e3, slope.low * 1e3, slope.high * 1e3, slope.n)
        verdict = (
            worst(
                (
                    against(us, plan, "warm_slope_us_per_token", at_most=True),
                    against(ratio, plan, "warm_ratio", at_most=True),
                )
            )
            or "INCONCLUSIVE"
        )
        note = f"{us.value:.2f} us per token ({us.low:.2f} to {us.high:.2f}), longest over shortest {ratio.value:.2f}"
        return GateEstimate(verdict, ratio, (note,))

    known = [s.cached for s in warm if s.cached is not None]
    if not known:
        note = "not proven warm: the server reports no cached_tokens"
    elif not any(known):
        note = "0 tokens came out of the prefix cache: prefix caching is off"
    else:
        left = [s.prompt_tokens - s.cached for s in warm if s.prompt_tokens is not None and s.cached is not None]
        note = f"at most {max(left)} tokens of a prompt computed again"
    known_so = [note, *_read_first(capabilities)]
    return confirm_gate(name, plan, capabilities, pairs, judge, lambda s: s.server_ttft_ms, _points(pairs), known_so)


def _read_first(capabilities: Capabilities) -> list[str]:
    """A note if TTFT includes other work that grows with the prompt."""
    return ["prompts are text, which the server's tokeniser reads first"] if capabilities.text_prompts else []


def _decode_flat(
    name: str, measurements: Sequence[Measurement], plan: Plan, capabilities: Capabilities
) -> TimingResult:
    rated, short = _rated(measurements)
    lengths = {s.context for s, _ in rated}
    if len(rated) * 2 < len(measurements) or len(lengths) < 2:
        cause = short or "the server reports no usage, so tokens cannot be counted"
        if lengths and not short:
            cause = f"all prompts have {lengths.pop()} tokens, and a slope needs two lengths"
        return error_row(name, plan, cause, len(measurements), "INCONCLUSIVE")

    def judge(pairs: Pairs) -> GateEstimate:
        ratio = rule.ratio_of(_groups(pairs))
        last = [s for s, _ in pairs if s.context == max(lengths)]
        ceiling = _ceiling(plan, last)
        at_end = medians.median([value for s, value in pairs if s.context == max(lengths)])
        if ceiling is not None and at_end > ceiling:
            note = f"{at_end:.1f} tok/s at {max(lengths)} tokens beats the physical ceiling of {ceiling:.1f}"
            return GateEstimate("ERROR", ratio, (note,), at_end / ceiling)
        verdict = against(ratio, plan, "decode_flat_ratio", at_most=False)
        return GateEstimate(verdict, ratio, (), None if ceiling is None else at_end / ceiling)

    notes = [f"decode rate at {max(lengths)} tokens over that at {min(lengths)}", _counted(rated)]
    return confirm_gate(name, plan, capabilities, rated, judge, lambda s: s.server_rate, _points(rated), notes)


def _stalls(name: str, measurements: Sequence[Measurement], plan: Plan, capabilities: Capabilities) -> TimingResult:
    whole = [s for s in measurements if (s.completion_tokens or LEAST_TOKENS) >= LEAST_TOKENS and not s.in_one_piece]
    long = [s for s in whole if len(s.gaps_ms) >= 2]
    if not long:
        return error_row(name, plan, "no answer came in three moments or more", len(measurements), "INCONCLUSIVE")
    pairs = [(s, sorted(s.gaps_ms)[-(-95 * len(s.gaps_ms) // 100) - 1]) for s in long]
    stall = plan.limits.get("stall_ms", float("inf"))
    every = [gap for s in long for gap in s.gaps_ms]
    stalled = sum(max(s.gaps_ms) > stall for s in long)

    def judge(pairs: Pairs) -> GateEstimate:
        estimate = rule.median_in_order([value for _, value in pairs])
        share = rule.share_of(stalled, len(pairs))
        verdict = (
            worst(
                (
                    against(estimate, plan, "itl_p95_ms", at_most=True),
                    against(share, plan, "stalled_share", at_most=True),
                )
            )
            or "INCONCLUSIVE"
        )
        note = f"{stalled} of {len(pairs)} answers stalled (true share at most {share.high:.1%})"
        return GateEstimate(verdict, estimate, (note,))

    p95 = rule.percentile(every, 0.95)
    pooled = "" if p95 is None else f", p95 of all {p95:.1f} ms"
    notes = [
        f"p95 of the gaps within an answer, median over answers{pooled}, longest of {len(every)} {max(every):.1f} ms"
    ]
    return confirm_gate(name, plan, capabilities, pairs, judge, lambda _: None, notes=notes)


def _tool_call(name: str, measurements: Sequence[Measurement], plan: Plan, capabilities: Capabilities) -> TimingResult:
    made = [s for s in measurements if s.call_ms is not None]
    if not made:
        cause = f"none of {len(measurements)} answers held a complete tool call; the tool-calling gate judges that"
        return error_row(name, plan, cause, len(measurements), "INCONCLUSIVE")
    # An answer without a call counts with the time limit of a request.
    pairs = [(s, plan.timeout * 1e3 if s.call_ms is None else s.call_ms) for s in measurements]

    def judge(pairs: Pairs) -> GateEstimate:
        estimate = rule.median_in_order([value for _, value in pairs])
        return GateEstimate(against(estimate, plan, "tool_call_ms", at_most=True), estimate)

    def server(s: Measurement) -> float | None:
        if s.call_ms is None or s.ttft_ms is None or s.server_ttft_ms is None:
            return None
        return s.call_ms - s.ttft_ms + s.server_ttft_ms

    notes = [f"a complete call in {len(made)} of {len(measurements)} answers; the others count as {plan.timeout:g} s"]
    if len(made) == len(measurements):
        notes = [f"a complete call in all {len(measurements)} answers"]
    notes.append(
        f"prompts of {_number(_median([s.prompt_tokens for s in measurements]))} tokens, {_proof(measurements)}"
    )
    return confirm_gate(name, plan, capabilities, pairs, judge, server, notes=notes)


def _goodput(name: str, measurements: Sequence[Measurement], plan: Plan, capabilities: Capabilities) -> TimingResult:
    ttft, decode = plan.limits.get("goodput_ttft_ms"), plan.limits.get("goodput_decode_tok_s")

    def good(s: Measurement) -> bool:
        fast = ttft is None or (s.ttft_ms is not None and s.ttft_ms <= ttft)
        return fast and (decode is None or s.rate is None or s.counting == "guessed" or s.rate >= decode)

    pairs = [(s, float(good(s))) for s in measurements]

    def judge(pairs: Pairs) -> GateEstimate:
        estimate = rule.share_of(round(sum(value for _, value in pairs)), len(pairs))
        return GateEstimate(against(estimate, plan, "goodput_share", at_most=False), estimate)

    rates = [s.rate for s in measurements if s.rate is not None and s.counting != "guessed"]
    notes = [
        f"{plan.streams} streams at once, share of requests with TTFT <= {ttft} ms and >= {decode} tok/s",
        f"median TTFT {medians.median([s.ttft_ms for s in measurements if s.ttft_ms is not None]):.0f} ms",
    ]
    if rates:
        notes.append(f"median {medians.median(rates):.1f} tok/s a stream")
    else:
        notes.append("decode rate not judged: the server reports no usage")
    return confirm_gate(name, plan, capabilities, pairs, judge, lambda _: None, notes=notes)


_JUDGES: dict[str, Callable[[str, Sequence[Measurement], Plan, Capabilities], TimingResult]] = {
    "ttft_short": _ttft_short,
    "ttft_cold": _ttft_cold,
    "ttft_warm": _ttft_warm,
    "decode": _decode,
    "decode_flat": _decode_flat,
    "stalls": _stalls,
    "tool_call": _tool_call,
    "goodput": _goodput,
}


def _rated(measurements: Sequence[Measurement]) -> tuple[list[tuple[Measurement, float]], str]:
    """Measurements with a decode rate, and a note about the others."""
    rated = [
        (s, s.rate)
        for s in measurements
        if s.rate is not None
        and s.counting != "guessed"
        and not s.in_one_piece
        and s.completion_tokens is not None
        and s.completion_tokens >= LEAST_TOKENS
    ]
    counted = [s for s in measurements if s.completion_tokens is not None and s.counting != "guessed"]
    few = len(counted) - len(rated)
    return rated, f"{few} of {len(measurements)} answers under {LEAST_TOKENS} tokens or in one piece" if few else ""


def _counted(pairs: Pairs) -> str:
    how = {s.counting for s, _ in pairs}
    if how == {"usage"}:
        return "tokens counted by continuous usage"
    if how <= {"usage", "chunks"}:
        return "one token per chunk, confirmed by usage"
    if how <= {"usage", "chunks", "asked"}:
        return "one token per chunk, and max_tokens in total: the server reports no usage"
    if "pair" in how:
        return "several tokens a chunk, uncounted: those of the first from answers of two lengths"
    return "several tokens a chunk, uncounted: those of the first chunk estimated by its share of the text"


def _proof(measurements: Sequence[Measurement]) -> str:
    """Whether the cold prompts are proven cold."""
    cold = [s for s in measurements if s.source != "warm"]
    known = [s.cached for s in cold if s.cached is not None]
    if len(known) < len(cold):
        return f"{len(known)} of {len(cold)} proven cold: the server reports no cached_tokens for the rest"
    return f"all {len(cold)} proven cold, cached_tokens <= {max(known)}"


def _ceiling(plan: Plan, measurements: Sequence[Measurement]) -> float | None:
    if plan.bounds is None:
        return None
    context = _median([s.prompt_tokens for s in measurements]) or 0
    steps = medians.median([_tokens_per_step(s) for s in measurements])
    return plan.bounds.decode_ceiling(round(context), steps)


def _tokens_per_step(s: Measurement) -> float:
    """Tokens per pass over the weights, from the server's counters of drafts; otherwise an upper bound.

    Without counters, all tokens of one read may come from one step of speculative decoding, which an upper bound must
    allow for.
    """
    if s.server_metrics is not None and s.server_metrics.prompt_tokens is not None:
        return s.server_metrics.tokens_per_step
    return max(1.0, ((s.completion_tokens or 1) - 1) / len(s.gaps_ms)) if s.gaps_ms else 1.0


def _groups(pairs: Pairs) -> dict[float, list[float]]:
    """Values by prompt length: the requested length, or the median of the server's counts."""
    by: dict[int, list[tuple[Measurement, float]]] = {}
    for s, value in pairs:
        by.setdefault(s.context, []).append((s, value))
    return {
        (_median([s.prompt_tokens for s, _ in group]) or context): [value for _, value in group]
        for context, group in sorted(by.items())
    }


def _points(pairs: Pairs) -> tuple[tuple[float, ...], ...]:
    found = []
    for context, values in _groups(pairs).items():
        estimate = rule.median_of(values)
        found.append((float(context), estimate.value, estimate.low, estimate.high, float(estimate.n)))
    return tuple(found)


def _median(values: Sequence[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return medians.median(known) if known else None


def _number(value: float | None) -> str:
    return "an unknown number of" if value is None else f"{value:.0f}"


def _percent(share: float) -> str:
    return f"{round(share * 100) + 0}%"
