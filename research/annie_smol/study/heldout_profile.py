"""Writes a held-out profile of the annie-smol domain: hundreds of scenarios that are unlike any training prompt.

    .venv/bin/python -m research.annie_smol.study.heldout_profile --training data/annie-smol-4300.jsonl \
        --seed 77 --out heldout
    .venv/bin/pytest --model-dir DIR --profile heldout/annie-smol-heldout.toml

The prompts are made by the built-in generator with a seed that no training line has. Those that `annie-data
decontaminate` would find in a training file or in a shipped scenario are left out. The rest ask for the same things in
other words, as far as the generator's grammar varies them. A score on them shows what a model learnt beyond its
training lines, but not how it answers people. Gates, limits and serving are those of annie-smol, with --samples per
gate.

--free adds freely worded prompts (study/free.py) to the gates, except those that are similar to a training prompt.
Their ids begin with `free-`. --second-seed adds a second set of the same kind, which has no prompt similar to one of
the first. Its ids begin with `new-`.
"""

import argparse
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from annie_data.conversation import read_lines, users
from annie_data.expectation import expectation
from annie_data.overlap import Overlap
from annie_data.scenario_prompts import PROFILES, Prompt, prompts, scenario_files
from research.annie_smol.generator import compose
from research.annie_smol.study import free

_CLOCK = re.compile(r"\d:\d\d")
TOOLS = ("search_memory", "web_search", "set_timer")
GATES: dict[str, tuple[str, ...]] = {
    "thinking_leak": ("greetings", "factual", "reasoning", "small_talk", "topics", "formats", *TOOLS),
    "tool_calling": TOOLS,
    "no_markdown": ("formats",),
    "factual": ("factual",),
    "reasoning": ("reasoning",),
    "brevity": ("topics", "small_talk", "greetings"),
    "restraint": ("factual", "reasoning", "small_talk", "topics"),
}


