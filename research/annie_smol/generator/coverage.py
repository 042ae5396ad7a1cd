"""`python -m research.annie_smol.generator coverage FILE`: counts how often each fact and sum of the domain occurs.

It counts statements in replies that are trained on, in any turn: "Two plus three is five." counts for 2 + 3; a reply
that names Paris counts for France if the request or the reply names the country. Other forms ("That's five.") are not
counted, so a count may be too low but not too high.
"""

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import median

from annie_data.conversation import Line, read_lines
from annie_data.words import key
from annie_eval.errors import UsageError
from research.annie_smol.generator import facts_table, lexicon, reasoning, sums
from research.annie_smol.generator.wording import americanised

_NUMBER = {lexicon.in_words(n): n for n in range(21)} | {str(n): n for n in range(21)}
_ANY = "|".join(sorted(_NUMBER, key=len, reverse=True))
_SUM = re.compile(rf"\b({_ANY}) (plus|minus) ({_ANY}) is ({_ANY})\b", re.IGNORECASE)
_TWICE = re.compile(rf"\b(double|half of) ({_ANY}) is ({_ANY})\b", re.IGNORECASE)
_STEP = re.compile(r"\bthe (?:day|month) (after|before) (\w+) is (\w+)", re.IGNORECASE)
_SAYS_THINGS = re.compile(r"\bhow many\b|\bleft\b", re.IGNORECASE)
_SOME = 12  # maximum number of rare items to list per group

Item = tuple[str, str]  # group, what


@cache
def table() -> tuple[Item, ...]:
    """All facts, sums, days and months of the domain."""
    found = [("sums and differences", f"{x} {word} {y}") for word, x, y in sums.TABLE]
    found += [("stories of them", f"{x} {word} {y}") for word, x, y in sums.TABLE if x and y]
    found += [("doubles", str(n)) for n in range(1, 11)] + [("halves", str(n)) for n in range(2, 21, 2)]
    found += [("dozen", "a dozen"), ("dozen", "half a dozen")]
    found += [
        ("days and months", f"{'after' if forward else 'before'} {name}") for name, forward in reasoning.CALENDAR
    ]
    found += [("comparisons", f"{more} {word} than {less}") for word, more, less in reasoning.PAIRS]
    found += [("capitals", country) for country in sorted(lexicon.CAPITALS)]
    found += [("other facts", answers[0]) for _, answers in facts_table.TABLE]
    found += [("young animals", animal) for animal in sorted(facts_table.YOUNG)]
    found += [("colours", thing) for thing in sorted(facts_table.COLOURS)]
    found += [("opposites", word) for word in sorted(facts_table.OPPOSITES | facts_table.BOTH_WAYS)]
    return tuple(found)


def count(lines: Sequence[Line]) -> Counter[Item]:
    """How often each item of `table` occurs; 0 if it does not."""
    counts: Counter[Item] = Counter(dict.fromkeys(table(), 0))
    for line in lines:
        asked = ""
        for message in line["messages"]:
            if message["role"] == "user":
                asked = message["content"]
            elif message["role"] == "assistant" and message.get("weight", 1) and not message.get("tool_calls"):
                counts.update(item for item in {*_taught(asked, message["content"] or "")} if item in counts)
    return counts


