"""A held-out profile of the annie-smol domain: hundreds of scenarios that are near to no training prompt.

    .venv/bin/python -m research.annie_smol.study.heldout_profile --training data/annie-smol-4300.jsonl \
        --seed 77 --out heldout
    .venv/bin/pytest --model-dir DIR --profile heldout/annie-smol-heldout.toml

The prompts come from the built-in teacher under a seed of their own, which must not be that of a training line. Only
those are kept that `annie-data decontaminate` would not take for one of the training files', nor for a scenario that
ships. So they ask for the same things in other words, as far as one grammar has them: what a model scores here tells
what it has learnt beyond the lines that it saw, and is no measure of how it answers people. Gates, limits and serving
are those of annie-smol, with --samples each. With --free, freely worded prompts (study/free.py) stand beside them,
under ids that begin with `free-`, as many of them as are near to no training prompt, and a gate has both. With
--second-seed a second set of the same kind is added, near to no prompt of the first, under ids that begin with `new-`.
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
        if not _CLOCK.search(replies[-1]["content"]):  # the grammar has 22:50, and the gate `speakable` flags it
            line["then_example"] = replies[-1]["content"]
    return line


def known(training: Sequence[Path], seed: int, more: Sequence[str] = ()) -> Overlap:
    """Training prompts, scenarios of ours, and `more` prompts.

    Raises SystemExit where a training line was made with `seed`.
    """
    texts = [one.text for one in prompts(scenario_files([]))] + list(more)
    for path in training:
        for one in read_lines(path):
            if one.line is None:
                raise SystemExit(f"{path}:{one.number}: {one.problem}; annie-data validate names all")
            if (one.line.get("meta") or {}).get("seed") == seed:
                raise SystemExit(f"{path}:{one.number}: was made with seed {seed} too; hold out another --seed")
            texts += users(one.line["messages"])
    return Overlap([Prompt("training", text, True) for text in dict.fromkeys(texts)])


def freely_worded(overlap: Overlap, directory: Path, samples: int) -> list[dict[str, Any]]:
    """At most `samples` scenarios for each gate of freely worded prompts, none near to what is known."""
    counts: Counter[str] = Counter()
    lines = []
    for line in free.scenarios(directory):
        category = line["category"]
        if counts[category] < samples and not overlap.find(line["prompt"]):
            counts[category] += 1
            lines.append(line)
    return lines


def scenarios(overlap: Overlap, seed: int, samples: int) -> list[dict[str, Any]]:
    """`samples` scenarios for each gate, none near to a training prompt or a scenario of ours, nor said before.

    Raises SystemExit where too few prompts are far enough.
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
                    f"{category}: only {found} of {samples} prompts are far enough; ask for fewer --samples"
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
    """annie-smol's file with other scenarios and counts, of which the same shares are required."""
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
    parser.add_argument("--samples", type=int, default=200, help="for each gate")
    parser.add_argument("--free", type=Path, metavar="DIR", help="also freely worded prompts")
    parser.add_argument("--second-seed", type=int, metavar="N", help="also a second set, made with this seed")
    parser.add_argument("--second-samples", type=int, default=200, help="for each gate, of the second set")
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
