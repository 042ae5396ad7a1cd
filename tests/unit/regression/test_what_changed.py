"""Each planted change is named, and changes that make runs incomparable are refused."""

from __future__ import annotations

import asyncio
import copy
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.diff import differences, snapshot
from annie_eval.profile.load import load as load_profile
from annie_eval.regression import determinism, timings
from annie_eval.regression.baseline import load
from annie_eval.regression.compare_runs import against
from annie_eval.regression.result import Regression
from annie_eval.run.store import Store
from annie_eval.serving import fingerprint_diff
from tests.support.finished_run import FINGERPRINT, SNAPSHOT, body

NAMES = [f"s-{i:02}" for i in range(10)]
ALL = dict.fromkeys(NAMES, True)


def compared(baseline: Path, run: Path) -> Regression:
    return against(load(str(baseline), baseline.parent, baseline.parent), run)


def of(answer: Any) -> dict[str, bytes]:
    return dict.fromkeys(NAMES, answer)


# What the files and flags say.

LOCAL: dict[str, Any] = {
    **FINGERPRINT,
    "weights": "aaaa",
    "chat_template": "tttt",
    "quantization": None,
    "arguments": ["--tool-call-parser", "hermes", "--max-num-seqs=8", "--enforce-eager"],
}


def changed(**facts_now: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = fingerprint_diff.between(LOCAL, {**LOCAL, **facts_now})
    return found.compared, found.refused


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"weights": "bbbb"}, "the weights changed (aaaa -> bbbb)"),
        ({"server_version": "0.33.0"}, "the server's version changed (0.32.0 -> 0.33.0)"),
        ({"quantization": "NVFP4"}, "the quantisation changed (none -> NVFP4)"),
        ({"arguments": ["--tool-call-parser", "hermes", "--max-num-seqs=4", "--enforce-eager"]}, "--max-num-seqs"),
        ({"arguments": ["--tool-call-parser", "hermes", "--max-num-seqs=8"]}, "--enforce-eager was lost"),
    ],
)
def test_other_weights_version_and_flags_are_what_is_compared(now: dict[str, Any], message: str) -> None:
    compared_, refused = changed(**now)
    assert any(message in each for each in compared_)
    assert refused == ()


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"chat_template": "uuuu"}, "the chat template changed (tttt -> uuuu)"),
        ({"sampling": {"temperature": 0.9}}, "the sampling changed (temperature 0.0 -> 0.9)"),
        (
            {"arguments": ["--max-num-seqs=8", "--enforce-eager"]},
            "the tool parser changed: server flag --tool-call-parser was",
        ),
        (
            {"arguments": [*LOCAL["arguments"], "--override-generation-config", '{"temperature": 1}']},
            "the sampling changed",
        ),
        ({"arguments": [*LOCAL["arguments"], "--chat-template", "x.jinja"]}, "the chat template changed"),
    ],
)
def test_another_template_sampling_or_parser_refuses(now: dict[str, Any], message: str) -> None:
    _, refused = changed(**now)
    assert any(message in each for each in refused), refused


def test_equal_fingerprints_and_reordered_flags_are_no_difference() -> None:
    reordered = ["--enforce-eager", "--max_num_seqs", "8", "--tool-call-parser=hermes"]
    assert fingerprint_diff.between(LOCAL, {**LOCAL, "arguments": reordered}) == fingerprint_diff.Differences()


def test_a_server_at_a_url_is_not_blamed_for_what_it_does_not_tell() -> None:
    remote = {**FINGERPRINT, "tool_parser": None, "chat_template_kwargs": None, "max_model_len": 8192}
    assert fingerprint_diff.between({**remote, "tool_parser": "hermes"}, remote) == fingerprint_diff.Differences()


def test_checkpoints_are_told_apart_by_their_files_and_servers_by_the_path_that_they_name() -> None:
    here, there = {"root": "/a"}, {"root": "/b"}
    assert fingerprint_diff.between({**LOCAL, **here}, {**LOCAL, **there}) == fingerprint_diff.Differences()
    remote = fingerprint_diff.between({**LOCAL, **here}, {**FINGERPRINT, **there})
    assert remote.compared == ("the served path changed (/a -> /b)",)


# What the profile says.


