"""The benchmark of the detectors counts correctly: alarms, misses, forms, the risk for a good model."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from benchmarks.detector_sets import parser_outputs, profiles, tag_forms
from benchmarks.detector_sets.corpora import first_sentences
from benchmarks.detector_sets.rows import Row, rule


def table(wrong: int, right: int = 0) -> dict[str, list[str]]:
    rows = [Row("speech: thinking", "nothing", 10_000, wrong, right), Row("speech: markdown", "nothing", 10_000)]
    lines = [line.strip("|").split("|") for line in profiles.table(rows)][2:]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_without_alarms_no_profile_fails_and_the_bound_says_what_is_not_known() -> None:
    for _, estimate, upper, by_gate in table(0).values():
        assert estimate == "0.00 %"
        assert float(upper.split()[0]) > 0
        assert by_gate == ""


def test_the_chance_grows_with_the_alarms_and_the_answers() -> None:
    chances = {name: float(cells[1].split()[0]) for name, cells in table(10).items()}
    # 1 in 1,000 for each of at least 85 answers, of which none may be an alarm.
    assert chances["annie"] > 100 * (1 - 0.999**85)
    assert chances["annie-strict"] > chances["annie"]


def test_an_alarm_that_was_read_and_deserved_does_not_count() -> None:
    assert table(10, right=10) == table(0)


def test_a_rule_is_a_reason_without_what_is_particular() -> None:
    assert rule("thinking", "thinking tag '<think>'") == "thinking: thinking tag"
    assert rule("thinking", "untagged reasoning: speaks of the user (8.8 of 5.5)") == "thinking: untagged reasoning"


def test_the_first_sentences_end_at_stops_and_lines() -> None:
    assert first_sentences("One. Two!\nThree? Four.", 3) == "One. Two!\nThree?"
    assert first_sentences("Version 1.5 is out", 1) == "Version 1.5 is out"


def test_raw_outputs_with_calls_are_read_from_an_archive_of_tests(tmp_path: Path) -> None:
    source = '''
OPEN = "<tool_call>"
def test_it():
    """A docstring with <tool_call>{"name": "no", "arguments": {}}</tool_call>"""
    text = OPEN + '{"name": "get_weather", "arguments": {"city": "Rome"}}' + "</tool_call>"
    schema = '{"type": "function", "name": "x", "parameters": {}}'
'''
    archive = tmp_path / "sources.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("x/tests/tool_parsers/test_some_tool_parser.py", source)
        opened.writestr("x/vllm/some_module.py", source)
    (output,) = parser_outputs.read(archive)
    assert output.family == "some"
    assert output.text.startswith("<tool_call>{")
    assert output.tools == ("get_weather",)


def test_remnants_have_at_least_four_characters_and_are_no_whole_tags() -> None:
    rows = {item.row for item in tag_forms.items()}
    assert rows == {
        "tags whole",
        "tag remnants: head eaten",
        "tag remnants: head eaten, glued",
        "tag remnants: cut at the end",
        "tag remnants: cut, then speech",
    }
    cut = [item.line["messages"][-1]["content"] for item in tag_forms.items() if item.row.endswith("at the end")]
    assert min(len(text.rsplit(" ", 1)[-1]) for text in cut) >= tag_forms.LEAST
    assert not any(
        text.endswith(closing) for text in cut for _, closing in tag_forms.THINK_TAGS if closing[-1] in ">]▷"
    )


@pytest.mark.parametrize("family", tag_forms.THINK_TAGS, ids=lambda family: family[0])
def test_every_family_has_two_tags(family: tuple[str, str]) -> None:
    assert all(len(tag) > tag_forms.LEAST for tag in family)
