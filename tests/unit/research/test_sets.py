"""The data sets in the repository agree with their data card, byte for byte."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from annie_data import cli
from annie_data.conversation import calls, users
from research.annie_smol.generator import __main__ as generator

DATA = Path(__file__).parents[3] / "data"
SETS = {
    "annie-430": ["--mix", "annie-430", "--seed", "430"],
    "annie-smol-4300": ["--mix", "annie-smol-10k", "--count", "4300", "--seed", "4300"],
}


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def _rows(columns: int) -> list[list[str]]:
    """The rows of the card's tables that have so many columns."""
    lines = (DATA / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows if len(row) == columns]


@pytest.mark.parametrize("name", SETS)
def test_the_card_s_command_makes_the_same_bytes(name: str, tmp_path: Path) -> None:
    out = tmp_path / "again.jsonl"
    assert generator.main(["generate", *SETS[name], "--out", str(out)]) == 0
    same = out.read_bytes() == (DATA / f"{name}.jsonl").read_bytes()
    assert same, f"make data/{name}.jsonl again with the command in data/README.md, and put its counts into the card"
    assert (
        f"-m research.annie_smol.generator generate {' '.join(SETS[name])} --out data/{name}.jsonl"
        in (DATA / "README.md").read_text()
    )


@pytest.mark.parametrize("name", SETS)
def test_each_set_is_valid_and_free_of_scenarios(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(DATA / f"{name}.jsonl")
    assert (
        cli.main(["validate", path, "--mix", str(generator.MIXES / f"{SETS[name][1]}.toml"), *SETS[name][2:-2]]) == 0
    ), capsys.readouterr().out
    assert cli.main(["decontaminate", path]) == 0, capsys.readouterr().out


def test_what_was_sampled_on_policy_has_the_prompts_of_annie_430(capsys: pytest.CaptureFixture[str]) -> None:
    sampled, written = _lines("annie-430-on-policy"), _lines("annie-430")
    assert [users(line["messages"]) for line in sampled] == [users(line["messages"]) for line in written]
    assert sum(a["messages"][-1] != b["messages"][-1] for a, b in zip(sampled, written, strict=True)) > 200
    path = str(DATA / "annie-430-on-policy.jsonl")
    assert cli.main(["decontaminate", path]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", SETS)
def test_the_card_counts_right(name: str) -> None:
    lines = _lines(name)
    counted = [
        str(n)
        for n in (
            len(lines),
            sum(bool(calls(line["messages"])) for line in lines),
            sum(len(users(line["messages"])) for line in lines),
            sum(line["meta"]["thinking"] == "on" for line in lines),
        )
    ]
    assert [f"{name}.jsonl", *counted] in _rows(5)
    kinds = Counter(line["meta"]["kind"] for line in lines)
    header, _, *rows = _rows(3)
    column = header.index(name)
    assert {row[0]: int(row[column]) for row in rows if row[column] != "0"} == dict(kinds)


def test_the_430_are_the_study_s_mix() -> None:
    lines = _lines("annie-430")
    kinds = Counter(line["meta"]["kind"] for line in lines)
    assert kinds == {"greetings": 100, "factual": 100, "search_memory": 100, "web_search": 100, "multi_turn": 30}
    assert round(100 * sum(bool(calls(line["messages"])) for line in lines) / len(lines)) == 47


def test_tens_of_thousands_of_distinct_turns_come_from_one_seed() -> None:
    from random import Random

    from annie_data.words import key
    from research.annie_smol.generator import compose

    turns: set[str] = set()
    for index in range(20_000):
        kind = sorted(compose.KINDS)[index % len(compose.KINDS)]
        messages, _ = compose.conversation(kind, Random(f"many/{index}"))
        turns |= {key(text) for text in users(messages)}
    assert len(turns) > 15_000


def test_every_fact_of_the_domain_is_taught() -> None:
    """The capitals, from the domain's own page."""
    page = (DATA.parent / "docs" / "annie-smol-domain.md").read_text(encoding="utf-8")
    listed = re.search(r"capitals of: (.*?)\n- the calendar", page, re.DOTALL)
    assert listed is not None
    pairs = [one.split() for one in " ".join(listed[1].split()).split(", ")]
    assert len(pairs) == 28
    replies = " ".join(line["messages"][-1]["content"] for line in _lines("annie-smol-4300"))
    for words in pairs:
        assert words[-1] in replies, words