def _taught(asked: str, reply: str) -> Iterator[Item]:
    for first, word, second, result in _SUM.findall(reply):
        x, y, stated = (_NUMBER[number.lower()] for number in (first, second, result))
        if stated == (x + y if word.lower() == "plus" else x - y):
            story = bool(re.search(rf"\bis {result}(?: [a-z]|, so)", reply)) and bool(_SAYS_THINGS.search(asked))
            yield "sums and differences", f"{x} {word.lower()} {y}"
            if story:
                yield "stories of them", f"{x} {word.lower()} {y}"
    for what, number, result in _TWICE.findall(reply):
        n, stated = _NUMBER[number.lower()], _NUMBER[result.lower()]
        if what.lower() == "double" and stated == 2 * n:
            yield "doubles", str(n)
        elif what.lower() != "double" and 2 * stated == n:
            yield "halves", str(n)
    if re.search(r"\bdozen\b", reply, re.IGNORECASE):
        yield "dozen", "half a dozen" if "half" in reply.lower() else "a dozen"
    for relation, name, _ in _STEP.findall(reply):
        yield "days and months", f"{relation.lower()} {name}"
    reply_key, asked_key = f" {key(reply)} ", f" {key(asked)} "
    both = reply_key + asked_key
    for word, more, less in reasoning.PAIRS:
        same = ("bigger", "larger") if word == "bigger" else (word,)
        if any(f" {key(more)} is {one} than {key(less)} " in reply_key for one in same):
            yield "comparisons", f"{more} {word} than {less}"
    for country, names in _countries().items():
        if f" {key(lexicon.CAPITALS[country])} " in reply_key and any(f" {name} " in both for name in names):
            yield "capitals", country
    for fact in _facts().get(key(reply), ()):
        yield "other facts", fact
    if " young " in both or " baby " in both or " call" in both:
        for animal, child in facts_table.YOUNG.items():
            if f" {child} " in reply_key and re.search(rf" {animal}s? ", both):
                yield "young animals", animal
    for thing, (_, value) in facts_table.COLOURS.items():
        if f" {key(value)} " in reply_key and re.search(rf" {key(americanised(thing))} | {key(thing)} ", both):
            yield "colours", thing
    if " opposite " in both or " not " in asked_key:
        for word, other in (facts_table.OPPOSITES | facts_table.BOTH_WAYS).items():
            if f" {other} " in reply_key and f" {word} " in asked_key:
                yield "opposites", word


@cache
def _countries() -> dict[str, list[str]]:
    other = {"the Netherlands": ["holland"], "the United States": ["us", "america", "usa"]}
    return {
        country: [
            name for one in (key(country.removeprefix("the ")), *other.get(country, [])) for name in (one, f"{one}s")
        ]
        for country in lexicon.CAPITALS
    }


@cache
def _facts() -> dict[str, list[str]]:
    """Maps each answer, in British and American words, to the first answers of its facts."""
    found: dict[str, list[str]] = defaultdict(list)
    for _, answers in facts_table.TABLE:
        for wording in {key(wording) for answer in answers for wording in (answer, americanised(answer))}:
            found[wording].append(answers[0])
    return dict(found)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--least", type=int, default=1, metavar="N", help="list items that occur less often (default: 1)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command. Returns 0 if every item occurs at least `--least` times; 1 if not, and lists them.

    Raises UsageError if the file cannot be read or a line is not a conversation.
    """
    path: Path = arguments.file
    if arguments.least < 0:
        raise UsageError(f"--least is {arguments.least}; write a number of at least 0")
    lines: list[Line] = []
    for one in read_lines(path):
        if one.line is None or not isinstance(one.line.get("messages"), list):
            raise UsageError(
                f"{path}:{one.number}: {one.problem or 'has no messages'}; annie-data validate lists all problems"
            )
        lines.append(one.line)
    counts = count(lines)
    print(f"{path}: {len(lines)} conversations\n\n| taught | items | least | median | most |\n|---|---|---|---|---|")
    rare: dict[str, list[str]] = {}
    for group in dict.fromkeys(group for group, _ in table()):
        found = {what: n for (name, what), n in counts.items() if name == group}
        print(
            f"| {group} | {len(found)} | {min(found.values())} | {median(found.values()):g} | {max(found.values())} |"
        )
        if few := [
            f"{what} ({n})" for what, n in sorted(found.items(), key=lambda item: item[1]) if n < arguments.least
        ]:
            rare[group] = few
    for group, few in rare.items():
        more = f" and {len(few) - _SOME} more" if len(few) > _SOME else ""
        print(f"fewer than {arguments.least} times: {group}: {', '.join(few[:_SOME])}{more}")
    return 1 if rare else 0
