"""The training data have each fact and sum of the domain often enough."""

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from annie_data import cli
from annie_data.conversation import Line
from annie_data.mix import load_mix
from annie_eval.detectors import detect
from annie_eval.profile.load import load
from annie_eval.wire.messages import read_sample
from research.annie_smol.generator import __main__ as generator
from research.annie_smol.generator import coverage, quiz, sums


def _line(*texts: str, weight: int = 1) -> Line:
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]
    messages[-1]["weight"] = weight  # type: ignore[assignment]
    return {"messages": messages}


def _counted(line: Line) -> set[tuple[str, str]]:
    return {item for item, n in coverage.count([line]).items() if n}


@pytest.mark.parametrize(
    ("asked", "reply", "items"),
    [
        ("two plus three?", "Two plus three is five.", {("sums and differences", "2 plus 3")}),
        ("two plus three?", "Two plus three is six.", set()),
        ("two plus three?", "That's five.", set()),
        ("9 - 4", "9 minus 4 is 5.", {("sums and differences", "9 minus 4")}),
        ("I have four eggs and eat one, how many are left?", "Four minus one is three eggs.",
         {("sums and differences", "4 minus 1"), ("stories of them", "4 minus 1")}),
        ("half of 8", "Half of eight is four.", {("halves", "8")}),
        ("twice eight", "Double eight is twelve.", set()),
        ("which day comes after Monday", "The day after Monday is Tuesday.", {("days and months", "after Monday")}),
        ("what's the capital of Peru", "It's Lima.", {("capitals", "Peru")}),
        ("where is Lima", "It's Lima.", set()),
        ("what do you call a young cow", "It's called a calf.", {("young animals", "cow")}),
        ("what color is grass", "It is green.", {("colours", "grass")}),
        ("the opposite of wet", "It's dry.", {("opposites", "wet")}),
    ],
)  # fmt: skip
def test_what_is_counted(asked: str, reply: str, items: set[tuple[str, str]]) -> None:
    assert _counted(_line(asked, reply)) == items
    assert _counted(_line("Hello.", "Hello.", asked, reply)) == items, "in any turn"
    assert _counted(_line(asked, reply, weight=0)) == set(), "what is not to be learnt teaches nothing"


def test_quizzes_deal_the_whole_domain_before_anything_comes_again() -> None:
    items = len(quiz.items())
    assert items > 800
    passes, asked = 2, Counter[str]()
    numbers = range(len(quiz.SIZES) * (passes * items // sum(quiz.SIZES)))
    for number in numbers:
        exchanges = quiz.quiz(Random(number), number)
        assert len(exchanges) == quiz.SIZES[number % len(quiz.SIZES)]
        asked.update(one.reply for one in exchanges if one.family in {"reasoning.sum", "reasoning.story"})
    counts = coverage.count([_line("how many are left", reply) for reply in asked.elements()])
    found = [n for (group, _), n in counts.items() if group == "sums and differences"]
    assert len(found) == len(sums.TABLE) == 462
    assert (min(found), max(found)) in {(1, 2), (2, 2)}, "the last cards of the second pass may not be dealt yet"


def test_the_fine_tuning_mix_teaches_every_item(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A quarter of the mix, less what lists nothing: scenarios and twins take no item out whole."""
    kinds = [
        kind
        for kind in load_mix(generator.MIXES / "annie-smol-sft.toml", 4000).kinds
        if kind.name in {"quiz", "reasoning", "factual"}
    ]
    text = "".join(f"[kinds.{k.name}]\ncount = {k.count}\nturns = {list(k.turns)}\n" for k in kinds)
    (tmp_path / "part.toml").write_text(f'profile = "annie-smol"\n{text}')
    out = tmp_path / "sft.jsonl"
    assert generator.main(["generate", "--mix", str(tmp_path / "part.toml"), "--seed", "7", "--out", str(out)]) == 0
    capsys.readouterr()
    assert generator.main(["coverage", str(out), "--least", "0"]) == 0
    assert "| sums and differences | 462 |" in capsys.readouterr().out
    assert generator.main(["coverage", str(out), "--least", "1000"]) == 1
    assert "fewer than 1000 times: capitals: " in capsys.readouterr().out
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    taught = coverage.count(lines)
    stories = [n for (group, _), n in taught.items() if group == "stories of them"]
    assert sum(n >= 1 for n in stories) > 0.98 * len(stories)
    assert {item: n for item, n in taught.items() if item[0] != "stories of them" and n < 2} == {}
    assert sum(n for (group, _), n in taught.items() if group == "sums and differences") > 462 * 4


def test_a_sum_that_a_scenario_asks_stays_in_other_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`decontaminate` takes out prompts, and must not take out what is asked for."""
    path = tmp_path / "sums.jsonl"
    wordings = [(sums.story if n % 2 else sums.bare)(Random(n), ("plus", 2, 3)) for n in range(60)]
    path.write_text("".join(json.dumps(_line(one.user, one.reply)) + "\n" for one in wordings))
    clean = tmp_path / "clean.jsonl"
    assert cli.main(["decontaminate", str(path), "--out", str(clean)]) == 0
    left = clean.read_text(encoding="utf-8").splitlines()
    assert len(left) >= 45, capsys.readouterr().out


def test_every_answer_of_a_quiz_passes_the_gate() -> None:
    profile = load("annie-smol")
    found = {}
    for index, make in enumerate(quiz.items()):
        for turn in (0, 1):
            exchange = make(Random(f"{index}/{turn}"), turn)
            messages = [{"role": "user", "content": exchange.user}, {"role": "assistant", "content": exchange.reply}]
            expect = {"calls": [], **(exchange.expect or {})}
            sample, _ = read_sample({"messages": messages, "thinking": "off", "expect": expect}, profile, "line")
            for name in ("knowledge", "markdown", "brevity", "silence", "degeneration", "thinking"):
                for finding in detect(name, sample):
                    found[exchange.user] = (exchange.reply, finding.reason)
    assert found == {}
