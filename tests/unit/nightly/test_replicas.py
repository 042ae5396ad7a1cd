"""Replicas: even assignment, the same after a resume, and differences are found."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.errors import UsageError
from annie_eval.gates import replicas
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.replicas import ALPHA, SHARED, Answered, Shares, compare_replicas, shares
from annie_eval.profile.load import load
from annie_eval.profile.types import Gate, Scenario, Turn, Variant
from annie_eval.serving.replicas import check_same

PROFILE = load("annie")
MISS = (Finding("markdown", "bold text"),)
KEYS = [f"s-{i:03}.{way}.off" for i in range(60) for way in ("stream", "unstreamed")]
URLS = ["http://a/v1", "http://b/v1", "http://c/v1"]
SHOWN = frozenset({"says anything", "tells its usage", "ends with finish_reason stop"})
CALLED = frozenset({"calls a tool", "tells its usage", "ends with finish_reason tool_calls"})

Shows = Callable[[int, str], frozenset[str]]


@pytest.mark.parametrize("servers", [2, 3, 5])
def test_shares_are_even_and_mixed(servers: int) -> None:
    dealt = Shares(KEYS, "run-1", servers)
    counts = Counter(dealt[key] for key in KEYS)
    assert max(counts.values()) - min(counts.values()) <= 1
    streamed = Counter(dealt[key] for key in KEYS if ".stream." in key)
    assert min(streamed.values()) > len(KEYS) / servers / 4


def test_a_resumed_run_deals_as_before_and_another_run_does_not() -> None:
    first, again, other = (Shares(KEYS, salt, 2) for salt in ("run-1", "run-1", "run-2"))
    assert [first[key] for key in KEYS] == [again[key] for key in KEYS]
    assert [first[key] for key in KEYS] != [other[key] for key in KEYS]
    assert first.asked_of_all({"g": KEYS}) == again.asked_of_all({"g": KEYS}) != other.asked_of_all({"g": KEYS})


def test_a_sample_that_no_profile_knows_has_a_server_too() -> None:
    dealt = Shares(KEYS, "run-1", 3)
    assert {dealt[f"ask-{i}"] for i in range(50)} == {0, 1, 2}


@pytest.mark.parametrize(("name", "asked"), [("annie", 85), ("annie-smol", 85), ("annie-strict", SHARED)])
def test_every_server_is_asked_some_of_every_gate(name: str, asked: int) -> None:
    profile = load(name)
    keys = {
        gate.name: [key for one in profile.gate_scenarios(gate) for key in one.sample_keys()]
        for gate in profile.gates.values()
    }
    common = shares(profile, "run-1", 3).asked_of_all({**keys, "ask": ["ask-1", f"{KEYS[0]}.2"]})
    assert len(common) == len(set(common)) == asked
    assert all(len(set(of) & set(common)) >= min(len(of), 10) for of in keys.values())


def answers(
    servers: int,
    missing: Callable[[int, str, str], bool] = lambda server, gate, key: False,
    shows: Shows | None = None,
    prompt: Callable[[int, str], int] = lambda server, key: 100,
) -> list[Answered]:
    """All samples of `annie` answered by every server; `missing` says which gate misses at which server."""
    dealt = shares(PROFILE, "run-1", servers)
    gates: dict[str, list[str]] = {}
    for gate in PROFILE.gates.values():
        for scenario in PROFILE.gate_scenarios(gate):
            for key in scenario.sample_keys():
                gates.setdefault(key, []).append(gate.name)
    tools = {key for one in PROFILE.gate_scenarios(PROFILE.gates["tool_calling"]) for key in one.sample_keys()}

    def shown(server: int, key: str) -> frozenset[str]:
        return shows(server, key) if shows else CALLED if key in tools else SHOWN

    return [
        Answered(
            server,
            key,
            dealt[key] == server,
            tuple(Judgement(gate, key, MISS if missing(server, gate, key) else ()) for gate in of),
            shown(server, key),
            prompt(server, key),
        )
        for server in range(servers)
        for key, of in gates.items()
    ]


def compared(given: Sequence[Answered], servers: int, missing: int = 0) -> Mapping[str, object]:
    return compare_replicas(PROFILE, URLS[:servers], given, missing)


@pytest.mark.parametrize("servers", [2, 3])
def test_equal_servers_agree(servers: int) -> None:
    found = compared(answers(servers), servers)
    assert (found["verdict"], found["headline"]) == (
        "PASS",
        f"replicas: {servers} servers agree on 85 samples that each was asked",
    )
    assert sum(server["n"] for server in found["servers"]) == 85  # type: ignore[attr-defined]


def without(verb: str, server: int) -> Shows:
    def shows(place: int, key: str) -> frozenset[str]:
        every = (CALLED if key.startswith("tool-calling") else SHOWN) | {"thinks in a channel of its own"}
        return every - {verb} if place == server else every

    return shows


@pytest.mark.parametrize("servers", [2, 3])
@pytest.mark.parametrize("verb", [*sorted(SHOWN | CALLED), "thinks in a channel of its own"])
def test_what_one_server_never_shows_is_no_matter_of_chance(verb: str, servers: int) -> None:
    """Though every sample passed: a replica without a tool parser, a reasoning parser, usage ..."""
    found = compared(answers(servers, shows=without(verb, 1)), servers)
    assert found["verdict"] == "FAIL"
    assert str(found["headline"]).startswith(f"replicas differ: http://b/v1 never {verb} in ")


def test_a_lack_that_few_samples_could_show_is_left_to_chance() -> None:
    rare = "tool-calling-01-spare-key.stream.off"

    def shows(server: int, key: str) -> frozenset[str]:
        return SHOWN | ({"thinks in a channel of its own"} if key == rare and server == 0 else frozenset())

    assert compared(answers(2, shows=shows), 2)["verdict"] == "PASS"


def test_other_prompts_of_the_same_requests_are_another_template() -> None:
    def prompt(server: int, key: str) -> int:
        return 120 if server == 1 and key.startswith("tool-calling") else 100

    found = compared(answers(2, prompt=prompt), 2)
    assert found["verdict"] == "FAIL"
    assert "http://b/v1 makes other prompts of 10 requests (tool-calling-" in str(found["headline"])


def test_a_server_that_fails_a_gate_on_its_own_answers_is_named() -> None:
    """Half of the leaks of a bad replica are dealt to the good one, and are heard all the same."""
    leaky = {"thinking-leak-01-good-morning.stream.on"}
    found = compared(answers(2, lambda server, gate, key: server == 1 and gate == "thinking_leak" and key in leaky), 2)
    assert found["verdict"] == "FAIL"
    assert found["headline"] == (
        "replicas differ: thinking_leak: http://a/v1 25/25, http://b/v1 24/25: http://b/v1 fails the gate"
    )


def test_a_miss_that_the_gate_tolerates_is_tolerated_at_each_server() -> None:
    missed = {key for one in PROFILE.gate_scenarios(PROFILE.gates["no_markdown"])[:3] for key in one.sample_keys()}
    found = compared(answers(2, lambda server, gate, key: gate == "no_markdown" and key in missed), 2)
    assert found["verdict"] == "PASS"


def test_where_every_server_fails_they_do_not_differ() -> None:
    found = compared(answers(3, lambda server, gate, key: gate == "reasoning"), 3)
    assert found["verdict"] == "FAIL"
    assert str(found["headline"]).startswith("every replica fails: reasoning: http://a/v1 0/5")


def test_pairs_find_what_no_gate_of_one_server_does() -> None:
    """A few misses in each of four gates, as many as they tolerate, and none the other way."""
    tolerant = ("no_markdown", "brevity", "tool_calling", "restraint")
    missed = {
        key
        for name in tolerant
        for one in PROFILE.gate_scenarios(PROFILE.gates[name])[:2]
        for key in one.sample_keys()
    }
    missed |= {key for one in PROFILE.gate_scenarios(PROFILE.gates["tool_calling"])[:4] for key in one.sample_keys()}
    missed |= {key for name in tolerant[:2] for key in PROFILE.gate_scenarios(PROFILE.gates[name])[2].sample_keys()}

    def misses(server: int, gate: str, key: str) -> bool:
        return server == 1 and gate in tolerant and key in missed

    found = compared(answers(2, misses), 2)
    assert found["verdict"] == "FAIL"
    assert str(found["headline"]).startswith("replicas differ: all gates: http://b/v1 ")
    assert "of the same samples" in str(found["headline"])


@pytest.mark.parametrize("servers", [2, 3])
def test_equal_servers_are_seldom_said_to_differ(servers: int) -> None:
    """Each answer misses its tolerant gate by chance, at every server alike."""
    draw = random.Random(11)
    wrong = 0
    for _ in range(40):
        tossed: dict[tuple[int, str], bool] = {}

        def misses(server: int, gate: str, key: str, tossed: dict[tuple[int, str], bool] = tossed) -> bool:
            if gate != "no_markdown" and gate != "brevity":
                return False
            return tossed.setdefault((server, key), draw.random() < 0.1)

        found = compared(answers(servers, misses), servers)
        wrong += any(gate["verdict"] == "FAIL" and gate["p"] is not None for gate in found["gates"])  # type: ignore[attr-defined]
    assert wrong / 40 <= ALPHA + 0.03


def test_three_servers_that_miss_in_turn_do_not_differ_and_one_that_misses_for_all_does() -> None:
    """Every miss stands alone against two passes: that says nothing unless one server has most of them."""
    tolerant = [gate.name for gate in PROFILE.gates.values() if gate.required and not gate.every_sample]
    keys = sorted(
        key for name in tolerant for one in PROFILE.gate_scenarios(PROFILE.gates[name]) for key in one.sample_keys()
    )
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}

    def in_turn(server: int, gate: str, key: str) -> bool:
        return gate in tolerant and places[key] % 3 == server

    def one(server: int, gate: str, key: str) -> bool:
        return server == 1 and gate in tolerant and places[key] % 3 == 0

    def differs(misses: Callable[[int, str, str], bool]) -> bool:
        found: Any = compared(answers(3, misses), 3)
        return any(gate["verdict"] == "FAIL" and gate["p"] is not None for gate in found["gates"])

    assert (differs(in_turn), differs(one)) == (False, True)


def test_what_broke_is_counted_by_server_and_is_no_miss() -> None:
    given = [
        Answered(
            each.server,
            each.sample,
            each.dealt,
            tuple(Judgement(one.gate, one.sample, error="connection refused") for one in each.judgements)
            if each.server == 1
            else each.judgements,
        )
        for each in answers(2)
    ]
    found = compared(given, 2)
    assert (found["verdict"], found["headline"]) == ("ERROR", "replicas: http://b/v1 broke 85 of its samples")


def test_a_comparison_that_was_cut_short_is_no_agreement() -> None:
    found = compared([each for each in answers(2) if each.dealt], 2, missing=85)
    assert found["verdict"] == "INCONCLUSIVE"
    assert "85 answers for the comparison are missing" in str(found["headline"])


def test_servers_that_are_not_alike_are_refused_by_name() -> None:
    known = {"server": "vllm", "server_version": "0.32.0", "max_model_len": 8192}
    check_same("http://a/v1", known, {"http://b/v1": dict(known)})
    with pytest.raises(UsageError, match=r"http://b/v1: is no replica of http://a/v1: the server's version changed"):
        check_same("http://a/v1", known, {"http://b/v1": {**known, "server_version": "0.31.0"}})
    with pytest.raises(UsageError, match="max model len 8192 there, None here"):
        check_same("http://a/v1", known, {"http://b/v1": {k: v for k, v in known.items() if k != "max_model_len"}})


# --- eight samples of two gates, and every number -------------------------------------------------------------------

SMALL = replace(
    PROFILE,
    scenarios=tuple(
        Scenario(f"{name}-{i}", name, (Turn(f"{name} {i}?"),), variants=(Variant(stream=False),))
        for name in "gh"
        for i in range(4)
    ),
    gates={name: Gate(name, ("markdown",), (name,), required=0) for name in "gh"},
)
Change = Callable[[Answered], Answered]


def small(servers: int, change: Change = lambda one: one) -> list[Answered]:
    keys = [key for scenario in SMALL.scenarios for key in scenario.sample_keys()]
    return [
        change(Answered(server, key, i % servers == server, (Judgement(key[0], key),), SHOWN, 70))
        for i, key in enumerate(keys)
        for server in range(servers)
    ]


def changed(which: Callable[[int, str], bool], **fields: Any) -> Change:
    """`which` is told the server and the scenario."""
    return lambda one: replace(one, **fields) if which(one.server, one.sample.partition(".")[0]) else one


def missed(which: Callable[[int, str], bool]) -> Change:
    def change(one: Answered) -> Answered:
        (judgement,) = one.judgements
        held = replace(one, judgements=(replace(judgement, findings=MISS),))
        return held if which(one.server, one.sample.partition(".")[0]) else one

    return change


def pair(name: str, server: int, p: float, adjusted: float, passed: str, others: str) -> dict[str, Any]:
    return {
        "name": name,
        "server": URLS[server],
        "p": pytest.approx(p),
        "adjusted": pytest.approx(adjusted),
        "all": False,
        "verdict": "PASS",
        "detail": f"{URLS[server]} {passed}, the others {others} of the same samples",
    }


def test_every_field_of_a_comparison_of_equal_servers() -> None:
    names = ("g", "4/4"), ("h", "4/4"), ("all gates", "8/8")
    assert compare_replicas(SMALL, URLS[:2], small(2)) == {
        "verdict": "PASS",
        "headline": "replicas: 2 servers agree on 8 samples that each was asked",
        "servers": [{"base_url": url, "n": 4, "passed": 4, "broken": 0, "shared": 8} for url in URLS[:2]],
        "structure": [],
        "gates": [pair(name, server, 1.0, 1.0, count, count) for name, count in names for server in range(2)],
    }


def test_pairs_are_compared_gate_by_gate_and_over_all_gates() -> None:
    """b misses three of g's four. If a and b are alike, it has as few passes in 1 of 8 assignments; six tests."""
    found = compare_replicas(SMALL, URLS[:2], small(2, missed(lambda server, name: server == 1 and name < "g-3")))
    assert found["gates"] == [
        pair("g", 0, 1.0, 1.0, "4/4", "1/4"),
        pair("g", 1, 1 / 8, 6 / 8, "1/4", "4/4"),
        pair("h", 0, 1.0, 1.0, "4/4", "4/4"),
        pair("h", 1, 1.0, 1.0, "4/4", "4/4"),
        pair("all gates", 0, 1.0, 1.0, "8/8", "5/8"),
        pair("all gates", 1, 1 / 8, 6 / 8, "5/8", "8/8"),
    ]
    assert [server["passed"] for server in found["servers"]] == [4, 3]  # b was dealt g-1, g-3, h-1 and h-3


