"""Tags: every tag and every remnant of one has one kind; other text has none."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.tag_remnants import remnants
from annie_eval.detectors.tags import Tag, scan, without_thoughts


@pytest.mark.parametrize(
    ("text", "kind", "closing"),
    [
        ("<think>", "thinking", False),
        ("</think>", "thinking", True),
        ("< / think >", "thinking", True),
        ("◁think▷", "thinking", False),
        ("◁/think▷", "thinking", True),
        ("◁think", "thinking", False),
        ("◁/think", "thinking", True),
        ("[/THINK]", "thinking", True),
        ("<|START_THINKING|>", "thinking", False),
        ("<|begin_of_thought", "thinking", False),
        ("<think", "thinking", False),
        ("</think", "thinking", True),
        ("think>", "thinking", False),
        ("/think>", "thinking", True),
        ("</thi", "thinking", True),
        ("<th", "thinking", False),
        ("<seed:th", "thinking", False),
        ("</", "thinking", True),
        ("</t", "thinking", True),
        ("<tool_call>", "tool", False),
        ("</tool_call>", "tool", True),
        ("<function=look>", "tool", False),
        ("</function", "tool", True),
        ("<parameter", "tool", False),
        ("<tool_c", "tool", False),
        ("<|tool", "tool", False),
        ("<|python_tag", "tool", False),
        ("<|python_tag|>", "tool", False),
        ("<｜tool▁calls▁begin｜>", "tool", False),
        ("[TOOL_CALLS]", "tool", False),
        ("<|im_end|>", "special", False),
        ("<|im", "special", False),
        ("im_start|>", "special", False),
        ("</s>", "special", True),
        ("[/INST]", "special", True),
        ("<0x0A>", "special", False),
        ("hink>", "thinking", False),
        ("/nking>", "thinking", True),
        ("oughts>", "thinking", False),
        ("d:think>", "thinking", False),
        ("<inner_monol", "thinking", False),
        ("</chain_of", "thinking", True),
        ("HINK]", "thinking", False),
        ("/THINK]", "thinking", True),
        ("[THIN", "thinking", False),
        ("ink▷", "thinking", False),
        ("◁/th", "thinking", True),
        ("HINKING|>", "thinking", False),
        ("<|END_THIN", "thinking", False),
        ("ool_call>", "tool", False),
        ("rameter>", "tool", False),
        ("ssage|>", "special", False),
        ("<unused9", "special", False),
        ("ed95>", "special", False),
        ("assistantfinal", "thinking", False),
        ("]<]minimax[>[", "special", False),
        ("<end>", "special", False),
        ("<system-reminder>", "special", False),
        ("<b>", "html", False),
        ("</b>", "html", True),
        ("<br/>", "html", False),
        ('<a href="x">', "html", False),
        ("&lt;b&gt;", "html", False),
    ],
)
def test_a_tag_is_seen_whole_and_has_one_kind(text: str, kind: str, closing: bool) -> None:
    (tag,) = scan(text)
    assert (tag.kind, tag.closing, text[tag.start : tag.end]) == (kind, closing, text)


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "if a<b and c>d",
        "if x<y and y>z",
        "<b and c>",
        "i <3 you",
        "5 <",
        "a <t",
        "C <-> D",
        "[laughs]",
        "[analysis](page)",
        "reasoning > guessing",
        "<your name>",
        "and/or",
        "Paris>Rome",
        "x> y",
        "left -> right",
        "a [DRAFT] of it",
        "INK] is wet",
        "Analysis is final.",
        "the assistant's final answer",
        "",
    ],
)
def test_what_is_no_tag_has_none(text: str) -> None:
    assert scan(text) == ()


def test_tags_come_in_order_and_apart() -> None:
    text = "<think>a</think><|im_end|><tool_call>"
    assert [text[tag.start : tag.end] for tag in scan(text)] == ["<think>", "</think>", "<|im_end|>", "<tool_call>"]


def test_json_escapes_are_seen_through_only_in_json() -> None:
    escaped = r'{"q": "\u003cthink\u003e"}'
    assert scan(escaped) == ()
    (tag,) = scan(escaped, escapes=True)
    assert escaped[tag.start : tag.end] == r"\u003cthink\u003e"


@given(st.text(alphabet="<>/|[]think_ \u200b&lt;gtooca=\n", max_size=40))
def test_spans_lie_in_the_text_in_order(text: str) -> None:
    ends = 0
    for tag in scan(text, escapes=True):
        assert ends <= tag.start < tag.end <= len(text)
        ends = tag.end


# What is found stands in 〔brackets〕, which are no part of the text: kind, name, whether it closes.
Found = tuple[str, str, bool]
SCANNED: list[tuple[str, list[Found]]] = [
    ("Say 〔<think>〕a〔</think>〕 so", [("thinking", "think", False), ("thinking", "think", True)]),
    ("〔<|/think|>〕", [("special", "", True)]),
    ("〔<think/>〕", [("thinking", "think", False)]),
    ("〔<chain of thought>〕", [("thinking", "chain", False)]),
    ("〔<final_answer>〕", [("thinking", "final_answer", False)]),
    ("〔<tool call>〕", [("tool", "tool", False)]),
    ("〔<my-tool id=1>〕", [("tool", "my-tool", False)]),
    ("〔<arg key>〕", [("tool", "arg", False)]),
    ("〔<|xyz|>〕", [("special", "xyz", False)]),
    ("〔<|xyz>〕", [("special", "xyz", False)]),
    ("〔<xyz|>〕", [("special", "xyz", False)]),
    ("〔<|>〕", [("special", "", False)]),
    ("<xyz> <!x> < > <->", []),
    ("〔<end of turn>〕", [("special", "end", False)]),
    ("〔<BOS>〕", [("special", "BOS", False)]),
    ("〔<reserved_12>〕〔<0x1f>〕", [("special", "reserved_12", False), ("special", "0x1f", False)]),
    ("<reserved_> <0x1>", []),
    ("〔<b>〕a〔</b>〕", [("html", "b", False), ("html", "b", True)]),
    ("〔<B class=x>〕", [("html", "B", False)]),
    ("<b and c> < b >", []),
    ("〔[THINK]〕a〔[/think]〕", [("thinking", "THINK", False), ("thinking", "think", True)]),
    ("〔[Thought process]〕", [("thinking", "Thought process", False)]),
    ("〔[/TOOL_CALLS]〕〔[INST]〕", [("tool", "TOOL_CALLS", True), ("special", "INST", False)]),
    ("[inst] [think](page) [draft]", []),
    ("〔◁think▷〕a〔◁/think▷〕", [("thinking", "think", False), ("thinking", "think", True)]),
    ("a〔◁thinking〕", [("thinking", "thinking", False)]),
    ("A turn ends: 〔im_end〕, or 〔<|eot_id〕.", [("special", "im_end", False), ("special", "eot_id", False)]),
    ("im_ends", []),
    ("&lt; 〔&lt;think&gt;〕", [("thinking", "think", False)]),
]
REMNANTS: list[tuple[str, list[Found]]] = [
    # tails
    ("〔ink>〕 so", [("thinking", "ink", False)]),
    ("nk> so", []),
    ("〔/nk>〕 so", [("thinking", "nk", True)]),
    ("〔nk|>〕 so", [("thinking", "nk", False)]),
    ("〔xyz|>〕 so", [("special", "xyz", False)]),
    ("〔ed95>〕 95> xyz>", [("special", "ed95", False)]),
    ("〔/95>〕", [("special", "95", True)]),
    ("〔/ool_call>〕", [("tool", "ool_call", True)]),
    # heads
    ("So 〔<th〕", [("thinking", "th", False)]),
    ("So <t", []),
    ("a<th", []),
    ("a〔<thi〕", [("thinking", "thi", False)]),
    ("a〔</t〕", [("thinking", "t", True)]),
    ("a〔<|t〕", [("thinking", "t", False)]),
    ("〔<|xy〕", [("special", "xy", False)]),
    ("〔<|/xy〕", [("special", "xy", True)]),
    ("〔<im_s〕 and 〔</tool_c〕", [("special", "im_s", False), ("tool", "tool_c", True)]),
    ("〔<unused12〕 〔<unu〕", [("special", "unused12", False), ("special", "unu", False)]),
    ("<un <use <xyz", []),
    # no name at all
    ("So 〔</〕", [("thinking", "", True)]),
    ("So 〔<|〕", [("special", "", False)]),
    ("So 〔</|〕", [("special", "", True)]),
    ("So <", []),
    ("a 〔<|〕 1 〔</〕 2 〔<|/〕 3", [("special", "", False), ("thinking", "", True), ("special", "", True)]),
    # square brackets
    ("〔HINK]〕 INK] DRAFT]", [("thinking", "HINK", False)]),
    ("〔/HINK]〕 〔END_THINK]〕", [("thinking", "HINK", True), ("thinking", "END_THINK", True)]),
    ("〔[THI〕 [TH [XYZ", [("thinking", "THI", False)]),
    ("〔[/TH〕 〔[END_TH〕", [("thinking", "TH", True), ("thinking", "END_TH", True)]),
    # diamonds
    ("〔◁thi〕 〔◁/thi〕 ◁xyz", [("thinking", "thi", False), ("thinking", "thi", True)]),
    ("〔◁/〕 〔◁/xyz〕", [("thinking", "", True), ("thinking", "xyz", True)]),
    ("〔ink▷〕 〔/ink▷〕 xyz▷", [("thinking", "ink", False), ("thinking", "ink", True)]),
    # words that stood between special tokens
    ("〔analysis〕The user asks.", [("thinking", "analysis", False)]),
    ("〔 final\n〕It is Rome.", [("thinking", "final", False)]),
    ("It is. 〔assistantfinal〕 Rome.", [("thinking", "assistantfinal", False)]),
    ("a 〔]<]minimax[>[〕 b", [("special", "]<]minimax[>[", False)]),
]


def unmarked(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without its brackets, and the spans that they enclose."""
    pieces = re.split("[〔〕]", marked)
    ends = [*itertools.accumulate(map(len, pieces))]
    return "".join(pieces), [*zip(ends[:-1:2], ends[1::2], strict=True)]


