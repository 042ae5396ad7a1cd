"""Do two groups of answers to the same request differ by more than answers within a group? Pure.

The energy distance (Szekely & Rizzo 2004) of each request, summed over requests, against every other way to tell
which of a request's answers are the second group: if the groups are no different, each way is as likely.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

Matrix = Sequence[Sequence[float]]
"""Distances between all answers to one request; symmetric."""
_DRAWS = 20_000


def within(distances: Matrix, group: Sequence[int]) -> float | None:
    """The mean distance between two members of a group; None for a group of one."""
    pairs = list(combinations(group, 2))
    return sum(distances[a][b] for a, b in pairs) / len(pairs) if pairs else None


def excess(distances: Matrix, second: Sequence[int]) -> float:
    """The mean distance between the second group and the others, less the mean distance within a group.

    A group of one is taken to be as scattered as the other.
    """
    first = [at for at in range(len(distances)) if at not in second]
    between = sum(distances[a][b] for a in first for b in second) / (len(first) * len(second))
    scatter = [each for each in (within(distances, first), within(distances, second)) if each is not None]
    return between - (sum(scatter) / len(scatter) if scatter else 0.0)


def p_value(requests: Sequence[tuple[Matrix, int]]) -> float:
    """How often relabelling at random makes the sum of excesses at least as large, by 20,000 draws of a fixed seed.

    Args:
        requests: distances between the answers to each, and how many of them, the last, are the second group.
    """
    real, ways = 0.0, []
    for distances, n in requests:
        total = len(distances)
        real += excess(distances, range(total - n, total))
        ways.append([excess(distances, chosen) for chosen in combinations(range(total), n)])
    draw = random.Random(0)
    as_large = sum(sum(map(draw.choice, ways)) >= real - 1e-9 for _ in range(_DRAWS))
    return (1 + as_large) / (1 + _DRAWS)
