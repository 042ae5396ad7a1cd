"""Replicas: even assignment, the same after a resume, and differences are found."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.errors import UsageError
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.replicas import ALPHA, SHARED, Answered, Shares, compare_replicas, shares
from annie_eval.profile.load import load
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