def edited(edit: str, value: Any) -> dict[str, Any]:
    now = copy.deepcopy(SNAPSHOT)
    at: Any = now
    *path, last = edit.split(".")
    for part in path:
        at = at[part]
    at[last] = value
    return now


@pytest.mark.parametrize(
    ("edit", "value", "message"),
    [
        ("system_prompt", "You are Bob.", "the system prompt changed"),
        ("sampling.temperature", 0.7, "sampling.temperature 0.0 -> 0.7"),
        ("serving.tool_parser", None, "serving.tool_parser hermes -> none"),
        ("limits.max_sentences", 9, "limits.max_sentences 3 -> 9"),
        ("scenarios.s-01.turns", [{"user": "Hi?", "expect": {}}], "the text of 1 scenario changed (s-01)"),
        (
            "scenarios.s-01.turns",
            [{"user": "Hello?", "expect": {"calls": []}}],
            "the expectations of 1 scenario changed",
        ),
        ("scenarios.s-02", {"turns": []}, "1 scenario new (s-02)"),
        ("gates.g.detectors", ["silence"], "gates.g.detectors[0] markdown -> silence"),
        ("gates.h", {}, "gate h is new"),
    ],
)
def test_a_difference_between_profiles_is_named(edit: str, value: Any, message: str) -> None:
    assert any(message in each for each in differences(SNAPSHOT, edited(edit, value)))


def test_a_renamed_tool_is_called_renamed() -> None:
    now = copy.deepcopy(SNAPSHOT)
    tool = now["tools"].pop("look_up")
    now["tools"]["search"] = {"function": {**tool["function"], "name": "search"}}
    assert differences(SNAPSHOT, now) == ["tool look_up was renamed to search"]


@pytest.mark.parametrize(
    ("edit", "value"), [("gates.g.margin", 0.2), ("gates.g.required", 5), ("gates.g.baseline", {})]
)
def test_bars_and_margins_do_not_make_another_profile(edit: str, value: Any) -> None:
    assert differences(SNAPSHOT, edited(edit, value)) == []


@pytest.mark.parametrize("name", ["annie", "annie-strict", "annie-smol"])
def test_a_snapshot_of_a_shipped_profile_is_equal_to_itself(name: str) -> None:
    first, second = snapshot(load_profile(name)), snapshot(load_profile(name))
    assert differences(first, second) == []
    assert differences({key: first[key] for key in first if key != "speech"}, second) == []  # as in earlier versions
    assert set(first["gates"]) == set(load_profile(name).gates)


def test_another_profile_is_refused_with_its_difference(make_run: Any) -> None:
    before = make_run("a", ALL)
    now = make_run("b", ALL, snapshot=edited("sampling.temperature", 0.7) | {"digest": "d2"})
    found = compared(before, now)
    assert found.verdict == "REFUSED"
    assert found.headline == 'REFUSED cannot be compared with "a": sampling.temperature 0.0 -> 0.7'


# What the answers say.


def test_another_prompt_of_the_same_request_refuses(make_run: Any) -> None:
    before = make_run("a", ALL, bodies=of(body("Fine.", prompt_tokens=20)))
    now = make_run("b", ALL, bodies=of(body("Fine.", prompt_tokens=26)))
    found = compared(before, now)
    assert found.verdict == "REFUSED"
    assert "the chat template or the tokenizer changed: 10 of 10 requests make another prompt" in found.headline
    assert "20 -> 26 tokens" in found.headline


def test_a_known_template_puts_another_prompt_down_to_the_tokenizer(make_run: Any) -> None:
    before = make_run("a", ALL, bodies=of(body("Fine.", prompt_tokens=20)), fingerprint=LOCAL)
    now = make_run("b", ALL, bodies=of(body("Fine.", prompt_tokens=26)), fingerprint=LOCAL)
    found = compared(before, now)
    assert found.verdict == "PASS"
    assert "the tokenizer changed" in found.headline


def test_a_prompt_of_equal_length_is_named_and_compared(make_run: Any) -> None:
    """A template that writes today's date renders another prompt every day."""
    before = make_run("a", ALL, bodies=of(body("Fine.", prompt_tokens=3, prompt_ids=[1, 2, 3])))
    now = make_run("b", ALL, bodies=of(body("Fine.", prompt_tokens=3, prompt_ids=[1, 2, 4])))
    found = compared(before, now)
    assert found.verdict == "PASS"
    assert "a date in the chat template" in found.headline


