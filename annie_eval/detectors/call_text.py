"""Finds tool calls written as text: tags, JSON or code in place of a call over the tool channel.

What gives a call away, whether its tool was offered or not:

- a tool tag of any family, or a tag named after an offered tool or one of its parameters;
- JSON or Python's repr: a key in quotes and a value, in text that has a bracket, or what is left of one;
- code: a name with arguments in round brackets, `search_memory(query=...)`, `tools.call("...")`;
- the name of an offered tool that no speech would carry: on a line of its own, glued to other letters, behind
  "calling" or a slash, before a parameter, a colon or an arrow; any snake_case name that is a line of its own;
- an announcement in brackets, `[Calling tool: ...]`; addresses and fences of known families.

Only the name of an offered tool in a sentence is talk: "I can use get_weather for that."
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from annie_eval.detectors.tags import scan
from annie_eval.text import characters


@dataclass(frozen=True, slots=True)
class CallText:
    """A call, or a piece of one, in text. `tagged` calls carry the model's own tool markup."""

    reason: str
    start: int
    end: int
    tagged: bool = False


_NEAR = 400
_IDENTIFIER = r"[a-z][a-z0-9]{0,40}(?:_[a-z0-9]{1,40}){1,8}|[a-z]{1,40}[A-Z]\w{0,60}|[A-Z][a-z]+(?:[A-Z][a-z]+){1,6}"
# What is found, signs of which every match has one, and the pattern.
_MARKUP = (
    ("tool call in a code fence", "`~", r"(?:```|~~~)[ \t]*(?:tool_code|tool_call|tool_use|function_call)"),
    (
        "address of a tool in text",
        "=✿:[",
        r"\bto=(?:functions|tools)\.|✿(?:FUNCTION|ARGS)✿|\bfunctions\.\w{2,40}:\d|\[ARGS\]"
        r"|\bcall:\w{2,40}\{",
    ),
    ("ReAct action in text", ":", r"^[ \t*]{0,4}Action Input[ \t*]{0,4}:"),
    (
        "tool call announced in brackets",
        "[(<",
        r"[\[(<]\s?(?:tool |function )?(?:call(?:ing|ed)?|us(?:ing|ed|e)|invok(?:ing|ed?)|execut(?:ing|ed?)|tool"
        r"|function)(?: (?:the )?(?:tool|function))?s?\s?[:=][^\])>\n]{0,80}[\])>]",
    ),
)
_JSON = (
    r"[{\[]\s{0,40}[\"'][\w. -]{1,60}(?:[\"']\s{0,8}:|\Z)"  # {"name":
    r"|[\"'][\w. -]{1,60}[\"']\s{0,8}:\s{0,8}(?:[\"'\[{]|-?\d|true\b|false\b|null\b|None\b|True\b|False\b)"
    r"|\w[\"']\s{0,8}:\s{0,8}[\[{\"']|[\"'\d\]}]\s{0,8}\}\s{0,8}[}\]]|:\s{0,8}\{\s{0,8}[\"']"
)
_CODE = (
    r"(?<![\w.])(?:[A-Za-z_]\w{0,40}\.){0,3}[A-Za-z_]\w{1,60}\(\s{0,4}(?:\w{1,40}\s{0,4}=(?!=)|[\"'{]|\[[\"'{\]])"
    rf"|(?<![\w.-])(?:{_IDENTIFIER})\([\w)]|(?<![\w.-])(?:[a-z]\w{{0,40}}_\w{{1,40}})(?:\s?\{{|\[ARGS\])"
    r"|<[a-z]{2,20}(?:_[a-z]{2,20}){1,4}\s+\w{1,40}=[\"']"
)
_ANY_NAME_ALONE = r"(?:^[ \t]*|(?<=[.!?:] ))[a-z][a-z0-9]{0,40}(?:_[a-z0-9]{1,40}){1,8}[ \t]*$"
# What is left of a call whose beginning was eaten, or that stops before its arguments.
_REST = re.compile(
    r"[\"'](?:arguments|parameters)[\"']\s{0,4}:\s{0,4}(?:[{\[\"']|\Z)"  # name", "arguments":
    r"|[\"'],\s?[\"'](?:(?:arguments|parameters)[\"']\Z|\w{2,40}[\"']:\s?(?:[\"'\[{]|\Z))"
    r"|\A\s{0,4}[\w.-]{0,60}[\"']\s?/?>|\bname=[\"'][\w.-]{1,60}[\"']\s?/?>|<\|[\"']\|>"  # get_weather">
    r"|[,(]\s?\w{2,40}=(?:None\b|True\b|False\b|null\b|true\b|false\b|[\"'\[{])"  # , unit="C"
    r"|\A\s{0,4}(?:\w?\()?\w{2,40}=[\"'\[{]|\w=[\w.-]{1,40}\)\]|[\"']\)\]"  # from=0)]
    r"|\w[\"']\s?\}|\A\s{0,4}[\])]?\}"  # Rome"}
)
_ENDS = re.compile(r"(?<![:;=])[\"']\)\s{0,8}\Z|(?<=[^\W\d])\",\s{0,8}\Z")
_PATTERNS = {"JSON": ("{}[]", re.compile(_JSON)), "code": ("({[<", re.compile(_CODE))}
_ALONE = re.compile(_ANY_NAME_ALONE, re.MULTILINE)
_ANNOUNCED = tuple(
    (reason, signs, re.compile(pattern, re.IGNORECASE | re.MULTILINE)) for reason, signs, pattern in _MARKUP
)


