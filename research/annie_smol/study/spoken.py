"""Turns the freely worded examples of `data/spoken/*.tsv` into training conversations.

Each line is one example, with tab-separated columns:

    facts, reasoning, speech, formats     prompt, reply
    memory, web                           prompt, query, result of the search, reply
    timers                                prompt, minutes, reply
    frames                                operation, prompt: see frames.py

A language model wrote them one by one only from docs/annie-smol-domain.md, without seeing the prompts of `free/`. The
grammar repeats its own wordings often; these examples have the wordings of people. Every fourth has thinking on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annie_data.overlap import Overlap
from annie_data.scenario_prompts import Prompt, offered_tools, prompts, scenario_files
from annie_eval.profile.load import load
from annie_eval.profile.types import Profile
from research.annie_smol.study import frames, tables

COLUMNS = {"facts": 2, "reasoning": 2, "speech": 2, "formats": 2, "memory": 4, "web": 4, "timers": 3}
TOOLS = {"memory": "search_memory", "web": "web_search", "timers": "set_timer"}
THOUGHTS = {
    "facts": ("That is a plain fact. One short sentence will do.", "I know this one and can say it in a sentence."),
    "reasoning": ("I work it out and say the result alone.", "A small thing to work out. The result is enough."),
    "speech": ("This needs no tool. A short kind answer will do.", "I say this in a sentence or two."),
    "formats": ("It will be read aloud, so plain sentences it is.", "I say the same without any format."),
    "memory": ("The family told me that before, so I look in the memory.", "That is in the memory, if anywhere."),
    "web": ("That changes from day to day, so I look it up.", "I have to search the web for this."),
    "timers": ("A timer is wanted, so I set it.", "I start the timer for that time."),
}
AFTERWARDS = {
    "memory": "That is what I have. I say it in one sentence.",
    "web": "There is the answer. One sentence is enough.",
    "timers": "It is running, so I say so.",
}


def _messages(kind: str, parts: list[str], thought: str) -> Iterator[dict[str, Any]]:
    yield {"role": "user", "content": parts[0]}
    reasoning = {"reasoning_content": thought} if thought else {}
    if kind not in TOOLS:
        yield {"role": "assistant", "content": parts[1], **reasoning}
        return
    minutes = kind == "timers"
    arguments = {"minutes": int(parts[1])} if minutes else {"query": parts[1]}
    result = f"The timer is set for {parts[1]} minute{'' if parts[1] == '1' else 's'}." if minutes else parts[2]
    function = {"name": TOOLS[kind], "arguments": json.dumps(arguments, ensure_ascii=False)}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    yield {"role": "assistant", "content": "", "tool_calls": calls, **reasoning}
    yield {"role": "tool", "tool_call_id": "call_1", "content": result}
    after = {"reasoning_content": AFTERWARDS[kind]} if thought else {}
    yield {"role": "assistant", "content": parts[-1], **after}


def lines(directory: Path) -> Iterator[dict[str, Any]]:
    """Every example as a line of a data set, with annie-smol's system prompt and tools.

    Raises like `tables.rows`.
    """
    profile = load("annie-smol")
    for kind, number, parts in tables.rows(directory, COLUMNS):
        thinks = number % 4 == 0
        thought = THOUGHTS[kind][number // 4 % 2] if thinks else ""
        yield _line(profile, kind, list(_messages(kind, parts, thought)), thinks)


def frame_lines(directory: Path) -> Iterator[dict[str, Any]]:
    """Every filled template that is not similar to a shipped scenario. Raises like `frames.filled`."""
    profile = load("annie-smol")
    overlap = Overlap([Prompt(one.scenario, one.text, one.asked) for one in prompts(scenario_files([]))])
    seen = set()
    for number, (prompt, reply, thought) in enumerate(frames.filled(directory)):
        if prompt in seen or overlap.find(prompt):
            continue
        seen.add(prompt)
        thinks = number % 4 == 0
        yield _line(
            profile, "frames", list(_messages("reasoning", [prompt, reply], thought if thinks else "")), thinks
        )


def _line(profile: Profile, kind: str, messages: list[dict[str, Any]], thinks: bool) -> dict[str, Any]:
    return {
        "messages": [{"role": "system", "content": profile.system_prompt.strip("\n")}, *messages],
        "tools": offered_tools(profile),
        "chat_template_kwargs": {"enable_thinking": thinks},
        "meta": {"kind": f"spoken_{kind}", "thinking": "on" if thinks else "off", "teacher": "language model"},
    }


def text(directory: Path, kind: str = "spoken") -> str:
    """The examples, or the filled templates (`frames`), as JSON Lines."""
    found = frame_lines(directory) if kind == "frames" else lines(directory)
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in found)