CALL = body(None, calls=[("look_up", '{"q": 1}')], finish="tool_calls")

TRACES = [
    (CALL, body('<tool_call>\n{"name": "look_up", "arguments": {"q": 1}}\n</tool_call>'), "the tool parser was lost"),
    (CALL, body(None, calls=[("search", '{"q": 1}')], finish="tool_calls"), "tool look_up is called search now (10"),
    (CALL, body(None, calls=[("look_up, ", "{}")], finish="tool_calls"), "tool look_up is called 'look_up, ' now (10"),
    (body("Fine.", reasoning="Hm."), body("<think>Hm.</think>Fine."), "the reasoning parser was lost"),
    (body("Fine."), body("", reasoning="So I say fine."), "the answer is trapped in the reasoning channel"),
    (body("Fine."), body("Fi", finish="length"), "10 of 10 answers are cut off by their token limit"),
    (body("Fine."), body(""), "10 of 10 answers are empty"),
]


@pytest.mark.parametrize(("then", "now", "message"), TRACES, ids=[message for *_, message in TRACES])
def test_what_the_answers_show_is_in_the_first_line(make_run: Any, then: bytes, now: bytes, message: str) -> None:
    before = make_run("a", ALL, bodies=of(then))
    after = make_run("b", dict.fromkeys(NAMES, False), bodies=of(now))
    found = compared(before, after)
    assert found.verdict == "FAIL"
    assert message in found.headline


READABLE = [
    '<tool_call>\n{"name": "look_up", "arguments": {"q": 1}}\n</tool_call>',
    "<tool_call>\n<function=look_up>\n<parameter=q>\n1\n</parameter>\n</function>\n</tool_call>",
    '{"name": "look_up", "parameters": {"q": 1}}',
    "[look_up(q=1)]",
]
BROKEN = [
    '<tool_call>\n{"name": "look_up", "arguments": {"q: fifteen}}\n</tool_call>',
    '<tool_call>\n\n{"name": "look_up, the family has told me that. I look in the memory.',
    '<tool_call>\n{"name": "look_up", "arguments": {"q": 20}}.}\n</tool_call>',
    "<tool_call>\n<function=look_up>\n<parameter=q>\n1\n</tool_call>",
    '{"name": "look_up", "parameters": {"q: 1}}',
]
HERMES = {**LOCAL, "tool_parser": "hermes", "reasoning_parser": "qwen3"}


@pytest.mark.parametrize("fingerprint", [FINGERPRINT, HERMES], ids=["unknown parser", "same parser"])
@pytest.mark.parametrize("text", BROKEN)
def test_a_call_that_no_parser_reads_is_put_down_to_the_model(
    make_run: Any, text: str, fingerprint: dict[str, Any]
) -> None:
    """Three of ten calls are broken: the parser is not to blame, and the gates judge the model."""
    before = make_run("a", ALL, bodies=of(CALL), fingerprint=fingerprint)
    now = make_run("b", ALL, bodies={**of(CALL), **dict.fromkeys(NAMES[:3], body(text))}, fingerprint=fingerprint)
    found = compared(before, now)
    assert found.verdict == "PASS"
    assert found.changed == (
        "tool calls are written with broken JSON or tags, which no parser reads: 3 of 10 samples with a tool call have"
        " it as such text",
    )


@pytest.mark.parametrize("text", READABLE)
def test_a_call_that_a_parser_reads_is_put_down_to_the_parser_only_where_it_may_be_another(
    make_run: Any, text: str
) -> None:
    lost = {**of(CALL), **dict.fromkeys(NAMES[:3], body(text))}
    told = []
    for known, fingerprint in (("unknown", FINGERPRINT), ("known", HERMES)):
        before = make_run(f"a {known}", ALL, bodies=of(CALL), fingerprint=fingerprint)
        told.append(compared(before, make_run(f"b {known}", ALL, bodies=lost, fingerprint=fingerprint)).changed)
    count = "3 of 10 samples with a tool call have it as text"
    assert told == [
        (f"the tool parser was lost or is another: {count}",),
        (f"tool calls come as text under the same tool parser (hermes): {count}",),
    ]


