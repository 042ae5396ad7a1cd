"""What `data generate` refuses before it starts, how mixes scale, and the built-in teacher's own rules."""

# ruff: noqa: E501 - tables

import json
from pathlib import Path
from random import Random

import pytest

from annie_data.mix import builtin_names, load_mix
from annie_data.rules import problems
from annie_data.scenario_prompts import load_profile
from annie_data.teachers.prompt import PROMPT_LIMIT, prompt
from annie_data.teachers.protocol import Order
from quant import cli
from research.annie_smol.generator import compose
from research.annie_smol.generator.grammar import expand
from research.annie_smol.generator.teacher import Builtin

GOOD = 'profile = "annie-smol"\n[kinds.greetings]\ncount = 3\n'

MISTAKES = {
    "no such mix": ("annie-9", None, "there is no mix 'annie-9'; choose from annie-430"),
    "no such file": ("none.toml", None, "No such file"),
    "not TOML": ("mix.toml", "=", "not TOML"),
    "no kinds": ("mix.toml", 'profile = "annie-smol"', "kinds is missing"),
    "no profile": ("mix.toml", "[kinds.a]\ncount = 1", "profile is missing"),
    "no count": ("mix.toml", 'profile = "annie-smol"\n[kinds.a]', "kinds.a.count is None"),
    "a count below zero": ("mix.toml", GOOD.replace("3", "-3"), "kinds.greetings.count is -3"),
    "a count that is true": ("mix.toml", GOOD.replace("3", "true"), "kinds.greetings.count is True"),
    "nothing at all": ("mix.toml", GOOD.replace("3", "0"), "every count is 0"),
    "an unknown field": ("mix.toml", GOOD + "weight = 1", "kinds.greetings.weight is no field"),
    "an unknown field of the mix": ("mix.toml", "seed = 1\n" + GOOD, "seed is no field of a mix"),
    "turns the wrong way round": ("mix.toml", GOOD + "turns = [3, 2]", "kinds.greetings.turns is [3, 2]"),
    "more calls than conversations": ("mix.toml", GOOD + "turns = [1, 2]\ncalls = 4", "kinds.greetings.calls is 4"),
    "thinking in percent": ("mix.toml", "thinking = 30\n" + GOOD, "thinking is 30"),
    "an unknown tool": ("mix.toml", GOOD + 'tool = "seek"', "'seek' is no tool of annie-smol"),
    "an unknown profile": ("mix.toml", GOOD.replace("annie-smol", "bob"), "there is no profile 'bob'"),
    "a kind that the grammar lacks": ("mix.toml", GOOD.replace("greetings", "poems"), "unknown to the built-in teacher"),
    "a profile that the grammar lacks": ("mix.toml", GOOD.replace("annie-smol", "annie"), "knows the domain of annie-smol"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_mix_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mix, content, told = MISTAKES[name]
    path = tmp_path / mix if mix.endswith(".toml") else Path(mix)
    if content is not None:
        path.write_text(content)
    assert cli.main(["data", "generate", "--mix", str(path), "--out", str(tmp_path / "out.jsonl")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*out*")), "nothing was begun"


OPTIONS = {
    "--count 0": "--count is 0",
    "--attempts 0": "--attempts is 0",
    "--timeout 0": "--timeout is 0",
    "--teacher command": "wants --command",
    "--teacher command --command nonesuch-9": "there is no program 'nonesuch-9'",
    "--teacher command --command": "",
    "--teacher command --command ''": "--command is empty",
    "--teacher command --command 'a": "cannot be split",
    "--teacher endpoint": "wants --base-url",
    "--teacher endpoint --base-url here": "is no URL",
    "--teacher endpoint --base-url http://x/v1 --api-key-env NONE_SUCH_9": "NONE_SUCH_9 is not set",
    "--command true": "--command is for --teacher command",
    "--base-url http://x/v1": "--base-url is for --teacher endpoint",
    "--against nowhere.jsonl": "no such file",
}


@pytest.mark.parametrize("words", OPTIONS)
def test_a_mistake_in_the_options_is_one_line(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [word.strip("'") if word != "'a" else word for word in words.split()]
    out = tmp_path / "out.jsonl"
    try:
        status = cli.main(["data", "generate", "--mix", "annie-430", "--out", str(out), *given])
    except SystemExit as ended:  # argparse's own
        status = int(ended.code or 0)
    error = capsys.readouterr().err
    assert status == 2
    assert OPTIONS[words] in error
    assert error.count("\n") == 1


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    assert cli.main(["data", "generate", "--mix", "annie-430", "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_another_run_s_journal_is_not_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    journal = tmp_path / ".out.jsonl.journal"
    words = ["data", "generate", "--mix", "annie-430", "--resume", "--out", str(out)]
    journal.write_text('{"plan": {"seed": 7}}\n')
    assert cli.main(words) == 2
    assert "another mix, teacher, seed or profile" in capsys.readouterr().err
    journal.write_text("garbage\n")
    assert cli.main(words) == 2
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 9, 43, 431, 4300])
@pytest.mark.parametrize("name", ["annie-430", "annie-smol-10k"])
def test_a_mix_scales_to_exactly_the_count(name: str, count: int) -> None:
    mix = load_mix(name, count)
    assert mix.count == count
    assert sum(need.count for need in mix.needs()) == count


def test_every_mix_of_ours_can_be_asked_of_a_teacher_in_a_short_prompt() -> None:
    for name in builtin_names():
        mix = load_mix(name)
        profile = load_profile(mix.profile)
        for need in mix.needs():
            for thinking in (False, True):
                order = Order(need.kind, need.calls, 10, 0, thinking, ["A long request about nothing at all."] * 24)
                assert len(prompt(order, profile)) < PROMPT_LIMIT


@pytest.mark.parametrize("kind", [*compose.KINDS, compose.MULTI_TURN])
def test_the_grammar_writes_sound_conversations(kind: str) -> None:
    mix = load_mix("annie-smol-10k")
    profile = load_profile(mix.profile)
    chosen = next(one for one in mix.kinds if one.name == kind)
    calls = True if chosen.tool else None
    batch = Builtin(mix, 11).write(Order(chosen, calls, 400, 0))
    wrong = []
    for draft in batch.drafts:
        thinking = draft.meta["thinking"]
        line = {"messages": draft.messages, "tools": list(profile.tools), "meta": draft.meta}
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
