"""What a set of texts is to the benchmark: items to judge, and the row of the table that counts them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Want = Literal["nothing", "something"]

_PARTICULAR = re.compile(r"""[^ ]*[0-9].*|: .*|['"(].*""")


@dataclass(frozen=True, slots=True)
class Item:
    """One answer to judge, as a line for `annie-eval check`, and the row that it counts in.

    Attributes:
        row: the label of the row; rows are printed in the order of their first item.
        want: `nothing` counts findings as false alarms, `something` counts none as a miss.
        line: `messages` and, where they matter, `expect`.
        detectors: who is asked; findings of any of them count.
        tools: the tools that were offered, by name; None for the profile's own.
        note: what an example of this item shows in place of its text.
        language: BCP 47 tag of the language that the answer should have; None for the profile's own.
    """

    row: str
    want: Want
    line: Mapping[str, Any]
    detectors: tuple[str, ...]
    tools: Mapping[str, Any] | None = None
    note: str = ""
    language: str | None = None


@dataclass(slots=True)
class Row:
    """Counts of one row: `wrong` of `n` are alarms or misses, of which `right` were read and found to be deserved."""

    label: str
    want: Want
    n: int = 0
    wrong: int = 0
    right: int = 0
    by_detector: Counter[str] = field(default_factory=Counter)
    by_rule: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


def rule(detector: str, reason: str) -> str:
    """The rule behind a finding's reason: without the text that it quotes, its numbers and its list of cues."""
    return f"{detector}: {_PARTICULAR.sub('', reason).strip()}"


def answer_line(text: str, user: str = "Hello.", **expect: Any) -> dict[str, Any]:
    """A line for `annie-eval check`: the user speaks, the assistant says `text`, no call is wanted."""
    messages = [{"role": "user", "content": user}, {"role": "assistant", "content": text}]
    return {"messages": messages, "expect": {"calls": [], **expect}}
