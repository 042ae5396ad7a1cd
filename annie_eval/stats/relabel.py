"""A permutation test: whether two groups of answers differ by more than answers within a group. Pure.

The distance between the two nearest answers of different groups, summed over requests, against every other way to
tell which of a request's answers are the second group: if the groups are no different, each way is as likely. The
nearest, because answers that are computed alike are then equal, and one such pair shows that the groups are not apart.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

Matrix = Sequence[Sequence[float]]
"""Distances between all answers to one request; symmetric."""
_DRAWS = 20_000


def within(distances: Matrix, group: Sequence[int]) -> float | None:
    """The mean distance between two members of a group; None for a group with one member."""
    pairs = list(combinations(group, 2))
    return sum(distances[a][b] for a, b in pairs) / len(pairs) if pairs else None


def apart(distances: Matrix, second: Sequence[int]) -> float:
    """The smallest distance between a member of the second group and one of the first."""
    return min(distances[a][b] for a in range(len(distances)) if a not in second for b in second)


def p_value(requests: Sequence[tuple[Matrix, int]]) -> float:
    """The p-value: how often random labels make the sum of `apart` at least as large, in 20,000 draws of a fixed seed.

    Args:
        requests: for each request, the distances between its answers, and how many of the last ones are the second
            group.
    """
    real, ways = 0.0, []
    for distances, n in requests:
        total = len(distances)
        real += apart(distances, range(total - n, total))
        ways.append([apart(distances, chosen) for chosen in combinations(range(total), n)])
    draw = random.Random(0)
    drawn = [draw.choices(each, k=_DRAWS) for each in ways]
    as_large: int = sum(sum(each) >= real - 1e-9 for each in zip(*drawn, strict=True))
    return (1 + as_large) / (1 + _DRAWS)