def test_of_three_servers_one_is_compared_with_what_all_others_pass() -> None:
    """a misses g-0, b g-1 to g-3: in each of four samples, one of three servers.

    If they are alike, a has one miss or more with 1 - (2/3)^4 = 65/81, and b three or more with 4 * 2/81 + 1/81.
    """

    def misses(server: int, name: str) -> bool:
        return (server == 0 and name == "g-0") or (server == 1 and "g-1" <= name < "h")

    found = compare_replicas(SMALL, URLS, small(3, missed(misses)))
    assert found["gates"][:3] == [
        pair("g", 0, 65 / 81, 1.0, "3/4", "1/4"),
        pair("g", 1, 9 / 81, 1.0, "1/4", "3/4"),
        pair("g", 2, 1.0, 1.0, "4/4", "0/4"),
    ]


@pytest.mark.parametrize(("misses", "verdict"), [(6, "PASS"), (7, "FAIL")])
def test_servers_differ_below_an_error_rate_of_one_percent(misses: int, verdict: str) -> None:
    """b alone misses six of eight: 9 tests at 1/3^6 are 1.2 %. With seven it is 0.4 %."""
    few = small(3, missed(lambda server, name: server == 1 and (name < "h" or int(name[2:]) < misses - 4)))
    found = compare_replicas(SMALL, URLS, few)
    (b,) = [one for one in found["gates"] if (one["name"], one["server"]) == ("all gates", URLS[1])]
    assert (b["adjusted"], b["verdict"], found["verdict"]) == (pytest.approx(9 / 3**misses), verdict, verdict)


