"""Tags: every tag and every remnant of one has one kind; other text has none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.tags import scan


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