@pytest.mark.parametrize(("marked", "expected"), SCANNED)
def test_every_part_of_a_tag_is_told(marked: str, expected: list[Found]) -> None:
    text, spans = unmarked(marked)
    assert scan(text) == tuple(Tag(*each, *span) for each, span in zip(expected, spans, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(("marked", "expected"), REMNANTS)
def test_every_part_of_a_remnant_is_told(marked: str, expected: list[Found]) -> None:
    text, spans = unmarked(marked)
    found = sorted(remnants(text), key=lambda each: each[3])
    assert found == [(*each, *span) for each, span in zip(expected, spans, strict=True)]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a <think>b</think> c", "a" + 18 * " " + "c"),
        ("b</think> c", "          c"),
        ("<think>b", "       b"),
        ("a<think>b<think>c</think>d", "a" + 24 * " " + "d"),
        ("a<think>b</think>c</think>d", "a" + 16 * " " + "c" + 8 * " " + "d"),
        ("a</think>b<think>c</think>d", 9 * " " + "b" + 16 * " " + "d"),
        ("a<|im_end|>b<tool_call>c", "a" + 10 * " " + "b" + 11 * " " + "c"),
        ("a<think>b<|im_end|>c</think>d", "a" + 27 * " " + "d"),
        ("<b>a</b>", "<b>a</b>"),
        ("", ""),
    ],
)
def test_thoughts_and_tags_become_spaces_and_the_rest_keeps_its_place(text: str, left: str) -> None:
    assert without_thoughts(text) == left


def test_so_many_remnants_are_looked_for() -> None:
    assert len(scan(5000 * "/nk> ")) == len(scan(5001 * "/nk> ")) == 5000