@pytest.mark.parametrize(("adjusted", "verdict"), [(0.01, "FAIL"), (0.0101, "PASS")])
def test_an_adjusted_p_value_at_the_error_rate_counts(
    adjusted: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas.binomial, "holm", lambda values: [adjusted] * len(values))
    assert {one["verdict"] for one in compare_replicas(SMALL, URLS[:2], small(2))["gates"]} == {verdict}


STRICT = replace(SMALL, gates={name: replace(gate, required=None) for name, gate in SMALL.gates.items()})


@pytest.mark.parametrize(
    ("which", "headline"),
    [
        (
            lambda server, name: name == "g-0",
            "every replica fails: g: http://a/v1 3/4, http://b/v1 3/4: http://a/v1 fails the gate;"
            " g: http://a/v1 3/4, http://b/v1 3/4: http://b/v1 fails the gate",
        ),
        (
            lambda server, name: server == 1 and name == "h-2",
            "replicas differ: h: http://a/v1 4/4, http://b/v1 3/4: http://b/v1 fails the gate",
        ),
        (
            lambda server, name: name == "g-0" or (server == 0 and name == "h-2"),
            "replicas differ: g: http://a/v1 3/4, http://b/v1 3/4: http://a/v1 fails the gate;"
            " g: http://a/v1 3/4, http://b/v1 3/4: http://b/v1 fails the gate;"
            " h: http://a/v1 3/4, http://b/v1 4/4: http://a/v1 fails the gate",
        ),
    ],
    ids=["every server", "one server", "one gate everywhere and one at a server"],
)
def test_replicas_differ_unless_every_gate_fails_everywhere(which: Callable[[int, str], bool], headline: str) -> None:
    found = compare_replicas(STRICT, URLS[:2], small(2, missed(which)))
    assert (found["verdict"], found["headline"]) == ("FAIL", headline)


