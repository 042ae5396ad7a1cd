"""Find a tool call written as text: tags, JSON, or code where a call should have come over the tool channel."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from annie_eval.detectors.tags import scan


@dataclass(frozen=True, slots=True)
class CallText:
    """A call, or a piece of one, in text. `tagged` calls carry the model's own tool markup."""

    reason: str
    start: int
    end: int
    tagged: bool = False


_FENCE = re.compile(r"(?:```|~~~)[ \t]*(?:tool_code|tool_call|tool_use|function_call)", re.IGNORECASE)
_ADDRESS = re.compile(r"\bto=(?:functions|tools)\.|✿(?:FUNCTION|ARGS)✿|\bfunctions\.\w{2,40}:\d")
_REACT = re.compile(r"^[ \t*]{0,4}Action Input[ \t*]{0,4}:", re.MULTILINE)
_NAME_KEY = re.compile(
    r"""["'](?:name|function|tool|tool_name|action|function_name|recipient_name)["']\s{0,4}:\s{0,4}["'](?P<name>[\w.:-]{1,80})["']"""
)
_ARGUMENTS_KEY = re.compile(
    r"""["'](?:arguments|parameters|params|args|input|action_input|tool_input|kwargs|query)["']\s{0,4}:"""
)
_OPEN_OBJECT = re.compile(r"\A\s*(?:```\w*\s*)?\{")
_NEAR = 400


def find_call_text(text: str, tools: Mapping[str, Mapping[str, Any]], *, about_tags: bool = False) -> CallText | None:
    """The first tool call that a text holds, or None.

    Args:
        tools: JSON Schema of the parameters by name of the tools that were offered.
        about_tags: the user asked about tool tags: naming one is no call, a tag followed by a call still is.
    """
    found = _tagged(text, tools, about_tags) or _json(text, tools) or _code(text, tools)
    if found or about_tags:
        return found
    for pattern, reason in (
        (_FENCE, "tool call in a code fence"),
        (_ADDRESS, "address of a tool in text"),
        (_REACT, "ReAct action in text"),
    ):
        if match := pattern.search(text):
            return CallText(reason, match.start(), match.end(), tagged=True)
    return None


def _tagged(text: str, tools: Mapping[str, Any], about_tags: bool) -> CallText | None:
    for tag in scan(text):
        if tag.kind != "tool":
            continue
        after = text[tag.end : tag.end + _NEAR]
        if about_tags and not _calls_something(after, tools):
            continue
        return CallText(f"tool tag {text[tag.start : tag.end].strip()!r} in text", tag.start, tag.end, tagged=True)
    return None


def _calls_something(after: str, tools: Mapping[str, Any]) -> bool:
    """Whether a tag is followed by a call of an offered tool, and not by talk about tags."""
    body = after.lstrip()
    return body[:1] in ("{", "<", "[") and any(name in body for name in tools)


def _json(text: str, tools: Mapping[str, Mapping[str, Any]]) -> CallText | None:
    """An object with a name and arguments, whole or not; or a bare object of one tool's arguments."""
    if '"' not in text and "'" not in text:
        return None
    for match in _NAME_KEY.finditer(text):
        around = text[max(0, match.start() - _NEAR) : match.end() + _NEAR]
        if "{" in around and (_ARGUMENTS_KEY.search(around) or match.group("name") in tools):
            start = text.rfind("{", 0, match.start())
            return CallText("tool call as JSON in text", start if start >= 0 else match.start(), match.end())
    if not _OPEN_OBJECT.match(text):
        return None
    start = text.index("{")
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    keys = set(value)
    for name, schema in tools.items():
        properties = schema.get("properties", {})
        if name in keys or (keys and isinstance(properties, Mapping) and keys <= set(properties)):
            return CallText(f"arguments of {name} as JSON in text", start, end)
    return None


def _code(text: str, tools: Mapping[str, Any]) -> CallText | None:
    """A call as a program would write it: `search_memory(query="...")`, `[search_memory: ...]`."""
    if not any(name in text for name in tools):
        return None
    if match := _code_pattern(tuple(tools)).search(text):
        name = next(name for name in tools if name in match.group())
        return CallText(f"call of {name} as code in text", match.start(), match.end())
    return None


@lru_cache(maxsize=64)
def _code_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Names of one plain word need a closer likeness to code: "the weather (in Paris)" is speech."""
    every = "|".join(re.escape(name) for name in names) or r"(?!)"
    composed = "|".join(re.escape(name) for name in names if not name.isalpha()) or r"(?!)"
    return re.compile(
        r"(?<![\w.-])(?:(?:functions|tools|default_api)\.)?(?:"
        rf"(?:{every})(?:\(\s{{0,4}}(?:\w{{1,40}}\s{{0,4}}[=:]|[\"'{{\[)])|\s{{0,2}}[:=]?\s{{0,2}}\{{)"
        rf"|(?:{composed})(?:\s?\(|\s?[:=]\s?[\"'\[]|\s\w{{1,40}}=)"
        rf")|\[(?:{composed})\b[^\]\n]{{0,200}}\]"
    )
