"""The size of forward passes follows from two measurements, and is halved if it was too large."""

import pytest

from quant.training.memory import Passes, choose, smaller

GIB = 2**30


def measured(base: float, plain: float, checkpointed: float):  # type: ignore[no-untyped-def]
    """Bytes of a pass that takes `base` GiB and so many MiB a token."""
    return lambda tokens, checkpointing: int(base * GIB + tokens * (checkpointed if checkpointing else plain) * 2**20)


def test_without_checkpointing_as_many_tokens_as_fit() -> None:
    found = choose(measured(1, 5, 1), 50 * GIB, 600, 16384)
    assert not found.checkpointing
    assert found.chosen == "measured"
    assert 6800 < found.micro_tokens <= (0.70 * 50 - 1) * 1024 / 5
    assert found.micro_tokens % 32 == 0


def test_a_whole_batch_where_it_fits() -> None:
    assert choose(measured(1, 1, 1), 50 * GIB, 600, 16384) == Passes(16384, False, "measured")


def test_checkpointing_where_passes_would_be_short() -> None:
    found = choose(measured(1, 20, 1), 50 * GIB, 600, 16384)
    assert found == Passes(16384, True, "measured")


def test_running_out_while_measuring_counts_as_not_fitting() -> None:
    fits = measured(1, 1, 1)
    found = choose(lambda tokens, kind: fits(tokens, kind) if kind else None, 50 * GIB, 600, 16384)
    assert found.checkpointing


def test_what_the_user_gives_is_kept() -> None:
    assert choose(measured(1, 5, 1), 50 * GIB, 600, 16384, micro_tokens=8192).micro_tokens == 8192
    assert choose(measured(1, 1, 1), 50 * GIB, 600, 16384, checkpointing=True).checkpointing


@pytest.mark.parametrize(
    ("passes", "open_", "expected"),
    [
        (Passes(16384), True, Passes(8192, False, "smaller")),
        (Passes(1000), True, Passes(608, False, "smaller")),
        (Passes(608), True, Passes(608, True, "smaller")),
        (Passes(608), False, None),
        (Passes(608, True), True, None),
    ],
)
def test_after_running_out_half_the_tokens_then_checkpointing(
    passes: Passes, open_: bool, expected: Passes | None
) -> None:
    assert smaller(passes, 608, open_) == expected
