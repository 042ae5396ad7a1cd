"""Answers in two states of a server, token by token: distances, and where each rule of the gate begins to count."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from annie_eval.gates import server_state
from annie_eval.gates.server_state import (
    AGAIN,
    ERROR_RATE,
    GREEDY,
    ROUNDING,
    Comparison,
    Difference,
    ProbeResult,
    Reading,
    distance,
    drift,
    judge,
    judge_again,
    parted,
    unlikely,
)
from annie_eval.profile.types import PROBES
from annie_eval.wire.logprobs import Token


def listed(text: str, **shares: float) -> Token:
    """A token with the probabilities that the server lists; the token's own is the one listed."""
    top = {each: math.log(share) for each, share in shares.items()}
    return Token(text, top.get(text, math.log(0.01)), top)


def scored(text: str, sent: float, **top: float) -> Token:
    """A token with log-probabilities: its own, and those that the server lists."""
    return Token(text, sent, top)


def answer(*tokens: Token) -> Reading:
    return Reading(tokens, "".join(token.text for token in tokens))


@pytest.mark.parametrize(
    ("one", "other", "size"),
    [
        pytest.param(answer(listed("a", a=0.7, b=0.2)), answer(listed("a", a=0.7, b=0.2)), 0.0, id="equal"),
        pytest.param(answer(listed("a", a=0.7, b=0.2)), answer(listed("a", a=0.5, b=0.4)), 0.2, id="shifted"),
        # 0.8 - 0.5 and 0.1 - 0.05 where the first is larger
        pytest.param(
            answer(listed("a", a=0.8, b=0.1)), answer(listed("a", a=0.5, b=0.05)), 0.35, id="more of both"
        ),
        # c is taken to be as likely as b, the least likely token of the first: 0.5 - 0.3 for c
        pytest.param(answer(listed("a", a=0.6, b=0.3)), answer(listed("c", a=0.4, c=0.5)), 0.2, id="not listed"),
        pytest.param(answer(listed("a")), answer(listed("a", a=0.9)), 0.0, id="nothing listed"),
        pytest.param(
            answer(listed("a", a=0.9), listed("b", b=0.9)),
            answer(listed("a", a=0.8), listed("b", b=0.4)),
            0.5,
            id="the largest of all tokens",
        ),
        pytest.param(
            answer(listed("a", a=0.9), listed("b", b=0.9)),
            answer(listed("a", a=0.4), listed("b", b=0.8)),
            0.5,
            id="the largest of all tokens, first",
        ),
        pytest.param(
            answer(listed("a", a=0.6, b=0.4), listed("b", b=0.9)),
            answer(listed("b", a=0.4, b=0.6), listed("b", b=0.1)),
            0.2,
            id="nothing after the first other token",
        ),
        pytest.param(
            answer(listed("a", a=0.9)), answer(listed("a", a=0.8), listed("b", b=0.9)), 0.1, id="a longer answer"
        ),
        pytest.param(Reading((), "a"), answer(listed("a", a=0.9)), 1.0, id="one without tokens"),
        pytest.param(Reading((), "a"), Reading((), "b"), 0.0, id="both without tokens"),
    ],
)  # fmt: skip
def test_the_distance_of_two_answers(one: Reading, other: Reading, size: float) -> None:
    assert distance(one, other) == distance(other, one) == pytest.approx(size)


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        pytest.param(answer(scored("a", -1.0, a=-1.0)), answer(scored("a", -2.0, a=-2.0)), None, id="the same text"),
        pytest.param(answer(scored("a", -1.0)), answer(scored("a", -1.0), scored("b", -1.0)), None, id="a prefix"),
        # (-0.5 + 1.5) + (-0.25 + 2.25)
        pytest.param(
            answer(scored("x", 0.0), scored("a", -0.5, a=-0.5, b=-1.5)),
            answer(scored("x", 0.0), scored("b", -0.25, b=-0.25, a=-2.25)),
            (1, 3.0),
            id="both margins",
        ),
        # b is not listed by the first: at most as likely as c. (-0.5 + 4) + (-0.25 + 2.25)
        pytest.param(
            answer(scored("a", -0.5, a=-0.5, d=-2.0, c=-4.0)),
            answer(scored("b", -0.25, b=-0.25, a=-2.25)),
            (0, 5.5),
            id="not listed",
        ),
        pytest.param(answer(scored("a", -0.5)), answer(scored("b", -0.25)), (0, 0.0), id="nothing listed"),
        # A token that was sent though another was likelier counts as no margin.
        pytest.param(
            answer(scored("a", -3.0, a=-3.0, b=-0.5)),
            answer(scored("b", -0.25, b=-0.25, a=-2.25)),
            (0, 2.0),
            id="a negative margin",
        ),
    ],
)
def test_where_two_answers_part_and_by_how_much(one: Reading, other: Reading, found: tuple[int, float] | None) -> None:
    assert parted(one, other) == found
    assert parted(other, one) == found


