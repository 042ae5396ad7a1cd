"""Thinking tags of many model families, whole and as what a parser, a detokeniser or a limit leaves of them.

The families are those of vLLM's reasoning parsers (vllm/reasoning and vllm/parser, 0.24), of published chat templates
and of prompts that ask for tagged thoughts.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.detector_sets.rows import Item, answer_line

THINK_TAGS: tuple[tuple[str, str], ...] = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<analysis>", "</analysis>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<antThinking>", "</antThinking>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<internal_monologue>", "</internal_monologue>"),
    ("<chain_of_thought>", "</chain_of_thought>"),
    ("<cot>", "</cot>"),
    ("<planning>", "</planning>"),
    ("<rationale>", "</rationale>"),
    ("<deliberation>", "</deliberation>"),
    ("<think_fast>", "</think_fast>"),
    ("<thinking_process>", "</thinking_process>"),
    ("[THINK]", "[/THINK]"),
    ("[THINKING]", "[/THINKING]"),
    ("[BEGIN_THINK]", "[END_THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|think|>", "<|/think|>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|start|>assistant<|channel|>analysis<|message|>", "<|end|>"),
    ("<unused94>thought", "<unused95>"),
    ("<start_of_thought>", "<end_of_thought>"),
)
_THOUGHT = "Paris is in France."
_ANSWER = "It is Paris."
# What is left of a tag must have this many characters: nobody can tell what `k>` was.
LEAST = 4


def items() -> Iterator[Item]:
    """Each family's tags whole, one of the two alone, and every beginning and end of a tag where it may stand."""
    for opening, closing in THINK_TAGS:
        for text in (
            f"{opening}{_THOUGHT}{closing}{_ANSWER}",
            f"{opening}\n{_THOUGHT}\n{closing}\n\n{_ANSWER}",
            f"{opening}{_THOUGHT}",
            f"{_THOUGHT}\n{closing}\n\n{_ANSWER}",
        ):
            yield Item("tags whole", "something", answer_line(text), ("thinking",))
    seen: set[tuple[str, str]] = set()
    for opening, closing in THINK_TAGS:
        for tag, is_closing in ((opening, False), (closing, True)):
            for form, text in _remnants(tag, is_closing):
                if (form, text) not in seen:
                    seen.add((form, text))
                    yield Item(f"tag remnants: {form}", "something", answer_line(text), ("thinking",))


def _remnants(tag: str, is_closing: bool) -> Iterator[tuple[str, str]]:
    """Texts with what is left of a tag: its head eaten at the start or in the middle, its tail cut at the end."""
    for length in range(LEAST, len(tag)):
        head, tail = tag[:length], tag[-length:]
        before = f"{_THOUGHT}\n" if is_closing else ""
        yield "head eaten", f"{before}{tail}\n{_ANSWER}" if is_closing else f"{tail}{_THOUGHT} {_ANSWER}"
        yield "head eaten, glued", f"{_THOUGHT}{tail}{_ANSWER}" if is_closing else f"{tail}\n{_THOUGHT}\n\n{_ANSWER}"
        yield "cut at the end", f"{_ANSWER} {head}"
        yield "cut, then speech", f"{before}{head}\n\n{_ANSWER}" if is_closing else f"{head} {_THOUGHT} {_ANSWER}"