def test_servers_that_fail_every_gate_and_show_other_things_differ() -> None:
    def change(one: Answered) -> Answered:
        (judgement,) = one.judgements
        shown = SHOWN if one.server else frozenset[str]()
        return replace(one, judgements=(replace(judgement, findings=MISS),), shows=shown)

    assert compare_replicas(STRICT, URLS[:2], small(2, change))["headline"].startswith("replicas differ: ")


def test_every_field_of_a_gate_that_a_server_fails_on_its_own() -> None:
    found = compare_replicas(STRICT, URLS[:2], small(2, missed(lambda server, name: server == 1 and name == "h-2")))
    assert found["gates"][0] == {
        "name": "h",
        "server": URLS[1],
        "p": None,
        "adjusted": None,
        "all": False,
        "verdict": "FAIL",
        "detail": "http://a/v1 4/4, http://b/v1 3/4: http://b/v1 fails the gate",
    }
    every = compare_replicas(STRICT, URLS[:2], small(2, missed(lambda server, name: name == "h-2")))["gates"]
    assert [(one["server"], one["all"]) for one in every if one["p"] is None] == [(URLS[0], True), (URLS[1], True)]


@pytest.mark.parametrize(
    ("servers", "change", "structure"),
    [
        # The largest group is said: all samples, those of one transport, those of one gate.
        (2, changed(lambda s, name: s == 1, shows=frozenset()), "b never VERB in 8 samples where the others do"),
        (
            2,
            changed(lambda s, name: s == 1 and name < "g-3", shows=frozenset()),
            None,  # b shows it in other samples, of every group
        ),
        (
            2,
            changed(lambda s, name: s == 1 and name < "h", shows=frozenset()),
            "b never VERB in 4 samples of g where the others do",
        ),
        (
            2,
            lambda one: replace(one, shows=SHOWN if one.server == 0 and one.sample < "g-2" else frozenset()),
            None,  # two samples are too few
        ),
        (
            2,
            lambda one: replace(one, shows=SHOWN if one.server == 0 and one.sample < "g-3" else frozenset()),
            "b never VERB in 3 samples where the others do",
        ),
        (
            3,
            lambda one: replace(one, shows=SHOWN if one.server == 0 and one.sample < "g-3" else frozenset()),
            "a alone VERB, in 3 samples",
        ),
        (
            3,
            lambda one: replace(one, shows=SHOWN if one.server == 0 and one.sample < "g-2" else frozenset()),
            None,
        ),
        (
            3,
            lambda one: replace(one, shows=SHOWN if one.server < 2 and one.sample < "g-3" else frozenset()),
            "c never VERB in 3 samples where the others do",
        ),
    ],
)
def test_what_a_server_never_shows_or_shows_alone(servers: int, change: Change, structure: str | None) -> None:
    found = compare_replicas(SMALL, URLS[:servers], small(servers, change))["structure"]
    name, _, rest = (structure or "").partition(" ")
    assert found == [f"http://{name}/v1 {rest.replace('VERB', verb)}" for verb in sorted(SHOWN) if structure]


