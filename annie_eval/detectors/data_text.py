"""Finds data instead of speech: JSON, a Python value, an unfilled placeholder, a traceback, a word such as "null"."""

from __future__ import annotations

import re

from annie_eval.text import characters

_NOTHING = re.compile(
    r"[\s\"'`]*(?:(?:none|null|undefined|nil|nan)[\"'`\s]*|(?:null|undefined|nan)[.!]?\s*|\[object object\][.!]?\s*"
    r"|[\[{(]\s*[\]})][.!]?\s*)",
    re.IGNORECASE,
)
# By a sign that every match has: what the text lacks is not searched for.
_DATA: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (signs, re.compile(pattern, re.IGNORECASE | re.DOTALL))
    for signs, pattern in (
        # A key in quotes behind a brace, or a list of values in quotes: JSON, or Python's repr.
        (":", r"[{,\[]\s{0,8}[\"'][^\"'\n{}]{1,60}[\"']\s{0,4}:(?!\w)"),
        ("[{", r"\A\s{0,8}\[\s{0,8}(?:[\"'{\[]|\d[\d.]*,)|\A\s{0,8}\{\s{0,8}[\"'{\w]"),
        # A list or a tuple of values, fields and their values.
        ("[(", r"\A\s{0,8}\[[\w .-]{1,40}(?:,\s?[\w .-]{1,40}){1,50}\]\s*\Z|\A\s{0,8}\([\"'][^\"'\n]{1,60}[\"'],"),
        ("=", r"\b[a-z_]\w{1,40}=[\w\"'][^,;&\n]{0,40}[,;&] ?[a-z_]\w{1,40}=[\w\"']"),
        (":", r"\A(?-i:[a-z_]{2,20}): [^\n]{1,80}\n(?-i:[a-z_]{2,20}): "),
        # One field and its value: `text: ...`, `result = "..."`.
        (":", r"\A(?-i:text|content|message|output|speech|value|result|data|body|response|status): "),
        ("=", r"\A\s{0,8}[a-z_]\w{1,40} ?= ?[\"']"),
        # A template that nobody filled.
        (
            "{%",
            r"\{\{?\s?[A-Za-z_][\w. |]{0,60}\s?\}\}?|\$\{[\w.]{1,60}\}|%\(\w{1,40}\)[sd]|(?<=\s)%[sd](?![\w%])|\{%",
        ),
        ("]", r"(?<=\w )\[[a-z][a-z _]{1,30}\](?!\()"),
        ("]", r"\[(?:your|insert|the|user|city|name|date|time|location) ?[\w ]{0,30}\]"),
        (">", r"<(?:[a-z]+_[a-z_]+|your [a-z ]{1,30}|name|city|person|date|time|location|value|query|number|user)>"),
        # A value that is none, in the place of one.
        (
            "Nn",
            r"(?-i:\bNaN\b)|\b(?:null|undefined|none) (?:degrees|percent|kilomet|miles|minutes|hours|euros|dollars)",
        ),
        # What a program says when it breaks.
        ("(", r"\bTraceback \(most recent call"),
        ('"', r"\bFile \"[^\"\n]{1,200}\", line \d"),
        (
            ":(",
            r"\b(?:[A-Z][A-Za-z]{2,40}(?:Error|Exception)|Exception)\b\s?[:(]|\bError code: \d{3}\b|\AError: \d{3}\b",
        ),
        ("/45", r"\bHTTP(?:/\d| [45]\d\d\b)"),
        (
            "(",
            r"\b(?:[A-Z_]\w{0,40}\.)?[A-Z_][A-Z0-9_]{1,40}\((?:\w{1,40}=|['\"]|\[['\"{]|\{['\"])"
            r"|\A\W*(?:\w{1,40}\.){0,3}\w{2,40}\(\)\W*\Z|\b[A-Z_]\w{0,40}\.[A-Z_][A-Z0-9_]{1,40}\(\)"
            r"|\b[A-Z_][A-Z0-9_]{1,40}\.[A-Z_][A-Z0-9_]{1,40}\(",
        ),
        (">", r"<[\w.]{1,60}(?: \w{1,40})? at 0x[0-9a-f]{4,16}>"),
        ("\"'", r"\Ab(?P<quote>[\"']).*(?P=quote)\s*\Z"),
    )
)


def find_data(text: str, asked: str) -> tuple[int, int] | None:
    """Where data begins and ends in a spoken text; None if there are none, or if the user named them."""
    if nothing := _NOTHING.fullmatch(text):
        return None if text.strip() and text.strip() in asked else nothing.span()
    here = characters(text)
    for signs, pattern in _DATA:
        for match in () if here.isdisjoint(signs) else pattern.finditer(text):
            if match.group().strip() not in asked:
                return match.span()
    return None
