"""Draws examples from a hypothesis strategy: the same examples for the same seed in any process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider
from hypothesis.strategies import SearchStrategy

_T = TypeVar("_T")
_BACKEND = "annie-eval"
_BATCH = 100


class _Provider(HypothesisProvider):
    """hypothesis's provider, without constants from loaded modules.

    With them a worker would draw other examples than the process that owns the run, because it loaded other modules.
    """

    def _maybe_draw_constant(self, *_: Any, **__: Any) -> None:
        return None


AVAILABLE_PROVIDERS[_BACKEND] = f"{__name__}.{_Provider.__name__}"


def examples(strategy: SearchStrategy[_T], most: int, seed_: int) -> list[_T]:
    """At most `most` different examples, in the order in which they were drawn."""
    drawn: dict[str, _T] = {}

    @seed(seed_)
    @settings(
        max_examples=most,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
        backend=_BACKEND,
    )
    @given(strategy)
    def collect(example: _T) -> None:
        drawn.setdefault(repr(example), example)

    collect()
    return list(drawn.values())[:most]


def batches(strategy: Callable[[int], SearchStrategy[list[_T]]], count: int, seed_: int) -> list[_T]:
    """`count` examples from a strategy that draws a given number at once.

    hypothesis allows only a few thousand choices in one example, and begins with the simplest one.
    """
    drawn: list[_T] = []
    for batch in range((count - 1) // _BATCH + 1):
        size = min(_BATCH, count - len(drawn))
        drawn += examples(strategy(size), 2, seed_ * 1_000_003 + batch)[-1]
    return drawn
