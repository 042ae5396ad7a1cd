"""Reads a mix: the number of conversations of each kind in a data set, and a description of each kind.

profile = "annie-smol"        # its system prompt and tools are used
thinking = 0.3                # share of conversations with thinking on

[kinds.web_search]
count = 100
tool = "web_search"           # every conversation calls it; without `tool` none is called
describe = "…"                # put into the teacher's prompt

[kinds.multi_turn]
count = 30
turns = [2, 6]                # user turns
calls = 2                     # how many of them call a tool; if left out, any number
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.profile.files import read_toml


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of conversation."""

    name: str
    count: int
    describe: str = ""
    tool: str = ""
    turns: tuple[int, int] = (1, 1)
    calls: int | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """A number of conversations of a kind to write, with calls, without, or either."""

    kind: Kind
    calls: bool | None
    count: int

    @property
    def name(self) -> str:
        return self.kind.name + {None: "", True: " with a call" if self.kind.calls else "", False: ""}[self.calls]


@dataclass(frozen=True, slots=True)
class Mix:
    """The plan of a data set."""

    name: str
    profile: str
    kinds: tuple[Kind, ...]
    thinking: float = 0.3

    @property
    def count(self) -> int:
        return sum(kind.count for kind in self.kinds)

    def needs(self) -> list[Need]:
        """What has to be written, by kind."""
        found = []
        for kind in self.kinds:
            if kind.tool:
                found.append(Need(kind, True, kind.count))
            elif kind.turns == (1, 1):
                found.append(Need(kind, False, kind.count))
            elif kind.calls is None:
                found.append(Need(kind, None, kind.count))
            else:
                found += [Need(kind, True, kind.calls), Need(kind, False, kind.count - kind.calls)]
        return [need for need in found if need.count]


def load_mix(path: Path, count: int | None = None) -> Mix:
    """The mix in a TOML file, scaled to `count` conversations if that is given.

    Raises UsageError that names the file, the field and what to write.
    """
    mix = _mix(read_toml(path, f"mix {path}"), path.stem, f"mix {path}")
    return mix if count is None else _scaled(mix, count)


def _mix(raw: dict[str, Any], name: str, where: str) -> Mix:
    for field in raw:
        if field not in {"profile", "thinking", "kinds"}:
            raise UsageError(f"{where}: {field} is no field of a mix; use profile, thinking and kinds")
    kinds = raw.get("kinds")
    if not isinstance(kinds, dict) or not kinds:
        raise UsageError(f"{where}: kinds is missing; write at least one [kinds.NAME] with a count")
    if not isinstance(raw.get("profile"), str):
        raise UsageError(f"{where}: profile is missing; name a profile or its .toml file")
    thinking = raw.get("thinking", 0.3)
    if isinstance(thinking, bool) or not isinstance(thinking, int | float) or not 0 <= thinking <= 1:
        raise UsageError(f"{where}: thinking is {thinking!r}; write a share from 0 to 1")
    return Mix(
        name, raw["profile"], tuple(_kind(key, body, f"{where}: kinds.{key}") for key, body in kinds.items()), thinking
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _kind(name: str, body: Any, where: str) -> Kind:
    if not isinstance(body, dict):
        raise UsageError(f"{where} is no table; write [kinds.{name}] with a count")
    for field in body:
        if field not in {"count", "describe", "tool", "turns", "calls"}:
            raise UsageError(f"{where}.{field} is no field of a kind; use count, describe, tool, turns and calls")
    if not _is_count(body.get("count")):
        raise UsageError(f"{where}.count is {body.get('count')!r}; write an integer of at least 0")
    turns = body.get("turns", [1, 1])
    if (
        not isinstance(turns, list)
        or len(turns) != 2
        or not all(map(_is_count, turns))
        or not 1 <= turns[0] <= turns[1]
    ):
        raise UsageError(f"{where}.turns is {turns!r}; write [least, most] user turns, such as [2, 6]")
    for field in ("describe", "tool"):
        if not isinstance(body.get(field, ""), str):
            raise UsageError(f"{where}.{field} is no text; write a string")
    calls = body.get("calls")
    if calls is not None and (not _is_count(calls) or calls > body["count"]):
        raise UsageError(f"{where}.calls is {calls!r}; write an integer up to the kind's count")
    if calls is not None and (body.get("tool") or turns == [1, 1]):
        raise UsageError(f"{where}.calls is for kinds of several turns without a tool of their own; leave it out")
    return Kind(name, body["count"], body.get("describe", ""), body.get("tool", ""), (turns[0], turns[1]), calls)


def _scaled(mix: Mix, count: int) -> Mix:
    """Scale the mix to another size, by largest remainders, so that the sum is exact."""
    if count < 1:
        raise UsageError(f"--count is {count}; write a number of at least 1")
    if mix.count == 0:
        raise UsageError(f"mix {mix.name}: every count is 0; give at least one kind a count")
    shares = [kind.count * count / mix.count for kind in mix.kinds]
    counts = [int(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda index: (counts[index] - shares[index], index))
    for index in order[: count - sum(counts)]:
        counts[index] += 1
    kinds = [
        replace(
            kind,
            count=n,
            calls=None if kind.calls is None else round(kind.calls * n / kind.count) if kind.count else 0,
        )
        for kind, n in zip(mix.kinds, counts, strict=True)
    ]
    return replace(mix, kinds=tuple(kinds))
