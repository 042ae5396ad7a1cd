"""Maximum bipartite matching, for parallel tool calls that may come in any order."""

from __future__ import annotations

from collections.abc import Sequence


def match(fits: Sequence[Sequence[bool]], required: Sequence[bool], calls: int) -> dict[int, int]:
    """Pair wanted calls with received ones so that as few as possible of both are left unpaired.

    Augmenting paths (Kuhn's algorithm), first from the required calls, then from the received calls that are still
    unpaired. A path never frees a partner that it has passed, so the second round keeps every required want that the
    first has paired; by the theorem of Mendelsohn and Dulmage both goals are met at once wherever each can be met
    alone.

    Args:
        fits: for each wanted call, whether each received call satisfies it.
        required: for each wanted call, whether it must come.
        calls: number of received calls.

    Returns:
        received call by wanted call, both as indices.
    """
    call_of: dict[int, int] = {}
    want_of: dict[int, int] = {}

    def pair(want: int, call: int) -> None:
        call_of[want], want_of[call] = call, want

    def place_want(want: int, seen: set[int]) -> bool:
        for call in range(calls):
            if fits[want][call] and call not in seen:
                seen.add(call)
                if call not in want_of or place_want(want_of[call], seen):
                    pair(want, call)
                    return True
        return False

    def place_call(call: int, seen: set[int]) -> bool:
        for want in range(len(fits)):
            if fits[want][call] and want not in seen:
                seen.add(want)
                if want not in call_of or place_call(call_of[want], seen):
                    pair(want, call)
                    return True
        return False

    for want in range(len(fits)):
        if required[want]:
            place_want(want, set())
    for call in range(calls):
        if call not in want_of:
            place_call(call, set())
    return call_of