@pytest.mark.parametrize(
    ("servers", "tokens", "found"),
    [
        (2, {0: 70, 1: 75}, ["b makes other prompts of 3 requests (g-0.unstreamed.off: 75 tokens, 70 elsewhere)"]),
        (2, {0: 75, 1: 70}, ["b makes other prompts of 3 requests (g-0.unstreamed.off: 70 tokens, 75 elsewhere)"]),
        (3, {0: 75}, ["a makes other prompts of 3 requests (g-0.unstreamed.off: 75 tokens, 70 elsewhere)"]),
        (3, {2: 75}, ["c makes other prompts of 3 requests (g-0.unstreamed.off: 75 tokens, 70 elsewhere)"]),
        (3, {0: 71, 1: 72, 2: 73}, []),
        (2, {0: None}, []),
        (2, {1: None}, []),
        (2, {}, []),
    ],
)
def test_other_prompts_of_the_same_requests(
    servers: int, tokens: Mapping[int, int | None], found: Sequence[str]
) -> None:
    """In g-0 to g-2; all others have 70 tokens."""

    def change(one: Answered) -> Answered:
        return replace(one, prompt_tokens=tokens.get(one.server, 70)) if one.sample < "g-3" else one

    structure = compare_replicas(SMALL, URLS[:servers], small(servers, change))["structure"]
    assert structure == [f"http://{each[0]}/v1{each[1:]}" for each in found]