def test_a_reasoning_parser_that_both_runs_name_is_not_called_lost(make_run: Any) -> None:
    then = body("Fine.", reasoning="Hm.")
    for name, answer in (("spoken", body("<think>Hm.</think>Fine.")), ("silent", body("Fine."))):
        before = make_run(f"a {name}", ALL, bodies=of(then), fingerprint=HERMES)
        found = compared(before, make_run(f"b {name}", ALL, bodies=of(answer), fingerprint=HERMES))
        assert found.verdict == "FAIL"
        assert len(found.changed) == 1
        assert "was lost" not in found.changed[0]
        assert ("same reasoning parser (qwen3)" if name == "spoken" else "it thinks no more") in found.changed[0]


@pytest.mark.parametrize("answer", [CALL, body("Fine."), body("Fine.", reasoning="Hm.")])
def test_answers_in_other_words_show_nothing(make_run: Any, answer: bytes) -> None:
    before = make_run("a", ALL, bodies=of(answer))
    after = make_run("b", ALL, bodies=of(answer.replace(b"Fine.", b"All is well.")))
    assert compared(before, after).changed == ()


def test_a_server_that_refuses_tools_lost_its_parser(make_run: Any) -> None:
    refusal = 'HTTP 400: "auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    before = make_run("a", ALL, bodies=of(CALL))
    after = make_run("b", ALL, errors=dict.fromkeys(NAMES, refusal))
    found = compared(before, after)
    assert found.verdict == "ERROR"
    assert "the tool parser was lost: 10 of 10 samples broke" in found.headline


def test_a_server_that_answers_one_question_in_many_ways_samples() -> None:
    odd = {"questions": 3, "asked": 24, "distinct": [3, 3, 3], "odd": 12}
    even = {"questions": 3, "asked": 24, "distinct": [4, 2, 3], "odd": 6}
    before = {"questions": 3, "times": 4, "distinct": [4, 3, 4]}  # as earlier versions wrote it
    assert "the temperature was raised" in (determinism.trace(None, odd) or "")
    assert "the temperature was raised" in (determinism.trace(even, odd) or "")
    assert "asked 12 times in all" in (determinism.trace(None, before) or "")
    assert determinism.trace(odd, odd) is None
    assert determinism.trace(before, odd) is None
    assert determinism.trace(even, even) is None
    assert determinism.trace(even, None) is None


class Voices:
    """Answers each question in `ways` ways, in another one than the first with probability `rewords`."""

    def __init__(self, seed: int, rewords: float, ways: int) -> None:
        self._draw, self._rewords, self._ways = random.Random(seed), rewords, ways
        self.asked = 0

    async def __call__(self, *_: object) -> tuple[str | None, str | None, tuple[tuple[str | None, str | None], ...]]:
        self.asked += 1
        way = self._draw.randrange(1, self._ways) if self._draw.random() < self._rewords else 0
        return f"answer {way}", None, ()


