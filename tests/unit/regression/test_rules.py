"""The rules of a comparison, each at its limit: gates, nights, timings, and what is said of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.errors import UsageError
from annie_eval.gates.decide import RunVerdict
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.verdicts import ComparisonVerdict
from annie_eval.profile import diff
from annie_eval.profile.load import load as load_profile
from annie_eval.profile.types import Verdict
from annie_eval.regression import determinism, diagnosis, timings
from annie_eval.regression.baseline import bless
from annie_eval.regression.compare import _judged, compare_gates, compare_run_data, overall
from annie_eval.regression.compare_runs import Comparison, with_regression
from annie_eval.regression.diagnosis import Trace, diagnose
from annie_eval.regression.result import GatePair, Regression, TimingPair, from_dict
from annie_eval.regression.run_data import AnsweredSample, RecordedReply, RunData
from annie_eval.regression.timings import Noise, compare_timings, noise, taken
from annie_eval.run import verdict_json
from annie_eval.run.store import Store
from tests.support.finished_run import FINGERPRINT

MISS = (Finding("markdown", "bold text"),)
GATE = GatePair(
    "g", "INCONCLUSIVE", n=20, scenarios=20, before=18, now=12, worse=tuple("abcdefg"), better=("h",), p=0.03,
    adjusted=1.0, margin=0.1, p_margin=1.0,
)  # fmt: skip
SURE, UNSURE = 0.05, 0.0501
FAILS = "18/20 -> 12/20, 7 worse and 1 better"
OPEN = "18/20 -> 12/20, a loss of 10 % is not ruled out"


@pytest.mark.parametrize(
    ("fields", "verdict", "detail"),
    [
        ({}, "INCONCLUSIVE", OPEN),
        ({"margin": 0.125}, "INCONCLUSIVE", OPEN.replace("10 %", "12.5 %")),
        ({"adjusted": UNSURE, "p_margin": UNSURE}, "INCONCLUSIVE", OPEN),
        ({"p_margin": SURE}, "PASS", ""),
        ({"adjusted": SURE}, "FAIL", FAILS),
        ({"adjusted": SURE, "own_margin": True}, "FAIL", FAILS),
        ({"adjusted": SURE, "p_margin": SURE}, "FAIL", FAILS),
        ({"adjusted": SURE, "p_margin": UNSURE, "own_margin": True}, "FAIL", FAILS),
        ({"adjusted": SURE, "p_margin": SURE, "own_margin": True}, "PASS", "worse, but by less than the margin"),
        ({"adjusted": SURE, "broken": ("x",), "missing": 1}, "FAIL", FAILS),
        ({"p_margin": SURE, "broken": ("x", "y"), "missing": 1}, "ERROR", "2 of 22 samples broke"),
        (
            {"p_margin": SURE, "missing": 3},
            "INCONCLUSIVE",
            "3 samples of the baseline were not asked or not answered",
        ),
        ({"n": 0}, "INCONCLUSIVE", "no sample was judged in both runs"),
        ({"n": 0, "broken": ("x",)}, "ERROR", "1 of 1 samples broke"),
        ({"n": 0, "missing": 2}, "INCONCLUSIVE", "2 samples of the baseline were not asked or not answered"),
        ({"nights": 1, "nights_passed": 12, "nights_n": 20}, "INCONCLUSIVE", OPEN),
        (
            {"nights": 2, "nights_passed": 25, "nights_n": 40, "adjusted": SURE},
            "FAIL",
            "18/20 -> 12/20 (25/40 in 2 nights), 7 worse and 1 better",
        ),
    ],
)  # fmt: skip
def test_the_verdict_of_a_gate(fields: dict[str, Any], verdict: str, detail: str) -> None:
    gate = replace(GATE, **fields)
    assert _judged(gate) == replace(gate, verdict=verdict, detail=detail)


def row(verdict: ComparisonVerdict, *, judged: bool = True) -> TimingPair:
    return TimingPair("decode", verdict, "tok/s", 30.0, 20.0, 9, 9, 1.5, (1.4, 1.6), 1.15, judged)


@pytest.mark.parametrize(
    ("gates", "rows", "verdict"),
    [
        (["PASS", "PASS"], [], "PASS"),
        (["PASS", "INCONCLUSIVE"], [], "INCONCLUSIVE"),
        (["ERROR", "INCONCLUSIVE"], [], "ERROR"),
        (["ERROR", "FAIL"], [], "FAIL"),
        (["PASS"], [row("FAIL")], "FAIL"),
        (["PASS"], [row("FAIL", judged=False)], "PASS"),
        ([], [row("PASS")], "INCONCLUSIVE"),
        ([], [], "INCONCLUSIVE"),
    ],
)
def test_the_verdict_of_a_comparison_is_the_worst_of_what_is_judged(
    gates: list[ComparisonVerdict], rows: list[TimingPair], verdict: str
) -> None:
    assert overall([replace(GATE, verdict=each) for each in gates], rows) == verdict


def test_what_an_older_verdict_lacks() -> None:
    defaults = {
        "own_margin": False, "detail": "", "broken": (), "alone": 0, "missing": 0, "nights": 0, "nights_passed": 0,
        "nights_n": 0, "p_nights": 1.0,
    }  # fmt: skip
    assert replace(GATE, **defaults) == GATE
    assert (row("PASS").judged, row("PASS").detail) == (True, "")
    assert TimingPair("decode", "PASS", "tok/s", 3.0, 2.0, 9, 9, 1.5, (1.4, 1.6), 1.15).judged
    assert Regression("PASS", "", {}) == Regression("PASS", "", {}, (), (), (), (), (), (0, 0), ())
    assert Trace("x") == Trace("x", refuses=False, fails=False)


def test_the_flips_of_a_gate_are_those_of_the_aa_run() -> None:
    told = Regression("PASS", "", {"flips": {"g": [2, 1, 25]}})
    assert (told.floor("g"), told.floor("h")) == ("2 worse, 1 better of 25", "")
    assert Regression("PASS", "", {"flips": None}).floor("g") == Regression("PASS", "", {}).floor("g") == ""


# --- runs -----------------------------------------------------------------------------------------------------------


def judged(gate: str, outcomes: str) -> dict[str, Judgement]:
    keys = [f"{gate}-{i:02}.unstreamed.off" for i in range(len(outcomes))]
    return {key: Judgement(gate, key, () if each == "p" else MISS) for key, each in zip(keys, outcomes, strict=True)}


def run(**gates: str) -> RunData:
    return RunData(Path("run"), "run", {}, {gate: judged(gate, outcomes) for gate, outcomes in gates.items()}, {})


def notes(before: RunData, now: RunData, earlier: Sequence[Any] | None = None) -> tuple[str, ...]:
    found = compare_run_data(before, now, baseline={"name": "b"}, noise=Noise({}, True), earlier=earlier)
    return tuple(note for note in found.notes if "would decide" in note)


def test_what_would_decide_is_said_of_an_open_comparison_of_two_runs() -> None:
    before, few = run(g="p" * 10, h="p" * 40), run(g="fppppppppp", h="p" * 40)
    (said,) = notes(before, few)
    assert "if they change as often as these: g about " in said
    assert " instead of 10. --repeats helps little" in said
    assert notes(before, few, []) == ()  # a night goes on with the nights that follow
    assert notes(before, before) == ()
    assert notes(before, run(g="fppppppppp", h="f" * 20 + "p" * 20)) == ()  # FAIL, though g is open


def test_one_night_is_no_row_of_nights() -> None:
    """The count over nights stands in the detail from the second night on."""
    before, worse = {"g": judged("g", "p" * 20)}, {"g": judged("g", "f" * 12 + "p" * 8)}
    (one,) = compare_gates(before, worse, {}, frozenset(), [])
    assert (one.verdict, one.nights, one.detail) == ("FAIL", 1, "20/20 -> 8/20, 12 worse and 0 better")
    (two,) = compare_gates(before, worse, {}, frozenset(), [before])
    assert (two.nights, two.nights_n, two.nights_passed) == (2, 40, 28)
    assert two.detail == "20/20 -> 8/20 (28/40 in 2 nights), 12 worse and 0 better"


def test_samples_that_the_baseline_lacks_are_no_evidence_in_a_night() -> None:
    before, now = {"g": judged("g", "p" * 12)}, judged("g", "f" * 6 + "p" * 6)
    more = {**now, **judged("g", "f" * 6 + "p" * 14)}
    (found,) = compare_gates(before, {"g": more}, {}, frozenset(), [])
    (alone,) = compare_gates(before, {"g": now}, {}, frozenset(), [])
    assert (found.p, found.adjusted, found.alone) == (alone.p, alone.adjusted, 8)


@pytest.mark.parametrize(("gates", "more"), [(4, ""), (5, "; and 1 more"), (6, "; and 2 more")])
def test_a_headline_has_four_of_the_gates_that_are_worse(gates: int, more: str) -> None:
    names = [f"g{i}" for i in range(gates)]
    before, now = (run(**dict.fromkeys(names, outcomes)) for outcomes in ("p" * 20, "f" * 20))
    found = compare_run_data(before, now, baseline={"name": "b"}, noise=Noise({}, True))
    worse = "; ".join(f"{name} 20/20 -> 0/20, 20 worse and 0 better" for name in names[:4])
    assert found.headline == f'FAIL against "b": nothing known of the server changed; worse: {worse}{more}'


def test_what_the_profile_changed_is_not_said_of_the_server_as_well() -> None:
    def made(temperature: float, parser: str, version: str) -> RunData:
        fingerprint = {"sampling": {"temperature": temperature}, "tool_parser": parser, "server_version": version}
        snapshot = {"sampling": {"temperature": temperature}, "serving": {"tool_parser": parser}}
        return replace(run(g="p"), facts={"fingerprint": fingerprint, "profile_snapshot": snapshot})

    found = compare_run_data(
        made(0.0, "hermes", "0.31"), made(1.0, "xlam", "0.32"), baseline={"name": "b"}, noise=Noise({}, True)
    )
    assert found.refused == ("sampling.temperature 0.0 -> 1.0", "serving.tool_parser hermes -> xlam")
    assert found.changed == ("the server's version changed (0.31 -> 0.32)",)


@pytest.mark.parametrize(
    ("gates", "comparison", "both"),
    [
        ("PASS", "PASS", "PASS"),
        ("PASS", "INCONCLUSIVE", "INCONCLUSIVE"),
        ("PASS", "FAIL", "FAIL"),
        ("FAIL", "PASS", "FAIL"),
        ("INCONCLUSIVE", "ERROR", "ERROR"),
        ("PASS", "REFUSED", "PASS"),
        ("FAIL", "REFUSED", "FAIL"),
    ],
)
def test_the_verdict_of_a_run_and_its_comparison_is_the_worse_of_both(
    gates: Verdict, comparison: ComparisonVerdict, both: Verdict
) -> None:
    found = Regression(comparison, "", {"name": "b"})
    assert with_regression(RunVerdict(gates), found) == RunVerdict(both, regression=found.as_dict())


# --- timings --------------------------------------------------------------------------------------------------------


def ends(monkeypatch: pytest.MonkeyPatch, low: float, high: float) -> None:
    monkeypatch.setattr(timings.medians, "median_ratio_interval", lambda *_: (1.2, low, high))


@pytest.mark.parametrize(
    ("low", "high", "verdict", "detail"),
    [
        (1.0, 1.375, "PASS", ""),  # the noise and 10 %
        (1.25, 1.375, "PASS", ""),
        (1.0, 1.376, "INCONCLUSIVE", "up to 1.38 times as slow cannot be ruled out"),
        (1.0, 1.4, "INCONCLUSIVE", "up to 1.40 times as slow cannot be ruled out"),
        (1.25, 2.0, "INCONCLUSIVE", "up to 2.00 times as slow cannot be ruled out"),
        (1.251, 1.3, "FAIL", "at least 1.25 times as slow, where chance explains 1.25"),
    ],
)
@pytest.mark.parametrize("rows", [("decode", 30.0, 30.0), ("ttft_short", 90.0, 95.1)])
def test_a_timing_fails_beyond_the_noise_and_passes_within_ten_percent_more(
    rows: tuple[str, float, float], low: float, high: float, verdict: str, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends(monkeypatch, low, high)
    name, old, new = rows
    (found,) = compare_timings({name: [old] * 9}, {name: [new] * 8}, Noise({name: 1.25}, True))
    unit = "tok/s" if name == "decode" else "ms"
    assert found == TimingPair(name, verdict, unit, old, new, 9, 8, 1.2, (low, high), 1.25, True, detail)  # type: ignore[arg-type]


@pytest.mark.parametrize(("later", "verdict"), [(5.0, "PASS"), (5.1, "FAIL"), (-5.1, "PASS")])
def test_five_milliseconds_are_inaudible(later: float, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ends(monkeypatch, 1.5, 1.6)
    (found,) = compare_timings({"tool_call": [20.0] * 8}, {"tool_call": [20.0 + later] * 8}, Noise({}, True))
    assert (found.verdict, found.noise) == (verdict, 1.15)


@pytest.mark.parametrize(("old", "new", "compared"), [(8, 8, True), (7, 8, False), (8, 7, False), (100, 0, False)])
def test_eight_measurements_of_each_run_are_compared(old: int, new: int, compared: bool) -> None:
    assert bool(compare_timings({"decode": [30.0] * old}, {"decode": [30.0] * new}, Noise({}, True))) == compared


@pytest.mark.parametrize(
    ("low", "high", "halves", "twice"),
    [
        (0.99, 1.01, 1.15, 1.05),
        (0.9, 1.04, 1.15, 1 / 0.9),
        (0.5, 1.9, 2.0, 2.0),
        (0.6, 2.5, 2.5, 2.5),
        (1.1, 1.2, 1.2, 1.2),
        (0.8, 0.9, 1.25, 1.25),
    ],
)
def test_the_noise_is_the_end_that_is_further_from_one(
    low: float, high: float, halves: float, twice: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends(monkeypatch, low, high)
    rows = {"decode": [30.0] * 8}
    of_halves, of_two = noise(rows, None), noise(rows, rows)
    assert (of_halves.floors, of_halves.aa) == ({"decode": pytest.approx(halves)}, False)
    assert (of_two.floors, of_two.aa) == ({"decode": pytest.approx(twice)}, True)


@pytest.mark.parametrize(
    ("first", "second", "known"),
    [(8, None, True), (7, None, False), (9, None, True), (8, 8, True), (7, 8, False), (8, 7, False), (8, 0, False)],
)
def test_the_noise_needs_eight_measurements_of_each_run_or_of_both_halves(
    first: int, second: int | None, known: bool
) -> None:
    again = None if second is None else {"decode": [30.0] * second}
    assert set(noise({"decode": [30.0] * first}, again).floors) == ({"decode"} if known else set())


def test_a_row_that_the_second_run_lacks_has_no_noise() -> None:
    assert noise({"decode": [30.0] * 8}, {}) == Noise({}, True)


def test_the_halves_of_a_run_are_the_first_and_the_last_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """How much slower the second half is: more milliseconds, or fewer tokens in a second."""
    given: list[Any] = []

    def keep(top: Sequence[float], bottom: Sequence[float], confidence: float) -> tuple[float, float, float]:
        given.append((list(top), list(bottom), confidence))
        return 1.0, 1.0, 1.0

    monkeypatch.setattr(timings.medians, "median_ratio_interval", keep)
    values = [float(i) for i in range(1, 10)]
    noise({"ttft_short": values, "decode": values}, None)
    assert given == [(values[4:], values[:4], 0.998), (values[:4], values[4:], 0.998)]


@pytest.mark.parametrize(
    ("n", "kept"),
    [
        (121, [float(i) for i in range(121)]),
        (241, [float(i) for i in range(0, 241, 2)]),
        (122, [float(round(i * 121 / 120)) for i in range(121)]),
    ],
)
def test_of_many_measurements_121_are_compared(n: int, kept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        timings.medians, "median_ratio_interval", lambda *each: given.append(each[:2]) or (1.0, 1.0, 1.0)
    )
    values = [float(i) for i in range(n)]
    compare_timings({"tool_call": values[::-1]}, {"tool_call": values}, Noise({}, True))
    (((new, old)),) = given
    assert list(new) == sorted(old) == kept


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ({}, False),
        ({"ttft_short": [1.0] * 7}, False),
        ({"ttft_short": [1.0] * 8}, True),
        ({"decode": [1.0], "tool_call": [1.0] * 8}, True),
        ({"ttft_under_load": [1.0] * 8, "decode_under_load": [1.0] * 8}, False),
    ],
)
def test_timings_of_a_quiet_server_can_be_compared(rows: dict[str, list[float]], found: bool) -> None:
    assert taken(rows) == found


# --- answers --------------------------------------------------------------------------------------------------------


def said(content: str | None = "Rome.", *names: str, reasoning: str | None = None) -> RecordedReply:
    return RecordedReply(content, reasoning, tuple((name, "{}") for name in names), "stop")


def answered(n: int, *replies: RecordedReply) -> dict[str, AnsweredSample]:
    keys = [f"s-{i}.unstreamed.off" for i in range(n)]
    return {key: AnsweredSample(key, key, key, 70, replies, ("search", "stop")) for key in keys}


@pytest.mark.parametrize(
    ("before", "now", "fails"),
    [
        ([said(reasoning="Hm.")], [said("<think>Hm.</think>Rome.")], True),
        ([said()], [said("<think>Hm.</think>Rome.")], False),
    ],
    ids=["thought before", "thought nothing"],
)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_two_samples_that_speak_their_thoughts_show_a_lost_parser(
    n: int, before: list[RecordedReply], now: list[RecordedReply], fails: bool
) -> None:
    told = f"the reasoning parser was lost or is another: in {n} of {n} samples thinking tags come in the spoken text"
    assert diagnose(answered(n, *before), answered(n, *now)) == [Trace(told, fails=fails and n > 1)]


def test_a_reply_with_another_number_of_calls_does_not_hide_a_tool_that_was_renamed() -> None:
    before = answered(3, said(None, "stop"), said(None, "search"))
    now = answered(3, said(None, "stop", "stop"), said(None, "find"))
    assert [trace.description for trace in diagnose(before, now)] == [
        "tool search is called find now (3 of 3 calls, not offered)"
    ]


CUT = RecordedReply("Rome", None, (), "length")


@pytest.mark.parametrize(("more", "fewer", "told"), [(10, 0, True), (9, 0, False), (15, 2, False), (16, 2, True)])
def test_answers_end_otherwise_below_a_chance_of_one_in_a_thousand(more: int, fewer: int, told: bool) -> None:
    """McNemar: 2^-10 is 0.00098 and 2^-9 is 0.00195; of 17, two or fewer have 0.00117, of 18 0.00066."""
    n = more + fewer
    before = {**answered(n, said()), **answered(fewer, CUT)}
    now = {**answered(n, CUT), **answered(fewer, said())}
    expected = f"{more} of {n} answers are cut off by their token limit, which were not before"
    assert diagnose(before, now) == ([Trace(expected, fails=True)] if told else [])


def test_a_raised_temperature_is_said_before_all_else_that_answers_show() -> None:
    def made(reply: RecordedReply, *distinct: int) -> RunData:
        facts = {"steadiness": {"questions": 3, "distinct": distinct}}
        return RunData(Path("run"), "run", facts, {"g": judged("g", "p" * 20)}, answered(20, reply))

    found = compare_run_data(made(said(), 1, 1, 1), made(CUT, 4, 4, 4), baseline={"name": "b"}, noise=Noise({}, True))
    assert [each.partition(",")[0] for each in found.changed] == [
        "the temperature was raised: 3 questions",
        "20 of 20 answers are cut off by their token limit",
    ]
    assert (found.verdict, found.headline.rpartition("; ")[2]) == (
        "FAIL",
        "no gate of 1 is worse beyond chance, but this is another server",
    )


def test_one_reply_of_two_is_an_answer() -> None:
    """An answer is empty if all its replies are."""
    assert diagnose(answered(20, said()), answered(20, said(""), said())) == []
    told = "20 of 20 answers are empty, which were not before"
    assert Trace(told, fails=True) in diagnose(answered(20, said()), answered(20, said(""), said(None)))


@pytest.mark.parametrize(("p", "told"), [(0.001, False), (0.00099, True)])
def test_questions_answered_in_two_ways_are_said_below_a_chance_of_one_in_a_thousand(
    p: float, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "fisher", lambda *_: p)

    def twins(other: str) -> dict[str, AnsweredSample]:
        streamed = AnsweredSample("a.stream.off", "a", "a", 70, (said(other),))
        return {
            "a.unstreamed.off": replace(streamed, key="a.unstreamed.off", replies=(said(),)),
            streamed.key: streamed,
        }

    found = diagnose(twins("Rome."), twins("It is Rome."))
    expected = (
        "the temperature was raised, or sampling changed: 1 of 1 questions that are sent twice are answered in two"
        " ways (before: 0)"
    )
    assert found == ([Trace(expected)] if told else [])


def test_thoughts_in_one_of_two_replies_are_spoken() -> None:
    before = answered(3, said(reasoning="Hm."), said(reasoning="Hm."))
    (found,) = diagnose(before, answered(3, said("<think>Hm.</think>Rome."), said()))
    assert found.description.endswith("in 3 of 3 samples thinking tags come in the spoken text")


READABLE = said('<tool_call>{"name": "search", "arguments": {}}</tool_call>')
BROKEN = said('<tool_call>{"name": "search", "arguments": {</tool_call>')


@pytest.mark.parametrize(
    ("replies", "said_of_it"),
    [
        ((READABLE, READABLE), "the tool parser was lost or is another"),
        ((READABLE, BROKEN), "the tool parser was lost or is another"),
        ((BROKEN, READABLE), "the tool parser was lost or is another"),
        ((BROKEN, BROKEN), "tool calls are written with broken JSON or tags, which no parser reads"),
    ],
)
def test_a_sample_with_a_readable_call_in_its_text_shows_a_lost_parser(
    replies: tuple[RecordedReply, RecordedReply], said_of_it: str
) -> None:
    found = diagnose(answered(3, said(None, "search"), said(None, "search")), answered(3, *replies))
    assert [trace.description.partition(":")[0] for trace in found] == [said_of_it]


# --- a run against its baseline -------------------------------------------------------------------------------------


def test_a_run_is_checked_and_compared_with_its_baseline(
    make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile, runs = load_profile("annie"), tmp_path / "runs"
    snapshot = {**diff.snapshot(profile), "digest": profile.digest}
    names = dict.fromkeys((f"s-{i:02}" for i in range(30)), True)
    bless(make_run("a", names, snapshot=snapshot), "deployed", runs / "baselines")
    comparison = Comparison("deployed", runs, profile)
    comparison.check(FINGERPRINT)
    with pytest.raises(UsageError, match=r"--baseline deployed: REFUSED, nothing to compare: the sampling changed"):
        comparison.check({**FINGERPRINT, "sampling": {"temperature": 1.0}})
    with pytest.raises(
        UsageError, match=r"--baseline deployed: REFUSED, nothing to compare: the system prompt changed"
    ):
        Comparison("deployed", runs, replace(profile, system_prompt="You are somebody else.", digest="x"))

    for digest, refused in ((profile.digest, ""), ("d1", f"the profile changed (d1 -> {profile.digest[:8]})")):
        older = make_run(f"without a snapshot {digest}", names, snapshot={**snapshot, "digest": digest})
        with closing(Store(older)) as store:
            store.set_meta(profile_snapshot={})
        bless(older, "older", runs / "baselines")
        with pytest.raises(UsageError, match=re.escape(refused)) if refused else nullcontext():
            Comparison("older", runs, profile)

    worse = make_run("b", dict.fromkeys(names, False), snapshot=snapshot)
    steps: list[str] = []
    progress = SimpleNamespace(enter=steps.append, begin_step=steps.append)
    target = SimpleNamespace(base_url="http://x/v1", served_model="annie")
    spec = SimpleNamespace(api_key=lambda: "key")
    steady = {"questions": 3, "asked": 12, "distinct": [1, 1, 1], "odd": 0}
    asked: list[Any] = []
    monkeypatch.setattr(determinism, "probe", lambda *given: asked.append(given) or steady)
    store = Store(worse)
    made: Any = SimpleNamespace(target=target, spec=spec, progress=progress, store=store, dir=worse)
    verdict = comparison.finish(made, RunVerdict("PASS"))
    assert asked == [(profile, store, "http://x/v1", "annie", "key")]
    assert (store.all_meta()["steadiness"], store.all_meta()["verdict"]) == (steady, "FAIL")
    store.close()
    assert (verdict.verdict, verdict.regression["verdict"]) == ("FAIL", "FAIL")
    written = verdict_json.load(worse / "verdict.json")
    assert (written.verdict, from_dict(written.regression)) == ("FAIL", from_dict(verdict.regression))
    assert steps[0] == "comparison"