def test_samples_with_one_prompt_are_one_pair() -> None:
    """Streamed and unstreamed: b misses both of two prompts, which is 1 of 4 assignments and not 1 of 16."""
    both = replace(
        SMALL, scenarios=tuple(replace(one, variants=(Variant(), Variant(stream=False))) for one in SMALL.scenarios)
    )
    keys = [key for one in both.scenarios for key in one.sample_keys()]
    given = [
        Answered(server, key, True, (Judgement(key[0], key, MISS if server == 1 and key < "g-2" else ()),), SHOWN, 70)
        for key in keys
        for server in range(2)
    ]
    (found,) = [one for one in compare_replicas(both, URLS[:2], given)["gates"] if one["name"] == "g" and one["p"] < 1]
    assert found["p"] == pytest.approx(1 / 4)
    assert found["detail"] == "http://b/v1 4/8, the others 8/8 of the same samples"


def test_a_gate_is_compared_on_the_samples_that_it_judged_at_every_server() -> None:
    given = small(2, changed(lambda server, name: server == 1 and name == "g-0", judgements=()))
    details = [one["detail"] for one in compare_replicas(SMALL, URLS[:2], given)["gates"]]
    assert [detail.partition(" of ")[0] for detail in details] == [
        f"{URLS[server]} {count}, the others {count}" for count in ("3/3", "4/4", "8/8") for server in range(2)
    ]


def test_a_sample_that_broke_in_one_of_its_gates_is_broken() -> None:
    keys = ("g-0.unstreamed.off", "h-1.unstreamed.off")
    judged = Judgement("h", keys[0]), Judgement("g", keys[0], (), "timed out")
    found = compare_replicas(
        SMALL, URLS[:2], small(2, changed(lambda server, name: (server, name) == (0, "g-0"), judgements=judged))
    )
    assert (found["verdict"], found["headline"]) == ("ERROR", "replicas: http://a/v1 broke 1 of its samples")
    assert found["servers"] == [
        {"base_url": URLS[0], "n": 3, "passed": 3, "broken": 1, "shared": 7},
        {"base_url": URLS[1], "n": 4, "passed": 4, "broken": 0, "shared": 7},
    ]


@pytest.mark.parametrize(
    ("change", "missing", "verdict", "headline"),
    [
        (changed(lambda *_: False), 3, "INCONCLUSIVE", "replicas: 3 answers for the comparison are missing"),
        (
            changed(lambda s, name: s == 1 and name < "g-2", judgements=(Judgement("g", "x", (), "gone"),)),
            3,
            "ERROR",
            "replicas: http://b/v1 broke 2 of its samples; 3 answers for the comparison are missing",
        ),
        (
            changed(lambda s, _: s == 1, shows=frozenset()),
            3,
            "FAIL",
            "replicas differ: http://b/v1 never ends with finish_reason stop in 8 samples where the others do;"
            " http://b/v1 never says anything in 8 samples where the others do;"
            " http://b/v1 never tells its usage in 8 samples where the others do",
        ),
    ],
)
def test_verdict_and_headline(change: Change, missing: int, verdict: str, headline: str) -> None:
    found = compare_replicas(SMALL, URLS[:2], small(2, change), missing)
    assert (found["verdict"], found["headline"]) == (verdict, headline)


def test_a_headline_has_four_differences_and_what_broke() -> None:
    shown = frozenset({"calls a tool", "says a", "says b", "says c", "says d"})

    def change(one: Answered) -> Answered:
        if one.sample.startswith("h-3") and one.server == 0:
            return replace(one, judgements=(replace(one.judgements[0], error="timed out"),))
        return replace(one, shows=shown if one.server == 0 else frozenset())

    found = compare_replicas(SMALL, URLS[:2], small(2, change))
    assert len(found["structure"]) == 5
    assert found["headline"] == "replicas differ: " + "; ".join(
        [f"http://b/v1 never {verb} in 7 samples where the others do" for verb in sorted(shown)[:4]]
        + ["http://a/v1 broke 1 of its samples"]
    )