class NoServer:
    def __init__(self, *_: object, **__: object) -> None: ...

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("rewords", "ways", "least", "most"),
    [
        (0.0, 2, 0, 0),
        (0.08, 1000, 0, 0.005),
        (2 / 3, 3, 0.95, 1),  # three wordings, equally likely
        (0.5, 9, 0.8, 1),
        (1.0, 1000, 1, 1),
    ],
)
def test_rewording_by_chance_is_no_temperature_and_few_wordings_are_one(
    rewords: float, ways: int, least: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile, runs = load_profile("annie"), 400
    samples = 0
    monkeypatch.setattr(determinism, "Client", NoServer)
    for seed in range(runs):
        voices = Voices(seed, rewords, ways)
        monkeypatch.setattr(determinism, "_ask", voices)
        found = asyncio.run(determinism._probe(profile.scenarios[:3], profile, "http://127.0.0.1:9/v1", "m", None))
        samples += determinism.trace(None, found) is not None
        assert voices.asked == (12 if rewords == 0 else voices.asked)
    assert least <= samples / runs <= most


@pytest.mark.parametrize(
    ("temperature", "extra", "asks"),
    [(0.0, {}, True), (0.0, {"top_k": 1}, True), (0.5, {}, False), (1.0, {}, False), (0.0, {"temperature": 0}, False)],
)
def test_only_a_profile_without_a_temperature_is_tested_for_determinism(
    temperature: float, extra: dict[str, Any], asks: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(determinism, "Client", NoServer)
    monkeypatch.setattr(determinism, "_ask", Voices(0, 0.0, 2))
    profile = load_profile("annie")
    profile = replace(profile, sampling=replace(profile.sampling, temperature=temperature, extra=extra))
    found = determinism.probe(profile, Store(tmp_path, create=True), "http://127.0.0.1:9/v1", "m", None)
    assert found == ({"questions": 3, "asked": 12, "distinct": [1, 1, 1], "odd": 0} if asks else None)


def test_a_lower_token_limit_fails_even_where_the_gates_hold(make_run: Any) -> None:
    """As many answers cut off as chance does not explain: another server, whatever the gates say."""
    before = make_run("a", ALL, bodies=of(body("Fine.")))
    now = make_run("b", ALL, bodies=of(body("Fi", finish="length")))
    found = compared(before, now)
    assert found.verdict == "FAIL"
    assert "10 of 10 answers are cut off by their token limit" in found.headline
    assert "but this is another server" in found.headline


def test_thinking_that_has_gone_fails_even_where_the_gates_hold(make_run: Any) -> None:
    before = make_run("a", ALL, bodies=of(body("Fine.", reasoning="Hm.")))
    now = make_run("b", ALL, bodies=of(body("Fine.")))
    found = compared(before, now)
    assert found.verdict == "FAIL"
    assert "the reasoning channel is empty in 10 of 10 samples that had one: the reasoning parser" in found.headline


@pytest.mark.parametrize("odd", [body(""), body("Fi", finish="length")], ids=["empty", "cut off"])
def test_what_comes_and_goes_by_chance_is_not_said_of_the_server(odd: bytes, make_run: Any) -> None:
    """A model that leaves every third answer empty does so in both runs, to other questions."""
    names = [f"s-{i:02}" for i in range(60)]
    draw = random.Random(4)
    runs = [
        make_run(
            name,
            dict.fromkeys(names, True),
            bodies={one: odd if draw.random() < 1 / 3 else body("Fine.") for one in names},
        )
        for name in ("a", "b")
    ]
    assert compared(*runs).changed == ()


# What the clock says.


def slow(factor: float, n: int = 21) -> dict[str, list[float]]:
    return {"ttft_short": [90.0 * factor * (1 + 0.002 * (i % 7)) for i in range(n)]}


def test_a_slow_down_beyond_the_noise_fails_and_one_within_passes() -> None:
    noise = timings.noise(slow(1.0), slow(1.01))
    assert noise.aa
    assert [timings.compare_timings(slow(1.0), slow(f), noise)[0].verdict for f in (1.0, 0.5, 1.3)] == [
        "PASS",
        "PASS",
        "FAIL",
    ]


def test_a_few_milliseconds_are_no_slow_down() -> None:
    noise = timings.Noise({}, aa=False)
    fast = {"ttft_short": [0.2 + 0.001 * i for i in range(21)]}, {"ttft_short": [0.9 + 0.001 * i for i in range(21)]}
    assert timings.compare_timings(*fast, noise)[0].verdict == "PASS"


def test_a_noisy_aa_run_raises_the_floor() -> None:
    quiet, wild = timings.noise(slow(1.0), slow(1.01)), timings.noise(slow(1.0), slow(1.5))
    assert quiet.floors["ttft_short"] < 1.1 < 1.5 < wild.floors["ttft_short"]
    assert timings.compare_timings(slow(1.0), slow(1.3), wild)[0].verdict != "FAIL"


def test_rates_are_slower_when_they_are_lower() -> None:
    noise = timings.Noise({}, aa=False)
    fast, half = {"decode": [30.0 + i % 3 for i in range(21)]}, {"decode": [15.0 + i % 3 for i in range(21)]}
    found = timings.compare_timings(fast, half, noise)[0]
    assert found.verdict == "FAIL"
    assert found.ratio == pytest.approx(31 / 16)
    assert timings.compare_timings(half, fast, noise)[0].verdict == "PASS"


def test_few_measurements_are_not_compared_and_load_is_not_judged() -> None:
    noise = timings.Noise({}, aa=False)
    assert timings.compare_timings(slow(1.0, 5), slow(9.0, 5), noise) == []
    loaded = {"ttft_under_load": [50.0 + i for i in range(30)]}, {"ttft_under_load": [500.0 + i for i in range(30)]}
    assert not timings.compare_timings(*loaded, noise)[0].judged