def find_call_text(text: str, tools: Mapping[str, Mapping[str, Any]], *, about_tags: bool = False) -> CallText | None:
    """The first tool call that a text holds, or None.

    Args:
        tools: JSON Schema of the parameters by name of the tools that were offered.
        about_tags: the user asked about tool tags: naming one is no call, a tag followed by a call still is.
    """
    if found := _tagged(text, tools, about_tags) or _structured(text, tools):
        return found
    if about_tags:
        return None
    here = characters(text)
    for reason, signs, pattern in _ANNOUNCED:
        if not here.isdisjoint(signs) and (match := pattern.search(text)):
            return CallText(reason, *match.span(), tagged=True)
    if "_" in here and (match := _ALONE.search(text)):
        return CallText("name of a tool in text", *match.span())
    return next(_named(text, tools), None)


def _tagged(text: str, tools: Mapping[str, Mapping[str, Any]], about_tags: bool) -> CallText | None:
    for tag in scan(text):
        if tag.kind != "tool":
            continue
        after = text[tag.end : tag.end + _NEAR]
        if about_tags and not _calls_something(after, tools):
            continue
        return CallText(f"tool tag {text[tag.start : tag.end].strip()!r} in text", tag.start, tag.end, tagged=True)
    if "<" in text and (match := _tag_pattern(_names(tools)).search(text)):
        return CallText(f"tag named after a tool, {match.group()!r}, in text", *match.span(), tagged=True)
    return None


def _calls_something(after: str, tools: Mapping[str, Any]) -> bool:
    """Whether a tag is followed by a call of an offered tool, and not by talk about tags."""
    body = after.lstrip()
    return body[:1] in ("{", "<", "[") and any(name in body for name in tools)


def _structured(text: str, tools: Mapping[str, Mapping[str, Any]]) -> CallText | None:
    """A call as JSON or code, or what is left of one."""
    here = characters(text)
    for kind, (signs, pattern) in _PATTERNS.items():
        if not here.isdisjoint(signs) and (match := pattern.search(text)):
            about = next((name for name in tools if name in text), None)
            what = f"call of {about}" if about else "a call or its arguments"
            return CallText(f"{what} as {kind} in text", *match.span())
    if not here.isdisjoint("\"'=}") and (match := _REST.search(text)):
        return CallText("rest of a call in text", *match.span())
    # A bracket or a quote that closes what nothing opened.
    if (match := _ENDS.search(text[-40:])) and (text.count(")") > text.count("(") or text.count('"') % 2):
        return CallText("end of a call in text", len(text) - len(match.group()), len(text))
    return None


def _named(text: str, tools: Mapping[str, Mapping[str, Any]]) -> Iterator[CallText]:
    """The name of an offered tool where no speech would have it."""
    if not any(name in text for name in tools):
        return
    for match in _name_pattern(_names(tools)).finditer(text):
        name = next(name for name in tools if name in match.group())
        yield CallText(f"call of {name} in text", *match.span())


def _names(tools: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the tools, and of all their parameters."""
    parameters: set[str] = set()
    for schema in tools.values():
        properties = schema.get("properties")
        parameters |= set(properties) if isinstance(properties, Mapping) else set()
    return tuple(tools), tuple(sorted(parameters))


@lru_cache(maxsize=64)
def _tag_pattern(names: tuple[tuple[str, ...], tuple[str, ...]]) -> re.Pattern[str]:
    every = "|".join(re.escape(name) for name in (*names[0], *names[1])) or r"(?!)"
    return re.compile(rf"</?(?:{every})(?:\s[^<>]{{0,80}})?/?>")


@lru_cache(maxsize=64)
def _name_pattern(names: tuple[tuple[str, ...], tuple[str, ...]]) -> re.Pattern[str]:
    """Names of one plain word need a closer likeness to a call: "the weather (in Paris)" is speech."""
    every = "|".join(re.escape(name) for name in names[0]) or r"(?!)"
    composed = "|".join(re.escape(name) for name in names[0] if re.search(r"[^a-z]|[a-z][A-Z]", name)) or r"(?!)"
    parameters = "|".join(re.escape(name) for name in names[1]) or r"(?!)"
    return re.compile(
        rf"(?<![\w.-])(?:{every})(?:\s{{0,2}}[:=]?\s{{0,2}}\{{|\s?\[ARGS\]|[ \t]*\n[ \t]*(?:{parameters})\b)"
        rf"|(?<=\w)(?:{composed})|(?:{composed})(?=[^\W_])"
        rf"|^[ \t]*(?:{every})[ \t]*(?:\n[ \t]*\S|\Z)|(?:{composed})[ \t]*\n[ \t]*\S|[.!?:](?:{composed})"
        rf"|(?:{composed})(?:\s?(?:=>|->|→|\|)|\s?[:=]\s?[\"'\[]|\s\w{{1,40}}[=:]\s?\S|\s[\"'])"
        rf"|`(?:{composed})[ :=][^`\n]{{1,80}}`|(?:\A|\busing )(?:{composed}): [^.,;:\n]{{1,40}}\.?\Z"
        rf"|(?:{composed}), (?:{parameters}) \w"
        rf"|(?:^|[\s(\[])[/@](?:{composed})\b|\[(?:{composed})\b[^\]\n]{{0,200}}\]"
        r"|(?:^|[.!?\n\[(*][ \t]{0,4})(?i:call(?:s|ing|ed)?|us(?:es|ing|ed)|invok(?:ing|ed?)|running|executing|tool"
        rf"|function|action|name)[\s:=`\"'*]{{1,6}}(?:the |tool |function ){{0,2}}[`\"'*]{{0,2}}(?:{composed})",
        re.MULTILINE,
    )
