"""`annie-data validate FILE`: lists every problem of a data file, one per line.

It checks each conversation (`rules`), duplicates (`duplicates`), and with --mix the counts of kinds and of tool calls.
A reply or request that occurs very often is noted, but is not a problem.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from annie_data.conversation import Line, calls, read_lines, users
from annie_data.duplicates import Duplicates
from annie_data.mix import Mix, load_mix
from annie_data.rules import problems
from annie_data.words import key
from annie_eval.errors import UsageError

_ENOUGH = 100  # minimum number of lines for notes about shares
_MOST_SAME = 0.05


def run(arguments: argparse.Namespace) -> int:
    """Run the command. Returns 0 if there is no problem, else 1. Raises UsageError if the file cannot be read."""
    if arguments.count is not None and arguments.mix is None:
        raise UsageError("--count is the size of a mix; give --mix too")
    for name in ("max_sentences", "max_words"):
        if getattr(arguments, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; write a number of at least 1")
    mix = load_mix(arguments.mix, arguments.count) if arguments.mix else None
    path: Path = arguments.file
    count = 0
    sound: list[Line] = []
    for problem in _problems(path, sound, mix, arguments.max_sentences, arguments.max_words):
        print(problem)
        count += 1
    for note in _notes(sound):
        print(f"{path}: {note}")
    print(_summary(path, sound, count))
    return 1 if count else 0


def _problems(path: Path, sound: list[Line], mix: Mix | None, sentences: int, words: int) -> Iterator[str]:
    """Problems by line, then those of the complete file; valid conversations are appended to `sound`."""
    twins = Duplicates()
    numbers: list[int] = []
    for one in read_lines(path):
        where = f"{path}:{one.number}"
        if one.line is None:
            yield f"{where}: {one.problem}"
            continue
        wrong = problems(one.line, max_sentences=sentences, max_words=words)
        yield from (f"{where}: {problem}" for problem in wrong)
        if wrong:
            continue
        if twin := twins.add(one.line):
            how = "the same as" if twin.similarity == 1 else f"nearly the same ({twin.similarity:.2f}) as"
            yield f"{where}: messages: {how} line {numbers[twin.index]}"
            continue
        numbers.append(one.number)
        sound.append(one.line)
    yield from (f"{path}: {problem}" for problem in _balance(sound, mix))


def _kind(line: Line) -> str:
    return str((line.get("meta") or {}).get("kind", "no kind"))


def _balance(lines: Sequence[Line], mix: Mix | None) -> Iterator[str]:
    kinds = Counter(map(_kind, lines))
    if mix is not None:
        for kind in mix.kinds:
            if kinds[kind.name] != kind.count:
                yield f"balance: {kinds[kind.name]} sound conversations of kind {kind.name}, {kind.count} wanted"
            called = [calls(line["messages"]) for line in lines if _kind(line) == kind.name]
            with_calls = sum(map(bool, called))
            if kind.calls is not None and with_calls != kind.calls:
                yield f"balance: {with_calls} conversations of kind {kind.name} call a tool, {kind.calls} wanted"
            if kind.tool and (
                others := sum(not any(c["function"]["name"] == kind.tool for c in one) for one in called)
            ):
                yield f"balance: {others} conversations of kind {kind.name} do not call {kind.tool}"
        for name in sorted(set(kinds) - {kind.name for kind in mix.kinds}):
            yield f"balance: {kinds[name]} conversations of kind {name}, which the mix does not have"


def _notes(lines: Sequence[Line]) -> Iterator[str]:
    """Notes about a teacher that repeats itself, which are no problems of single lines."""
    if len(lines) < _ENOUGH:
        return
    firsts = Counter(key(users(line["messages"])[0]) for line in lines)
    last = [line["messages"][-1] for line in lines]
    replies = Counter(key(message["content"]) for message in last if message.get("content"))
    for what, found in (("first request", firsts), ("last reply", replies)):
        text, n = found.most_common(1)[0] if found else ("", 0)
        if n > _MOST_SAME * len(lines) and n > 1:
            yield f"note: the {what} {text[:60]!r} is that of {n} of {len(lines)} conversations"


def _summary(path: Path, sound: Sequence[Line], count: int) -> str:
    """One line that summarises the file."""
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(map(_kind, sound)).items()))
    called = sum(bool(calls(line["messages"])) for line in sound)
    share = f"{called / len(sound):.0%} with tool calls" if sound else "nothing sound"
    return (
        f"{path}: {len(sound)} sound conversations ({kinds or 'none'}; {share}), {count} problem{'s' * (count != 1)}"
    )
