"""Templates of arithmetic: each is filled with numbers whose result the reply states, and all pairs occur."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from annie_data.overlap import Overlap
from annie_data.scenario_prompts import Prompt, prompts, scenario_files
from research.annie_smol.generator import lexicon
from research.annie_smol.generator.reasoning import SCALES
from research.annie_smol.study import frames, spoken

NUMBER = {lexicon.in_words(number): number for number in range(101)} | {str(number): number for number in range(101)}
WORD = re.compile("|".join(sorted(map(re.escape, NUMBER), key=len, reverse=True)))
SPOKEN = Path(__file__).resolve().parents[3] / "data" / "spoken"


def _numbers(text: str) -> list[int]:
    return [NUMBER[found] for found in re.findall(rf"(?<![\w-])(?:{WORD.pattern})(?![\w-])", text.lower())]


def test_what_a_reply_states_is_right_and_of_the_numbers_in_the_prompt() -> None:
    checked: Counter[str] = Counter()
    for prompt, reply, _ in frames.filled(SPOKEN):
        stated = _numbers(reply)
        kind = next(
            (word for word in ("plus", "minus", "double", "half", "larger", "smaller") if word in reply.lower()), ""
        )
        if kind in {"plus", "minus"}:
            a, b, result = stated
            assert result == (a + b if kind == "plus" else a - b), reply
        elif kind == "double":
            assert stated == [stated[0], 2 * stated[0]], reply
        elif kind == "half":
            assert stated == [stated[0], stated[0] // 2], reply
            assert stated[0] % 2 == 0
        elif stated:
            assert (stated[0] > stated[1]) == (kind == "larger"), reply
        wanted = stated if kind in {"larger", "smaller"} else stated[:-1]
        assert set(wanted) <= set(_numbers(prompt)) <= {*wanted, 1, 2}, prompt  # "on one ticket", "two cards"
        checked[kind if stated else "things"] += 1
    assert checked.keys() == {"plus", "minus", "double", "half", "larger", "smaller", "things"}


def test_of_things_the_first_is_further_on_its_scale() -> None:
    seen = 0
    for _, reply, _ in frames.filled(SPOKEN):
        more, _, rest = reply.lower().rstrip(".").partition(" is ")
        word, _, less = rest.partition(" than ")
        for words, scale in SCALES:
            if word in words and more in scale and less in scale:
                seen += 1
                assert scale.index(more) > scale.index(less), reply
    assert seen > 500


def test_the_pairs_of_a_deck_come_alike_often() -> None:
    stories: Counter[tuple[str, int, int]] = Counter()
    for _, reply, _ in frames.filled(SPOKEN):
        sign = next((sign for sign in (" plus ", " minus ") if sign in reply), "")
        if sign and not {0, 1} & set(_numbers(reply)):
            a, b, _ = _numbers(reply)
            stories[sign, a, b] += 1
    assert len(stories) == 2 * 153  # from two on, with sums up to twenty
    assert max(stories.values()) <= 1.5 * min(stories.values())


def test_they_are_the_same_each_time_and_none_is_near_to_a_scenario() -> None:
    lines = list(spoken.frame_lines(SPOKEN))
    asked = [line["messages"][1]["content"] for line in lines]
    assert len(set(asked)) == len(asked) == 6737  # the data card's number
    assert lines == list(spoken.frame_lines(SPOKEN))
    overlap = Overlap([Prompt(one.scenario, one.text, one.asked) for one in prompts(scenario_files([]))])
    assert [prompt for prompt in asked[::17] if overlap.find(prompt)] == []


def test_they_pass_validate(tmp_path: Path) -> None:
    from annie_data import cli

    (tmp_path / "frames.jsonl").write_text(spoken.text(SPOKEN, "frames"))
    assert cli.main(["validate", str(tmp_path / "frames.jsonl")]) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("plus\tWhat is {a} and {b}?", "frames.tsv:1: plus: no operation; add"),
        ("add\tWhat is {a} and {a}?", "frames.tsv:1: needs a, b in braces, each once"),
        ("double\tTwice {a}, or {b}?", "frames.tsv:1: needs a in braces, each once"),
        ("add\tWhat is {a} and {b}, {}?", "frames.tsv:1: needs a, b in braces, each once"),
        ("add\tWhat is {a} and {b} }?", "frames.tsv:1: needs a, b in braces, each once"),
        ("add\t", "frames.tsv:1: 2 columns; frames has 2, all filled"),
    ],
)
def test_a_broken_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "frames.tsv").write_text(line + "\n")
    with pytest.raises(SystemExit, match=re.escape(message)):
        list(frames.filled(tmp_path))
