"""Turns the freely worded prompts of `free/` and `free-dev/` into scenarios.

A language model wrote them one by one, in the words of different people at home, only from docs/annie-smol-domain.md:
it had seen neither the training data, nor their grammar, nor a scenario. So a model's score on them says more about
real use than its score on prompts of the grammar. `free-dev/` is for development; `free/` is only for the final
evaluation. A file has one prompt per line, for the category of its name, with tab-separated columns:

    tool_calling     prompt, tool, minutes or the words that a query must contain: `weather/rain+oslo` means one of the
                     first two, and `oslo`
    factual          prompt, answer, with alternatives: `7/seven`
    reasoning        prompt, answer, a number or words as above
    others           prompt
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from research.annie_smol.study import tables

COLUMNS = {"tool_calling": 3, "factual": 2, "reasoning": 2, "no_markdown": 1, "brevity": 1, "restraint": 1,
           "thinking_leak": 1}  # fmt: skip
STRAY = {"search_memory": "Nothing found.", "web_search": "Nothing found.", "set_timer": "The timer is set."}
_THOUGHT = re.compile(r"\b(think|thinking|thoughts?|tags?|prompt|reasoning|inner voice)\b", re.IGNORECASE)


def scenarios(directory: Path) -> Iterator[dict[str, Any]]:
    """Every prompt of a directory as a scenario, by category. Raises like `tables.rows`."""
    for category, number, parts in tables.rows(directory, COLUMNS):
        yield scenario(category, number, *parts)


def scenario(category: str, number: int, prompt: str, *wanted: str) -> dict[str, Any]:
    """One prompt as a line of a scenario file."""
    line: dict[str, Any] = {
        "id": f"free-{category.replace('_', '-')}-{number:03d}", "category": category, "stream": number % 2 == 0,
        "prompt": prompt,
    }  # fmt: skip
    if category == "tool_calling":
        line["expect"] = {"calls": [_call(*wanted)]}
    elif category in {"factual", "reasoning"}:
        line["expect"] = {"answer": _answer(wanted[0], number_counts=category == "reasoning")}
    elif category == "restraint":
        line["expect"] = {"calls": []}
    elif category == "thinking_leak":
        line["thinking"] = ("on", "off", "unset")[number % 3]
        if _THOUGHT.search(prompt):
            line["expect"] = {"topic": ["tags", "thinking"]}
    else:
        line["tool_results"] = STRAY
    return line


def _answer(words: str, number_counts: bool) -> dict[str, Any]:
    if number_counts and words.isdecimal():
        return {"number": int(words)}
    return {"any_of": words.split("/")}


def _call(tool: str, wanted: str) -> dict[str, Any]:
    if tool == "set_timer":
        return {"name": tool, "arguments": {"minutes": int(wanted)}}
    choices = [group.split("/") for group in wanted.split("+")]
    ways = [{"contains": list(way)} for way in itertools.product(*choices)]
    return {"name": tool, "arguments": {"query": ways[0] if len(ways) == 1 else {"any_of": ways}}}