@pytest.mark.parametrize(
    ("one", "other", "nats"),
    [
        pytest.param(answer(), answer(), 0.0, id="empty"),
        # log-odds of 1 and of 2.5
        pytest.param(
            answer(scored("a", -0.5, a=-0.5, b=-1.5)), answer(scored("a", -0.25, a=-0.25, b=-2.75)), 1.5,
            id="one token",
        ),
        # The most likely rival of the first answer that the second lists is c: 1.5 and 2.5. b is not listed there.
        pytest.param(
            answer(scored("a", -0.5, a=-0.5, b=-1.0, c=-2.0, d=-4.0)),
            answer(scored("a", -0.5, a=-0.5, d=-9.0, c=-3.0)),
            1.0,
            id="the most likely rival",
        ),
        pytest.param(answer(scored("a", -0.5, a=-0.5)), answer(scored("a", -2.0, a=-2.0)), 0.0, id="no rival"),
        pytest.param(
            answer(scored("a", -0.5, a=-0.5, b=-1.0)), answer(scored("a", -0.5, a=-0.5, c=-9.0)), 0.0,
            id="no rival in both",
        ),
        pytest.param(
            answer(scored("a", -0.5, a=-0.5, b=-1.0), scored("a", -0.5, a=-0.5, b=-1.0)),
            answer(scored("a", -0.5, a=-0.5, b=-1.25), scored("a", -0.5, a=-0.5, b=-3.0)),
            2.0,
            id="the largest",
        ),
        pytest.param(
            answer(scored("a", -0.5, a=-0.5, b=-1.0), scored("a", -0.5, a=-0.5, b=-1.0)),
            answer(scored("a", -0.5, a=-0.5, b=-1.25), scored("b", -0.5, a=-5.0, b=-0.5)),
            0.25,
            id="only before the answers part",
        ),
    ],
)  # fmt: skip
def test_by_how_much_tokens_move_before_two_answers_part(one: Reading, other: Reading, nats: float) -> None:
    assert drift(one, other) == nats


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (scored("a", -0.5, a=-0.5, b=-9.0), None),
        (scored("a", -0.5 - ROUNDING, a=-0.5 - ROUNDING, b=-0.5), None),
        (scored("a", -0.5 - ROUNDING), None),
        (scored("a", -2.75, a=-2.75, b=-0.5, c=-1.0), "token 2 is 'a', but 'b' is more likely by 2.2 nats"),
        (scored("a", -2.75, c=-1.0, b=-0.5), "token 2 is 'a', but 'b' is more likely by 2.2 nats"),
    ],
)
def test_a_token_that_is_not_the_most_likely_counts_beyond_rounding(token: Token, reason: str | None) -> None:
    reading = answer(scored("One ", 0.0), token, scored(" three", 0.0))
    expected = [Difference(GREEDY, "", reason, 2.25, "One b", "One a three")] if reason else []
    assert unlikely([answer(), reading]) == expected


def test_of_a_long_answer_a_report_has_what_leads_to_the_unlikely_token() -> None:
    reading = answer(*(scored(letter, 0.0) for letter in "x" * 200), scored("a", -9.0, b=-0.5))
    (found,) = unlikely([reading])
    assert (found.before, found.after) == ("x" * 159 + "b", "x" * 160)
    assert found.reason == "token 201 is 'a', but 'b' is more likely by 8.5 nats"


def certain(text: str) -> Reading:
    """Answers of two different texts are 0.875 apart: 0.9375 less the 0.0625 of the least likely token."""
    return answer(Token(text, math.log(0.9375), {text: math.log(0.9375), "other": math.log(0.0625)}))


A, B, C, D = map(certain, "abcd")


def compared(
    before: Sequence[Reading], after: Sequence[Reading], other: Sequence[Reading] = (), setting: str = "warm"
) -> Comparison:
    return Comparison(setting, "?", tuple(before), tuple(after), tuple(other))