def scenario(
    category: str, number: int, kind: str, messages: list[dict[str, Any]], meta: dict[str, Any]
) -> dict[str, Any]:
    """One line of a scenario file."""
    replies = [message for message in messages if message["role"] == "assistant"]
    results = [message["content"] for message in messages if message["role"] == "tool"]
    expect = dict(meta.get("expect", {}))
    if kind in TOOLS or category == "restraint":
        expect |= expectation(replies)
    line: dict[str, Any] = {
        "id": f"{category.replace('_', '-')}-{number:03d}", "category": category, "stream": number % 2 == 0,
        "prompt": messages[0]["content"],
    }  # fmt: skip
    if category == "thinking_leak":
        line["thinking"] = ("on", "off", "unset")[number % 3]
    if category in {"no_markdown", "brevity", "thinking_leak"}:
        expect.pop("answer", None)
    if expect:
        line["expect"] = expect
    calls = [
        {"name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])}
        for reply in replies
        for call in reply.get("tool_calls", [])
    ]
    line["example"] = calls or replies[-1]["content"]
    if calls:
        line |= {"tool_results": {calls[0]["name"]: results[0]}}
        if not _CLOCK.search(replies[-1]["content"]):  # the gate `speakable` flags times such as 22:50
            line["then_example"] = replies[-1]["content"]
    return line


def known(training: Sequence[Path], seed: int, more: Sequence[str] = ()) -> Overlap:
    """An index of the training prompts, the shipped scenarios and `more` prompts.

    Raises:
        SystemExit: a training line was made with `seed`, or cannot be read.
    """
    texts = [one.text for one in prompts(scenario_files([]))] + list(more)
    for path in training:
        for one in read_lines(path):
            if one.line is None:
                raise SystemExit(f"{path}:{one.number}: {one.problem}; annie-data validate lists all problems")
            if (one.line.get("meta") or {}).get("seed") == seed:
                raise SystemExit(f"{path}:{one.number}: was made with seed {seed}, too; choose another --seed")
            texts += users(one.line["messages"])
    return Overlap([Prompt("training", text, True) for text in dict.fromkeys(texts)])


def freely_worded(overlap: Overlap, directory: Path, samples: int) -> list[dict[str, Any]]:
    """At most `samples` freely worded scenarios per gate, none similar to a prompt in `overlap`."""
    counts: Counter[str] = Counter()
    lines = []
    for line in free.scenarios(directory):
        category = line["category"]
        if counts[category] < samples and not overlap.find(line["prompt"]):
            counts[category] += 1
            lines.append(line)
    return lines


def scenarios(overlap: Overlap, seed: int, samples: int) -> list[dict[str, Any]]:
    """`samples` generated scenarios per gate, all different and none similar to a prompt in `overlap`.

    Raises:
        SystemExit: too few prompts are different enough.
    """
    lines: list[dict[str, Any]] = []
    seen: set[str] = set()
    for category, kinds in GATES.items():
        found, index = 0, 0
        while found < samples:
            kind = kinds[index % len(kinds)]
            messages, meta = compose.conversation(kind, Random(f"held out/{seed}/{category}/{index}"), think=0.0)
            index += 1
            if index > 200 * samples:
                raise SystemExit(
                    f"{category}: only {found} of {samples} prompts are different enough; use fewer --samples"
                )
            text = messages[0]["content"]
            if category in {"factual", "reasoning"} and "answer" not in meta.get("expect", {}):
                continue
            if text.lower() in seen or overlap.find(text):
                continue
            seen.add(text.lower())
            found += 1
            lines.append(scenario(category, found, kind, messages, meta))
    return lines


def profile(counts: Counter[str]) -> str:
    """The TOML text of annie-smol's profile with the held-out scenarios and `counts`, requiring the same shares."""
    text = (PROFILES / "annie-smol.toml").read_text(encoding="utf-8")
    text = re.sub(r'scenarios = ".*"', 'scenarios = "annie-smol-heldout.jsonl"', text)
    # The study compares weights, not states of a server.
    text = re.sub(r"(?:^#.*\n)*^\[gates\.server_state\]\n(?:^\w.*\n)*", "", text, flags=re.MULTILINE)

    def scaled(match: re.Match[str]) -> str:
        samples = counts[match[1]]
        required = f"\nrequired = {math.ceil(samples * int(match[4]) / int(match[3]))}" if match[4] else ""
        return f"[gates.{match[1]}]{match[2]}samples = {samples}{required}"

    asked = sum(int(number) for number in re.findall(r"^samples = (\d+)", text, re.MULTILINE))
    text = re.sub(
        r'(categories = \["\*"\]\nrequired = )(\d+)',
        lambda match: match[1] + str(math.ceil(counts.total() * int(match[2]) / asked)),
        text,
    )
    return re.sub(r"\[gates\.(\w+)\]([^\[]*?\[[^\]]*\]\n)samples = (\d+)(?:\nrequired = (\d+))?", scaled, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--training", type=Path, action="append", required=True, metavar="FILE", help="may be repeated"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=200, help="samples per gate")
    parser.add_argument("--free", type=Path, metavar="DIR", help="add freely worded prompts from DIR")
    parser.add_argument("--second-seed", type=int, metavar="N", help="add a second set, made with this seed")
    parser.add_argument("--second-samples", type=int, default=200, help="samples per gate of the second set")
    parser.add_argument("--second-free", type=Path, metavar="DIR", help="freely worded prompts of the second set")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    overlap = known(arguments.training, arguments.seed)
    lines = scenarios(overlap, arguments.seed, arguments.samples)
    if arguments.free is not None:
        lines += freely_worded(overlap, arguments.free, arguments.samples)
    if arguments.second_seed is not None:
        trained = known(arguments.training, arguments.second_seed, [line["prompt"] for line in lines])
        second = scenarios(trained, arguments.second_seed, arguments.second_samples)
        if arguments.second_free is not None:
            second += freely_worded(trained, arguments.second_free, arguments.second_samples)
        lines += [line | {"id": f"new-{line['id']}"} for line in second]
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (arguments.out / "annie-smol-heldout.jsonl").write_text(text, encoding="utf-8")
    (arguments.out / "annie-smol-heldout.toml").write_text(
        profile(Counter(line["category"] for line in lines)), encoding="utf-8"
    )
    print(f"{len(lines)} scenarios, {arguments.out / 'annie-smol-heldout.toml'}")


if __name__ == "__main__":
    main()
