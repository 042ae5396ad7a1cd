"""The built-in teacher: mixes by name, valid conversations, the same ones for the same seed."""

# ruff: noqa: E501 - tables

import json
from pathlib import Path
from random import Random

import pytest

from annie_data.mix import load_mix
from annie_data.rules import problems
from annie_data.scenario_prompts import offered_tools
from annie_data.teachers.prompt import PROMPT_LIMIT, prompt
from annie_data.teachers.protocol import Order
from annie_eval.profile.load import load
from research.annie_smol.generator import __main__ as generator
from research.annie_smol.generator import compose
from research.annie_smol.generator.__main__ import MIXES
from research.annie_smol.generator.grammar import expand
from research.annie_smol.generator.teacher import Builtin

GOOD = 'profile = "annie-smol"\n[kinds.greetings]\ncount = 3\n'
MISTAKES = {
    "no such mix": ("annie-9", None, "there is no mix 'annie-9'; choose from annie-430"),
    "a kind that the grammar lacks": ("mix.toml", GOOD.replace("greetings", "poems"), "is unknown to the built-in teacher"),
    "a profile that the grammar lacks": ("mix.toml", GOOD.replace("annie-smol", "annie"), "knows the domain of annie-smol"),
    "nothing at all": ("mix.toml", GOOD.replace("3", "0"), "every count is 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mix_that_the_grammar_cannot_write_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mix, content, told = MISTAKES[name]
    path = tmp_path / mix if mix.endswith(".toml") else Path(mix)
    if content is not None:
        path.write_text(content)
    assert generator.main(["generate", "--mix", str(path), "--out", str(tmp_path / "out.jsonl")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*out*")), "nothing was begun"


def test_every_mix_of_ours_can_be_asked_of_a_teacher_in_a_short_prompt() -> None:
    for file in MIXES.glob("*.toml"):
        mix = load_mix(file)
        profile = load(mix.profile)
        for need in mix.needs():
            for thinking in (False, True):
                order = Order(need.kind, need.calls, 10, 0, thinking, ["A long request about nothing at all."] * 24)
                assert len(prompt(order, profile)) < PROMPT_LIMIT


@pytest.mark.parametrize("kind", [*compose.KINDS, compose.MULTI_TURN])
def test_the_grammar_writes_sound_conversations(kind: str) -> None:
    mix = load_mix(MIXES / "annie-smol-10k.toml")
    profile = load(mix.profile)
    chosen = next(one for one in mix.kinds if one.name == kind)
    calls = True if chosen.tool else None
    batch = Builtin(mix, 11).write(Order(chosen, calls, 400, 0))
    wrong = []
    for draft in batch.drafts:
        thinking = draft.meta["thinking"]
        line = {"messages": draft.messages, "tools": offered_tools(profile), "meta": draft.meta}
        if thinking != "unset":
            line["chat_template_kwargs"] = {"enable_thinking": thinking == "on"}
        wrong += [(found, draft.messages[0]["content"]) for found in problems(line)]
        text = json.dumps(draft.messages, ensure_ascii=False)
        assert not any(mark in text for mark in ("{", "(", "|")) or "tool_calls" in text or "messages" not in text
        assert "{thing}" not in text
    assert len(wrong) <= 1, wrong[:5]


@pytest.mark.parametrize("tools", [True, False])
def test_several_turns_call_a_tool_or_none_as_is_wanted(tools: bool) -> None:
    for index in range(100):
        messages, _ = compose.conversation("multi_turn", Random(f"turns/{index}"), tools=tools)
        asked = max(i for i, one in enumerate(messages) if one["role"] == "user")
        relevant = messages[asked:] if tools else messages
        assert any(one.get("tool_calls") for one in relevant) is tools


def test_the_same_seed_makes_the_same_conversation() -> None:
    for kind in compose.KINDS:
        assert compose.conversation(kind, Random("7")) == compose.conversation(kind, Random("7"))


def test_patterns_expand_to_all_their_alternatives() -> None:
    found = {expand("(a|b (c|d)) [e] {x}", Random(n), x="f") for n in range(200)}
    assert found == {"a e f", "a f", "b c e f", "b c f", "b d e f", "b d f"}


@pytest.mark.parametrize("pattern", ["(a", "a)", "[a", "{", "a}"])
def test_a_broken_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"group|closes|brace"):
        expand(pattern, Random(0))