@pytest.mark.parametrize(
    ("p", "settings", "counts"),
    [
        (ERROR_RATE / len(PROBES), 1, True),
        (ERROR_RATE / len(PROBES) * 1.001, 1, False),
        (ERROR_RATE / len(PROBES) / 4, 4, True),
        (ERROR_RATE / len(PROBES) / 4 * 1.001, 4, False),
    ],
)
def test_the_error_rate_is_divided_by_probes_and_settings(
    p: float, settings: int, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_state.relabel, "p_value", lambda _: p)
    names = [f"setting {i}" for i in range(settings)]
    found = judge("load", [compared([A, A], [B, B], setting=name) for name in names])
    assert [each.setting for each in found.differences] == (names if counts else [])
    assert found.held == (() if counts else tuple(names))


def test_states_that_are_as_far_apart_as_answers_in_one_are_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_state.relabel, "p_value", lambda _: 0.0)
    found = judge("load", [compared([A, B], [C, D])])
    assert found == ProbeResult("load", 1, noise=0.875, control=1.0, held=("warm",))
    assert judge("load", [compared([A, B], [C, C])]).verdict == "FAIL"  # 0.875, and 0.4375 within the states


def test_a_control_at_the_limit_leaves_a_setting_unchecked() -> None:
    found = judge("load", [compared([A, B], [A, B], [C])], "no cache")
    assert found == ProbeResult(
        "load",
        0,
        noise=0.875,
        control=0.875,
        unchecked="no cache; warm: answers in another conversation differ by only 0.88, which is within the limit of"
        " 0.88",
    )


def test_every_field_of_a_difference_between_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request that differs most stands for the others; those of another setting have their own line."""
    monkeypatch.setattr(server_state.relabel, "p_value", lambda _: 0.0004)
    near = answer(Token("a", math.log(0.5), {"a": math.log(0.5), "other": math.log(0.25)}))
    long = Reading(B.tokens, "b" * 200)
    warm = [Comparison("warm", "near?", (A, A), (near, near)), Comparison("warm", "far?", (A, A), (long, B), (C, D))]
    found = judge("load", [*warm, compared([A, A], [A, A], [B], setting="cold")])
    reason = (
        "over 2 requests, answers in the two states differ by 0.66, in the same state by 0.00, and in another"
        " conversation by 0.94; p = 0.0004"
    )
    assert found == ProbeResult(
        "load",
        3,
        noise=0.0,
        control=round((0.9375 + 0.875) / 2, 4),
        differences=(Difference("warm", "far?", reason, 0.656, "a", "b" * 160),),
        held=("cold",),
    )


def test_nothing_compared_is_no_result() -> None:
    assert judge("load", []) == ProbeResult("load")
    assert ProbeResult("load") == ProbeResult("load", 0, 0.0, 0.0, (), (), "", "")
    assert judge_again("greedy", []) == ProbeResult("greedy")


def again(margin: float, moved: float = 0.0) -> tuple[str, Reading, Reading]:
    """Answers that part at the second token, by twice the margin; the first one moves before."""
    first = scored("The ", -0.5, **{"The ": -0.5, "A ": -3.5}), scored("yes", -0.5, yes=-0.5, no=-0.5 - margin)
    second = scored("The ", -0.5, **{"The ": -0.5, "A ": -3.5 - moved}), scored("no", -0.5, no=-0.5, yes=-0.5 - margin)
    return "Is it?", answer(*first), answer(*second)


@pytest.mark.parametrize(
    ("pairs", "noise", "told"),
    [
        pytest.param([again(ROUNDING / 2)], 0.0, None, id="rounding"),
        pytest.param([again(ROUNDING / 2 + 0.125)], 0.0, (2.25, "2.2 nats", "2.0"), id="beyond rounding"),
        pytest.param([again(1.125, moved=0.75)], 0.75, None, id="three times the noise"),
        pytest.param([again(1.25, moved=0.75)], 0.75, (2.5, "2.5 nats", "2.2"), id="beyond the noise"),
        pytest.param([again(1.25), again(0.5, moved=1.0)], 1.0, None, id="the noise of another pair"),
    ],
)
def test_answers_of_one_state_differ_beyond_rounding_and_three_times_the_noise(
    pairs: list[tuple[str, Reading, Reading]], noise: float, told: tuple[float, str, str] | None
) -> None:
    expected: tuple[Difference, ...] = ()
    if told is not None:
        size, by, limit = told
        reason = (
            f"token 2 is 'no' instead of 'yes': the log-odds changed by {by}, where rounding explains at most {limit}"
        )
        expected = (Difference(AGAIN, "Is it?", reason, size, "The yes", "The no"),)
    assert judge_again("greedy", pairs) == ProbeResult("greedy", len(pairs), noise, differences=expected)
