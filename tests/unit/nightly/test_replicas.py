"""Servers that share the work: even shares, the same each time a run goes on, and a test that tells them apart."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from scipy import stats as scipy_stats

from annie_eval.detectors.finding import Finding
from annie_eval.errors import UsageError
from annie_eval.gates.judgement import Judgement
from annie_eval.serving.replicas import ALPHA, Shares, check_same, compare

MISS = (Finding("markdown", "bold text"),)
KEYS = [f"s-{i:03}.{way}.off" for i in range(60) for way in ("stream", "whole")]
URLS = ["http://a/v1", "http://b/v1", "http://c/v1"]


@pytest.mark.parametrize("servers", [2, 3, 5])
def test_shares_are_even_and_mixed(servers: int) -> None:
    shares = Shares(KEYS, "run-1", servers)
    counts = Counter(shares[key] for key in KEYS)
    assert max(counts.values()) - min(counts.values()) <= 1
    streamed = Counter(shares[key] for key in KEYS if ".stream." in key)
    assert min(streamed.values()) > len(KEYS) / servers / 4


def test_a_resumed_run_deals_as_before_and_another_run_does_not() -> None:
    first, again, other = (Shares(KEYS, salt, 2) for salt in ("run-1", "run-1", "run-2"))
    assert [first[key] for key in KEYS] == [again[key] for key in KEYS]
    assert [first[key] for key in KEYS] != [other[key] for key in KEYS]


def test_a_sample_that_no_profile_knows_has_a_server_too() -> None:
    shares = Shares(KEYS, "run-1", 3)
    assert {shares[f"ask-{i}"] for i in range(50)} == {0, 1, 2}


def judged(shares: Shares, rates: list[float], draw: random.Random) -> list[Judgement]:
    return [Judgement("g", key, () if draw.random() < rates[shares[key]] else MISS) for key in KEYS]


def test_a_server_that_passes_less_is_named_with_scipys_p() -> None:
    shares = Shares(KEYS, "run-1", 2)
    found = compare(URLS[:2], judged(shares, [1.0, 0.6], random.Random(1)), shares)
    assert found["verdict"] == "FAIL"
    assert "replicas differ: g: http://a/v1 60/60, the others " in found["headline"]
    (gate,) = found["gates"]
    passed = found["servers"][1]["passed"]
    wanted = scipy_stats.fisher_exact([[60, 0], [passed, 60 - passed]])[1]
    assert gate["p"] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("servers", [2, 3])
def test_equal_servers_are_seldom_said_to_differ(servers: int) -> None:
    draw = random.Random(11)
    wrong = 0
    for run in range(300):
        shares = Shares(KEYS, f"run-{run}", servers)
        wrong += compare(URLS[:servers], judged(shares, [0.8] * servers, draw), shares)["verdict"] == "FAIL"
    assert wrong / 300 <= ALPHA + 0.015


def test_what_broke_is_counted_by_server_and_is_no_miss() -> None:
    shares = Shares(KEYS, "run-1", 2)
    judgements = [
        Judgement("g", key, error="connection refused") if shares[key] else Judgement("g", key) for key in KEYS
    ]
    found = compare(URLS[:2], judgements, shares)
    assert found["verdict"] == "PASS"
    assert "http://b/v1 broke 60 of its samples" in found["headline"]


def test_servers_that_are_not_alike_are_refused_by_name() -> None:
    known = {"server": "vllm", "server_version": "0.32.0", "max_model_len": 8192}
    check_same("http://a/v1", known, {"http://b/v1": dict(known)})
    with pytest.raises(UsageError, match=r"http://b/v1: is no replica of http://a/v1: the server's version changed"):
        check_same("http://a/v1", known, {"http://b/v1": {**known, "server_version": "0.31.0"}})
    with pytest.raises(UsageError, match="max model len 8192 there, None here"):
        check_same("http://a/v1", known, {"http://b/v1": {k: v for k, v in known.items() if k != "max_model_len"}})
