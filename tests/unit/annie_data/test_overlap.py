"""Decontamination: copies and light paraphrases of scenarios are found in training data."""

# ruff: noqa: E501 - tables

import functools
import json
from pathlib import Path
from random import Random

import pytest

from annie_data import cli
from annie_data.overlap import Overlap, contamination
from annie_data.scenario_prompts import PROFILES, Prompt, prompts, scenario_files
from research.annie_smol.generator import compose
from research.annie_smol.study import paraphrase


@functools.lru_cache(maxsize=1)
def everything() -> tuple[list[Prompt], Overlap]:
    found = prompts(scenario_files([]))
    return found, Overlap(found)


def asked() -> list[Prompt]:
    """Judged prompts that are long enough to be somebody's, in Latin letters (the synonyms are English)."""
    return [one for one in everything()[0] if one.asked and len(one.text.split()) >= 4 and one.text.isascii()]


def test_every_profile_of_ours_is_read_by_default() -> None:
    files = {file.name for file in scenario_files([])}
    assert files >= {file.name for file in (PROFILES.parent / "scenarios").glob("*.jsonl")}
    assert len(everything()[0]) > 400


def test_every_prompt_of_every_scenario_is_found_verbatim() -> None:
    found, overlap = everything()
    missed = [one for one in found if one.asked and overlap.find(one.text) is None]
    assert missed == []


FLOORS = {
    "case": 1.0, "marks": 0.99, "filler": 0.98, "polite": 0.98, "reorder": 0.99, "synonym": 0.98, "drop": 0.97,
    "embed": 0.97, "synonym+filler": 0.97, "reorder+case": 0.98, "synonym+reorder": 0.97, "polite+synonym": 0.97,
    "drop+filler": 0.97, "slip": 0.97, "unseen": 0.98,
}  # fmt: skip


@pytest.mark.parametrize("name", FLOORS)
def test_light_paraphrases_are_found(name: str) -> None:
    _, overlap = everything()
    caught = total = 0
    for index, one in enumerate(asked()):
        for repeat in range(2):
            rng = Random(f"{name}/{index}/{repeat}")
            text = one.text
            for step in name.split("+"):
                text = paraphrase.ALL[step](text, rng)
            total += 1
            caught += overlap.find(text) is not None
    assert caught / total >= FLOORS[name], f"{caught} of {total}"


def test_one_unknown_synonym_is_found_in_a_longer_prompt() -> None:
    _, overlap = everything()
    pairs = [(one.text, paraphrase.unknown(one.text, Random(0))) for one in asked() if len(one.text.split()) >= 10]
    pairs = [(text, reworded) for text, reworded in pairs if text != reworded]
    assert len(pairs) >= 30
    assert sum(overlap.find(reworded) is not None for _, reworded in pairs) / len(pairs) >= 0.9


def test_most_of_what_is_said_again_freely_is_found() -> None:
    found = [
        Overlap([Prompt("x-01", text, True)]).find(reworded) is not None
        for text, again in paraphrase.REWORDED
        for reworded in again
    ]
    assert sum(found) / len(found) >= 0.85, f"{sum(found)} of {len(found)}"


def test_few_conversations_of_the_built_in_teacher_are_taken_for_a_scenario() -> None:
    """What the grammar makes is made from the domain alone, so that each hit is a false one, or an accident."""
    _, overlap = everything()
    hits = total = 0
    for kind in [*compose.KINDS, compose.MULTI_TURN]:
        for index in range(150):
            messages, _ = compose.conversation(kind, Random(f"false/{kind}/{index}"))
            total += 1
            hits += contamination({"messages": messages}, overlap) is not None
    assert hits / total <= 0.03, f"{hits} of {total}"


OTHERS = [
    "Where did I leave the tent?", "What's Clara's shoe size?", "How much does a stamp cost in Warsaw?", "Set a timer for 23 minutes.",
    "Is the bakery in Lisbon open on Sunday?", "What is nine minus four?", "Tell me a joke about a hen.", "Which month comes before May?",
]  # fmt: skip


@pytest.mark.parametrize("text", OTHERS)
def test_another_request_of_the_domain_is_no_scenario(text: str) -> None:
    scenario = Prompt("x-01", "Where did I put the blue passport of my sister?", True)
    sums = Prompt("x-02", "What is nine minus five?", True)
    assert Overlap([scenario, sums]).find(text) is None


def test_a_slip_is_read_as_the_word_of_a_prompt_and_another_word_of_the_prompts_is_left() -> None:
    overlap = Overlap(
        [Prompt("x-01", "How do I clean a shirt?", True), Prompt("x-02", "Is the rope too short?", True)]
    )
    assert overlap._corrected("clean the shrit") == "clean the shirt"
    assert overlap._corrected("clean the blouse") is None
    assert overlap._corrected("clean the short shirt") is None


def test_the_index_misses_nothing_that_a_full_comparison_finds() -> None:
    """Prompts are looked up by their rarest words; what is near to one must hold one of those."""
    found, overlap = everything()
    one_by_one = [Overlap([one]) for one in found[:60]]
    texts = [one.text for one in found[:60]] + [paraphrase.synonym(one.text, Random(1)) for one in found[:60]]
    for text in texts:
        assert (overlap._find(text) is not None) >= any(one._find(text) is not None for one in one_by_one), text


def test_the_command_removes_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def line(text: str) -> str:
        return json.dumps({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]})

    scenarios = tmp_path / "mine.jsonl"
    scenarios.write_text(
        '{"id": "zebra-01", "category": "x", "prompt": "Could you tell me where the zebra has slept?"}\n'
    )
    data = tmp_path / "data.jsonl"
    copied = line("um, tell me WHERE the zebra has slept please")
    data.write_text("\n".join([line("Hello there, Ben."), copied, line("How tall is a zebra?")]) + "\n")
    out = tmp_path / "clean.jsonl"
    words = ["decontaminate", str(data), "--against", str(scenarios)]
    assert cli.main([*words, "--out", str(out)]) == 0
    output = capsys.readouterr().out
    assert f"{data}:2: messages.0.content" in output
    assert "scenario zebra-01" in output
    assert "1 of 3 conversations" in output
    assert [json.loads(one)["messages"][0]["content"] for one in out.read_text().splitlines()] == [
        "Hello there, Ben.",
        "How tall is a zebra?",
    ]
    assert cli.main(words) == 1
    assert cli.main([*words, "--out", str(out)]) == 2
    assert cli.main(["decontaminate", str(out), "--against", str(scenarios)]) == 0


def test_a_scenario_is_found_in_any_role_and_in_plain_text() -> None:
    text = "Could you tell me where the zebra of the old circus has slept?"
    overlap = Overlap([Prompt("zebra-01", text, True)])
    for line in (
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"You asked: {text}"}]},
        {"messages": [{"role": "tool", "tool_call_id": "a", "content": text}]},
        {"text": f"Annie. {text} Yes."},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "text", "text": text}]}]},
    ):
        assert contamination(line, overlap) is not None


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.jsonl", None, "no such file"),
        ("bad.jsonl", "{", "bad.jsonl:1:2: is broken JSON"),
        ("list.jsonl", "[]", "list.jsonl:1: is [], but each line must be one JSON object"),
        ("bad.toml", "=", "not valid TOML"),
        ("empty.toml", "system_prompt = 'x'", "scenarios names no file"),
        ("latin.jsonl", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_unusable_scenarios_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | bytes | None, told: str
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"messages": [{"role": "user", "content": "Hi"}]}\n')
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert cli.main(["decontaminate", str(data), "--against", str(path)]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
