"""Measures how many copies of scenarios `annie-data decontaminate` finds, and how many false alarms it gives.

    .venv/bin/python -m research.annie_smol.study.decontamination [--conversations 4000]

Copies: every judged prompt of every profile (four words or more, Latin letters), paraphrased in three ways by each
method of paraphrase.py, and by pairs of methods. Not copies: conversations of the built-in teacher, which was written
only from the domain's description.
"""

import argparse
from collections import Counter
from random import Random

from annie_data.overlap import Overlap, contamination
from annie_data.scenario_prompts import Prompt, prompts, scenario_files
from research.annie_smol.generator import compose
from research.annie_smol.study import paraphrase


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--conversations", type=int, default=4000)
    conversations = parser.parse_args().conversations
    found = prompts(scenario_files([]))
    overlap = Overlap(found)
    asked = [one for one in found if one.asked and len(one.text.split()) >= 4 and one.text.isascii()]
    print(f"{len(found)} prompts, {len(asked)} of them paraphrased\n")
    print("| paraphrase | found |\n|---|---|")
    for name in [*paraphrase.ALL, *("+".join(pair) for pair in paraphrase.PAIRS)]:
        caught = 0
        for index, one in enumerate(asked):
            for repeat in range(3):
                rng, text = Random(f"{name}/{index}/{repeat}"), one.text
                for step in name.split("+"):
                    text = paraphrase.ALL[step](text, rng)
                caught += overlap.find(text) is not None
        print(f"| {name.replace('+', ' + ')} | {caught} of {3 * len(asked)} ({caught / (3 * len(asked)):.1%}) |")
    changed = [(one.text, paraphrase.unknown(one.text, Random(0))) for one in asked]
    for least, what in ((0, "any length"), (10, "ten words or more")):
        pairs = [reworded for text, reworded in changed if reworded != text and len(text.split()) >= least]
        caught = sum(overlap.find(reworded) is not None for reworded in pairs)
        print(f"| one unknown synonym, {what} | {caught} of {len(pairs)} ({caught / len(pairs):.1%}) |")
    again = [(text, reworded) for text, several in paraphrase.REWORDED for reworded in several]
    caught = sum(Overlap([Prompt("x", text, True)]).find(reworded) is not None for text, reworded in again)
    print(f"| reworded freely, by hand | {caught} of {len(again)} ({caught / len(again):.1%}) |")
    kinds = [*compose.KINDS, compose.MULTI_TURN]
    taken: Counter[str] = Counter()
    for index in range(conversations):
        kind = kinds[index % len(kinds)]
        messages, _ = compose.conversation(kind, Random(f"benchmark/{index}"))
        taken[kind] += contamination({"messages": messages}, overlap) is not None
    share = f"{taken.total()} of {conversations} conversations ({taken.total() / conversations:.1%})"
    print(f"\nnot copied, but taken: {share}")
    print(", ".join(f"{kind} {taken[kind] * len(kinds) / conversations:.1%}" for kind in kinds))


if __name__ == "__main__":
    main()
