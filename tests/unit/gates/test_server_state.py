"""The gate server_state: answers that depend on the server's state are found, rounding is not."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from annie_eval.gates.decide import RunVerdict
from annie_eval.gates.server_state import (
    AGAIN,
    GREEDY,
    LEAST,
    ROUNDING,
    Comparison,
    ProbeResult,
    Reading,
    distance,
    judge,
    judge_again,
    parted,
    summary,
)
from annie_eval.http_client import Response, TransportError
from annie_eval.profile.load import load
from annie_eval.profile.types import PROBES, StateProbes
from annie_eval.report import terminal
from annie_eval.run import verdict_json
from annie_eval.state.ask import Asking
from annie_eval.wire.logprobs import Token
from benchmarks.server_state import NAMED, named, probes_for
from tests.servers.state_server import FAULTS, StateServer

PROFILE = dataclasses.replace(
    load("annie"),
    state=StateProbes(prefix_tokens=(600, 2200), tools=(5, 50), questions=2, greedy_tokens=3000, calls=60),
)


def asked(server: StateServer, *probes: str) -> list[ProbeResult]:
    async def ask() -> list[ProbeResult]:
        asking = Asking(server, PROFILE, "toy", batch=16, token_ids=server.token_ids)
        await asking.learn_context()
        return [await asking.probe(name) for name in probes or PROBES]

    return asyncio.run(ask())


def token(text: str, margin: float, other: str) -> Token:
    return Token(text, -0.01, {text: -0.01, other: -0.01 - margin})


def reading(*tokens: Token) -> Reading:
    return Reading(tokens, "".join(one.text for one in tokens))


YES, NO = reading(token("yes", 3.0, "no")), reading(token("no", 3.0, "yes"))


def share(*yes: float) -> Reading:
    """Tokens, each of them `yes` with this probability, else `no`."""
    tops = [{"yes": math.log(p), "no": math.log(1 - p)} for p in yes]
    texts = [max(top, key=top.__getitem__) for top in tops]
    return Reading(tuple(Token(text, top[text], top) for text, top in zip(texts, tops, strict=True)), " ".join(texts))


def compared(
    before: Sequence[Reading], after: Sequence[Reading], other: Sequence[Reading] = (), times: int = 8
) -> list[Comparison]:
    return [Comparison("in a batch", f"? {n}", tuple(before), tuple(after), tuple(other)) for n in range(times)]


@pytest.mark.parametrize(
    "server",
    [
        StateServer(rounding=0.05),
        StateServer(rounding=0.3),
        StateServer(rounding=0.0, shape_rounding=0.3),
        StateServer(rounding=0.0, shape_rounding=0.4),
    ],
    ids=["little", "much", "by shape", "much by shape"],
)
def test_a_server_that_only_rounds_otherwise_passes_every_probe(server: StateServer) -> None:
    rows = asked(server)
    result = summary(rows, PROBES).result
    assert [row.verdict for row in rows] == ["PASS"] * len(PROBES), rows
    assert result is not None
    assert (result.verdict, result.cause, result.blame) == ("PASS", "", "")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_server_is_named_by_its_probe_and_setting(fault: str) -> None:
    rows = asked(StateServer(fault, seed=1), *probes_for(fault))
    result = summary(rows, ()).result
    assert result is not None
    assert (result.verdict, result.cause) == ("FAIL", "server")
    assert named(fault, rows), result.detail


def test_every_planted_fault_is_in_the_benchmark() -> None:
    assert set(FAULTS) == set(NAMED)


def test_the_size_of_a_difference_is_the_sum_of_both_margins() -> None:
    assert parted(YES, NO) == (0, pytest.approx(6.0))
    assert parted(YES, YES) is None


@pytest.mark.parametrize(("margin", "verdict"), [(ROUNDING / 2 - 0.01, "PASS"), (ROUNDING / 2 + 0.01, "FAIL")])
def test_a_near_tie_is_no_difference_between_two_answers_in_one_state(margin: float, verdict: str) -> None:
    before, after = reading(token("a", margin, "b")), reading(token("b", margin, "a"))
    assert judge_again("greedy", [("?", before, after)]).verdict == verdict


def test_tokens_that_move_raise_what_counts_where_the_answers_part() -> None:
    same, moved = token("yes", 3.0, "no"), token("yes", 1.6, "no")
    a, b = token("a", 1.5, "b"), token("b", 1.5, "a")
    found = judge_again("greedy", [("?", reading(same, a), reading(moved, b))])
    assert found.noise == pytest.approx(1.4)
    assert found.verdict == "PASS"
    assert [one.setting for one in judge_again("greedy", [("?", reading(same, a), reading(same, b))]).differences] == [
        AGAIN
    ]


@pytest.mark.parametrize(
    ("one", "other", "size"),
    [
        (share(0.9), share(0.9), 0.0),
        (share(0.9), share(0.6), 0.3),
        (reading(token("a", 9.0, "b")), reading(token("c", 9.0, "d")), 0.99),
        (share(0.9, 0.9), share(0.9, 0.7), 0.2),
        (share(0.9, 0.9), share(0.1, 0.9), 0.8),
        (Reading((), ""), share(0.9), 1.0),
        (Reading((), ""), Reading((), ""), 0.0),
    ],
)
def test_the_distance_is_the_largest_total_variation_up_to_where_answers_part(
    one: Reading, other: Reading, size: float
) -> None:
    assert distance(one, other) == distance(other, one) == pytest.approx(size, abs=0.01)


@pytest.mark.parametrize(("shift", "verdict"), [(LEAST - 0.02, "PASS"), (LEAST + 0.02, "FAIL")])
def test_a_difference_counts_from_a_size_on(shift: float, verdict: str) -> None:
    assert judge("load", compared([share(0.9)] * 2, [share(0.9 - shift)] * 2)).verdict == verdict


def test_what_differs_in_either_state_as_much_as_between_them_is_noise() -> None:
    shapes = [share(0.9), share(0.2)]
    found = judge("load", compared(shapes, shapes))
    assert found.noise == pytest.approx(0.7)
    assert found.verdict == "PASS"


def test_one_request_that_differs_is_chance() -> None:
    """The mean over eight is beyond the limit, but one token proves nothing."""
    odd = compared([share(0.999)] * 2, [share(0.001)] * 2, times=1)
    rest = [dataclasses.replace(one, after=(share(0.9),) * 2, before=(share(0.9),) * 2) for one in compared([], [])]
    assert judge("load", [*odd, *rest[:5]]).verdict == "PASS"
    assert judge("load", compared([share(0.999)] * 2, [share(0.001)] * 2, times=6)).verdict == "FAIL"


def test_a_probe_that_could_not_tell_another_conversation_says_so() -> None:
    shapes, alike = [share(0.9), share(0.5)], [share(0.9), share(0.5)]
    found = judge("load", compared(shapes, shapes, alike))
    assert found.verdict is None
    assert "answers in another conversation differ by only" in found.unchecked
    assert judge("load", compared(shapes, shapes, [share(0.01)] * 2)).verdict == "PASS"


def test_a_token_that_the_server_calls_unlikely_is_named_whatever_else_differs() -> None:
    odd = reading(Token("no", -4.0, {"yes": -0.02, "no": -4.0}))
    rows = [judge("warm_cold", compared([YES, YES], [odd, odd]))]
    result = summary(rows, ["warm_cold"]).result
    assert result is not None
    assert GREEDY in result.blame


@pytest.mark.parametrize(
    ("server", "probe", "reason"),
    [
        (StateServer(cached_tokens=False), "warm_cold", "--enable-prompt-tokens-details"),
        (StateServer(block=0), "warm_cold", "0 tokens came out of the prefix cache"),
        (StateServer(salts=False), "warm_cold", "does not accept cache_salt"),
        (StateServer(logprobs=False), "load", "returns no logprobs"),
        (StateServer(model_len=400), "load", "context holds none"),
        (StateServer(model_len=0), "poison", "does not report its context length"),
    ],
)
def test_what_cannot_be_asked_is_said_with_its_reason(server: StateServer, probe: str, reason: str) -> None:
    (row,) = asked(server, probe)
    assert reason in row.unchecked
    assert reason in summary([row], [probe]).unchecked[f"server_state.{probe}"]
    assert not row.differences


def test_a_server_that_takes_too_long_is_not_checked_and_left_alone() -> None:
    class Slow(StateServer):
        async def post(self, path: str, body: Mapping[str, Any]) -> Response:
            self._running += 1
            try:
                await asyncio.sleep(3600.0 if self.asked else 0.0)
            finally:
                self._running -= 1
            return await super().post(path, body)

    server = Slow("other_prompt")
    profile = dataclasses.replace(PROFILE, state=dataclasses.replace(PROFILE.state or StateProbes(), seconds=1))
    row = asyncio.run(Asking(server, profile, "toy").probe("poison"))
    assert (row.verdict, row.unchecked) == (None, "the server took longer than 1 s")
    assert server._running == 0


def test_a_server_that_never_lists_its_models_has_no_known_context() -> None:
    class Silent(StateServer):
        async def request(self, method: str, path: str, payload: bytes | None = None) -> Response:
            await asyncio.sleep(3600.0)
            return await super().request(method, path, payload)

    traffic = dataclasses.replace(PROFILE.traffic, request_timeout=0.1)
    asking = Asking(Silent(), dataclasses.replace(PROFILE, traffic=traffic), "toy", context=1)
    asyncio.run(asyncio.wait_for(asking.learn_context(), timeout=30))
    assert asking.context is None


def test_probes_that_could_not_be_asked_neither_pass_nor_fail() -> None:
    found = summary(asked(StateServer(logprobs=False), "warm_cold", "load"), ["warm_cold", "load"])
    assert found.result is None
    assert set(found.unchecked) == {"server_state.warm_cold", "server_state.load"}


def test_a_probe_that_was_not_asked_is_inconclusive() -> None:
    result = summary(asked(StateServer(), "load"), ["load", "poison"]).result
    assert result is not None
    assert result.verdict == "INCONCLUSIVE"


def test_a_probe_that_broke_is_an_error() -> None:
    class Dead(StateServer):
        async def post(self, path: str, body: Mapping[str, Any]) -> Response:
            raise TransportError("connection closed before any answer", resend=True)

    result = summary(asked(Dead(), "load"), ["load"]).result
    assert result is not None
    assert (result.verdict, result.cause) == ("ERROR", "")


def test_the_report_begins_with_the_server_and_shows_both_answers() -> None:
    row = judge("warm_cold", compared([YES, YES], [NO, NO]))
    result = summary([row], ["warm_cold"]).result
    assert result is not None
    verdict = RunVerdict("FAIL", gates=(result,))
    first = terminal.lines(verdict, color=False, width=200, piped=True)[0]
    assert first.startswith("The server's state is to blame, not the weights")
    assert "in a batch: 'no' instead of 'yes'" in first
    assert verdict_json.to_dict(verdict)["gates"][0]["cause"] == "server"
