"""Finds garbled strings in a call's valid JSON arguments: markup, escapes, a second encoding."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from annie_eval.detectors.degeneration import find_circle
from annie_eval.detectors.tags import scan
from annie_eval.detectors.undecoded import find_undecoded

MARKUP = re.compile(
    r"</(?:parameter|function|tool_?call|invoke|arg_\w+|args?)\b|\[/?(?:ARGS|TOOL_CALLS|CALL_ID)\]"
    r"|<(?:parameter|function|arg_key|arg_value)\b[=>]|<\|\"\|>|<escape>|\]<\]|\[>\[|<!\[CDATA\[|\bfunctions\.\w{1,60}:\d"
    r"|\bparameter=\w{1,40}>|```\s*\Z"
)
_CLOSING = re.compile(r"</([A-Za-z][\w:-]{0,40})>?\s*\Z")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos|nbsp|[lr][sd]quo|[mn]dash|hellip);")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CODE = re.compile(r"[()\[\]{}=;|^$]|<[a-z]")
_JSON_KEY = re.compile(r"\{\s{0,8}[\"']([\w -]{1,60})[\"']\s{0,4}:")
_JSON_TAIL = re.compile(r"[\"'\d]\s{0,4}\}{1,3}\s{0,4}\Z")
_NEXT_KEY = re.compile(r"[\"']\s{0,4},\s{0,4}[\"'][\w -]{1,40}[\"']\s{0,4}:")
_QUOTED = re.compile(r"\s*(?:\"[^\"]*\"|'[^']*'|“[^”]*”|`[^`]*`|\*\*[^*]+\*\*)\s*")
_ESCAPED = re.compile(r"\\[\"']|(?<=\w)\\\Z|(?<=\w)%2[0-9A-F](?=\w)")
_UNFILLED = re.compile(
    r"\s*(?:<[A-Za-z][\w .-]{0,40}>|\{\{?\s?[A-Za-z][\w .-]{0,40}\}?\}|\$\{[\w.]{1,40}\}"
    r"|\$[A-Za-z_]\w{1,40}|string)\s*"
)
_CALL = re.compile(r"\A\s*[a-z]{2,20}(?:_[a-z0-9]{1,20}){1,4}\(")
_OPEN_QUOTE = re.compile(r"[^\W\d][.!?]?\"\Z")
_CLOSES = re.compile(r"(?<![:;=-])[\])}]\Z")
_NULL = re.compile(r"\s*(?:null|None|undefined|NaN|nil|\[object Object\])\s*")


def find_garbled(arguments: Any, asked: str, schema: Mapping[str, Any]) -> tuple[str, str] | None:
    """(path of the argument, what is wrong with its text) of the first string that a parser or a loop garbled.

    Args:
        arguments: as parsed from JSON.
        asked: what the user said; what stands there is no garbling.
        schema: the tool's JSON Schema; a value that an enum lists is none either.
    """
    for path, value, rules in _strings(arguments, "", schema):
        listed = rules.get("enum") if isinstance(rules, Mapping) else None
        if value in (listed or ()) or (value.strip() and value in asked):
            continue
        if why := _garbled(value, path.rsplit(".", 1)[-1], schema):
            return path, why
    return None


def _strings(value: Any, path: str, schema: Any) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, str):
        yield path, value, schema
    elif isinstance(value, Mapping):
        known = schema.get("properties") if isinstance(schema, Mapping) else None
        for key, inner in value.items():
            yield f"{path}.{key}".lstrip("."), key, {}
            yield from _strings(
                inner, f"{path}.{key}".lstrip("."), known.get(key) if isinstance(known, Mapping) else None
            )
    elif isinstance(value, list):
        items = schema.get("items") if isinstance(schema, Mapping) else None
        for inner in value:
            yield from _strings(inner, path, items)


def _garbled(text: str, name: str, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with one string; None if nothing is. Code and HTML may well hold escapes and entities."""
    if text and not text.strip():
        return "is blank"
    if _CONTROL.search(text):
        return "holds a control character"
    if _SURROGATE.search(text):
        return "holds half of a surrogate pair"
    if markup := MARKUP.search(text):
        return f"holds markup of the call, {markup.group().strip()!r}"
    if tag := next((tag for tag in scan(text) if tag.kind != "html"), None):
        return f"holds markup, {text[tag.start : tag.end].strip()!r}"
    if (closing := _CLOSING.search(text[-60:])) and f"<{closing[1]}" not in text:
        return f"ends in a closing tag, {closing.group().strip()!r}"
    code = _CODE.search(_ENTITY.sub(" ", text)) is not None
    if (entity := _ENTITY.search(text)) and not code:
        return f"holds an HTML entity, {entity.group()!r}"
    if (escaped := _ESCAPED.search(text)) and not code and "://" not in text:
        return f"holds an escape, {escaped.group()!r}"
    if undecoded := find_undecoded(text, escapes=not code):
        return f"holds {undecoded[0]}"
    if text.startswith(("\n", "\r", "\t")) or (text.endswith("\n") and text.count("\n") == 1 and not code):
        return "begins or ends with a line break"
    key = _JSON_KEY.match(text.lstrip())
    tail = (_JSON_TAIL.search(text[-20:]) and "{" not in text) or (_NEXT_KEY.search(text) and "{" not in text)
    if (key and key[1] in (schema.get("properties") or ())) or tail:
        return "holds the arguments as JSON once more, or what is left of them"
    if _QUOTED.fullmatch(text):
        return "is in quotes once more"
    if _CALL.match(text):
        return "is a call written as text"
    if _is_list(text):
        return "is a list in JSON"
    if _CLOSES.search(text) and text.count(text[-1]) > text.count("([{"[")]}".index(text[-1])]):
        return f"ends in {text[-1]!r}, which closes nothing"
    if _OPEN_QUOTE.search(text) and text.count('"') == 1:
        return "ends in a quotation mark that opens nowhere"
    if _UNFILLED.fullmatch(text) or re.fullmatch(rf"\s*[\[<{{(]\s?{re.escape(name)}\s?[\]>}})]\s*", text):
        return "is a placeholder that was not filled"
    if _NULL.fullmatch(text):
        return "is a null that became a word"
    if re.match(rf"\s*(?:<(?:string|str|text|value|{re.escape(name)})>|\{{\s?{re.escape(name)}\s?:)", text):
        return "is wrapped in what names it"
    if text != name and re.match(rf"(?:{re.escape(name)}|arguments|parameters)\s?[:=]\s?\S", text):
        return "begins with its own name"
    if circle := find_circle(text):
        return f"runs in circles: {circle[0]}"
    return None


def _is_list(text: str) -> bool:
    """Whether a string is a list in JSON."""
    if text.strip()[:1] != "[":
        return False
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False
