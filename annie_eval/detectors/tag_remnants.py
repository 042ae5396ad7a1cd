"""Finds protocol tags that lost their head, tail or brackets: `hink>`, `</thi`, `HINK]`, `analysisIt`.

A parser that matches token by token, a stop string or the token limit cuts a tag anywhere; a detokeniser that skips
special tokens leaves the words between them. A head or a tail counts if it begins or ends a known name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from annie_eval.text import word_set

Kind = Literal["thinking", "tool", "special"]
Remnant = tuple[Kind, str, bool, int, int]

_NAMES: dict[Kind, frozenset[str]] = {
    "thinking": word_set(
        "think thinking thought thoughts reason reasoning reflect reflection scratchpad analysis cot planning"
        " rationale deliberation introspection monologue inner_monologue internal_monologue inner_thoughts"
        " chain_of_thought"
        " thought_process thinking_process antthinking seed:think mm:think longcat_think think_fast think_slow"
        " begin_of_thought end_of_thought start_of_thought start_thinking end_thinking begin_think end_think"
        " inner_prefix inner_suffix final_answer solution begin_of_solution end_of_solution"
    ),
    "special": word_set(
        "channel message im_start im_end endoftext end_of_text eot_id eom_id start_header_id end_header_id"
        " start_of_turn end_of_turn begin_of_text start end return assistant system turn response"
    ),
    "tool": word_set(
        "tool_call tool_calls tool_response function function_call functions parameter parameters invoke tool_use"
        " python_tag arg_key arg_value tool_code"
    ),
}
# The last match wins: what may belong to a thinking tag is reported as one.
_ORDER: tuple[Kind, ...] = ("tool", "special", "thinking")
_HEADS: dict[str, Kind] = {
    name[:length]: kind for kind in _ORDER for name in _NAMES[kind] for length in range(1, len(name) + 1)
}
_TAILS: dict[str, Kind] = {
    name[start:]: kind for kind in _ORDER for name in _NAMES[kind] for start in range(len(name))
}

_NUMBERED = re.compile(r"[a-z]{0,6}\d{1,4}")
_TAIL = re.compile(r"(?<![\w<>:|/\[(=-])(?P<slash>/?)(?P<pipe>\|?)/?(?P<name>[\w:]{2,34})(?P<end>\|?>)")
_HEAD = re.compile(
    r"<\s{0,3}(?P<slash>/?)\s{0,3}(?P<pipe>\|?/?)(?P<name>[A-Za-z_:]{1,30}\d{0,4})(?P<more>\|?)(?![\w>|:])"
    r"(?![^<>\n]{0,100}>)"
)
_BARE = re.compile(r"<(?P<slash>/?)(?P<pipe>\|?)\Z|<(?:\|/?|/)(?=\s)")
_SQUARE_TAIL = re.compile(r"(?<![\w\[/])(?P<slash>/?)(?P<name>[A-Z_]{4,30})\](?!\()")
_SQUARE_HEAD = re.compile(r"\[(?P<slash>/?)(?P<name>[A-Z_]{2,30})(?![\w\]])(?![^\[\]\n]{0,100}\])")
_DIAMOND = re.compile(
    r"◁\s?(?=[/a-z])(?P<slash>/?)(?P<name>[a-z]{0,12})(?!\w{0,12}▷)|(?<![\w◁/])(?P<tail>/?[a-z]{1,12})▷"
)
_GLUED = re.compile(
    r"\A\s{0,9}(?:\w{0,9}>)?(?:analysis|final|commentary|thought|thinking)(?:(?=[A-Z])|[ \t]{0,4}\n)"
    r"|\bassistant(?:final|analysis|commentary)"
)
_MINIMAX = re.compile(r"\]<\][\w:]{0,20}\[>\[")


def _found(pattern: re.Pattern[str], sign: str, view: str) -> Iterable[re.Match[str]]:
    """The matches of a pattern, each of which holds this sign; a text without it is not searched."""
    return pattern.finditer(view) if sign in view else ()


def remnants(view: str) -> Iterator[Remnant]:
    """Return kind, name, whether it closes, start and end of each remnant of a tag, in no order."""
    for match in _found(_TAIL, ">", view):
        name = match["name"].lower()
        kind = _TAILS.get(name) or ("special" if "|" in match["end"] or _NUMBERED.fullmatch(name) else None)
        if kind and (len(name) > 2 or match["slash"] or "|" in match["end"]):
            yield kind, match["name"], bool(match["slash"]), *match.span()
    for match in _found(_HEAD, "<", view):
        name = match["name"].lower()
        kind = _HEADS.get(name) or ("special" if match["pipe"] or name.startswith("unused") else None)
        kind = kind or ("special" if len(name) > 2 and "unused".startswith(name) else None)
        glued = match.start() > 0 and view[match.start() - 1].isalnum()
        marked = bool(match["slash"] or match["pipe"])
        if kind and (marked or len(name) > 1 + glued):
            yield kind, match["name"], bool(match["slash"]) or "/" in match["pipe"], *match.span()
    for match in _found(_BARE, "<", view):
        if len(match.group()) > 1:
            yield "special" if "|" in match.group() else "thinking", "", "/" in match.group(), *match.span()
    for match in _found(_SQUARE_TAIL, "]", view):
        if kind := _TAILS.get(match["name"].lower()):
            yield kind, match["name"], bool(match["slash"]) or match["name"].startswith("END"), *match.span()
    for match in _found(_SQUARE_HEAD, "[", view):
        name = match["name"].lower()
        if (kind := _HEADS.get(name)) and (match["slash"] or len(name) > 2):
            yield kind, match["name"], bool(match["slash"]) or name.startswith("end"), *match.span()
    for match in _DIAMOND.finditer(view):
        name = match["tail"] or match["name"] or ""
        if (match["tail"] and name.strip("/") in _TAILS) or (
            match["tail"] is None and (name in _HEADS or match["slash"])
        ):
            yield "thinking", name.strip("/"), "/" in match.group(), *match.span()
    for match in _GLUED.finditer(view):
        yield "thinking", match.group().strip(), False, *match.span()
    for match in _found(_MINIMAX, "]<]", view):
        yield "special", match.group(), False, *match.span()
