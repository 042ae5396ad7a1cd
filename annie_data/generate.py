"""`annie-data generate`: requests conversations from a teacher and checks them, until the mix is complete.

Each conversation is checked: schema and speech (`rules`), the requirements of its kind, duplicates of earlier ones
(`duplicates`), and overlap with scenarios of the profiles (`overlap`). A conversation that fails is dropped, counted
by its cause, and requested again. `attempts` batches in a row without a usable conversation end the run; --resume
continues it.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from annie_data.conversation import Line, calls, dumps, users
from annie_data.duplicates import Duplicates
from annie_data.endpoint import ChatEndpoint
from annie_data.journal import Journal
from annie_data.language import language
from annie_data.mix import Mix, Need, load_mix
from annie_data.overlap import Overlap, contamination
from annie_data.rules import problems
from annie_data.scenario_prompts import offered_tools, prompts, scenario_files
from annie_data.teachers.command import CommandTeacher
from annie_data.teachers.endpoint import EndpointTeacher
from annie_data.teachers.protocol import Draft, Drop, Order, Teacher, excerpt
from annie_eval.errors import UsageError
from annie_eval.profile.load import load
from annie_eval.profile.types import Profile

AGAINST = "profile, .jsonl file or directory of scenarios; may be repeated (default: every profile of annie-eval)"
_AVOIDED = 24


@dataclass
class Tally:
    """Counts of batches, kept conversations and drops."""

    batches: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    drops: list[dict[str, Any]] = field(default_factory=list)


class OutOfPatience(Exception):
    """The teacher delivered nothing usable in too many batches in a row."""


class Generation:
    """One run, from the state of its journal to the finished lines."""

    def __init__(
        self,
        mix: Mix,
        profile: Profile,
        teacher: Teacher,
        overlap: Overlap,
        journal: Journal,
        *,
        seed: int,
        attempts: int,
    ) -> None:
        self.mix, self.profile, self.teacher, self.seed, self.attempts = mix, profile, teacher, seed, attempts
        self.tally = Tally()
        self._overlap, self._journal = overlap, journal
        self._twins = Duplicates()
        self._needs = mix.needs()
        self._lines: list[list[Line]] = [[] for _ in self._needs]
        self._numbers = [0] * len(self._needs)
        self._fruitless = 0
        for entry in journal.entries:
            self._replay(entry)

    def _replay(self, entry: dict[str, Any]) -> None:
        for line in entry["kept"]:
            self._twins.add(line)
        self._take(entry["need"], entry["number"], entry["kept"], [Drop(**drop) for drop in entry["dropped"]])

    def _take(self, index: int, number: int, kept: Sequence[Line], drops: Sequence[Drop]) -> None:
        need = self._needs[index]
        self._lines[index] += kept
        self._numbers[index] = number + 1
        self._fruitless = 0 if kept else self._fruitless + 1
        self.tally.batches += 1
        self.tally.kept[need.kind.name] += len(kept)
        for drop in drops:
            self.tally.dropped[drop.cause] += 1
            self.tally.drops.append(
                {"kind": need.kind.name, "batch": number, "cause": drop.cause, "excerpt": drop.excerpt}
            )

    def run(self, step: Callable[[int], None]) -> list[Line]:
        """The finished lines, shuffled with the seed. `step` is called with the number of conversations of each batch.

        Raises:
            OutOfPatience: `attempts` batches in a row delivered nothing usable.
            UsageError: the teacher cannot be used at all.
        """
        step(sum(map(len, self._lines)))
        self._fruitless = 0  # a resumed run starts counting again
        for index, need in enumerate(self._needs):
            while len(self._lines[index]) < need.count:
                if self._fruitless >= self.attempts:
                    causes = (
                        ", ".join(f"{n} x {cause}" for cause, n in self.tally.dropped.most_common(3)) or "no cause"
                    )
                    raise OutOfPatience(
                        f"{need.name}: {self.attempts} batches in a row delivered nothing usable ({causes})"
                    )
                step(self._batch(index, need))
        lines = [line for found in self._lines for line in found]
        Random(f"order/{self.seed}").shuffle(lines)
        return lines

    def _batch(self, index: int, need: Need) -> int:
        number = self._numbers[index]
        count = min(self.teacher.batch, need.count - len(self._lines[index]))
        order = Order(need.kind, need.calls, count, number, self._thinks(number), self._avoid(index))
        batch = self.teacher.write(order)
        kept: list[Line] = []
        drops = list(batch.drops)
        for draft in batch.drafts:
            if len(kept) == count:
                break  # more conversations than requested are not a fault
            line = self._line(draft)
            drop = self._fault(line, need)
            if drop is None:
                kept.append(line)
            else:
                drops.append(drop)
        entry = {"need": index, "number": number, "kept": kept}
        self._journal.append({**entry, "dropped": [{"cause": drop.cause, "excerpt": drop.excerpt} for drop in drops]})
        self._take(index, number, kept, drops)
        return len(kept)

    def _thinks(self, number: int) -> bool:
        """Whether this batch has thinking on; such batches are evenly spread."""
        return int((number + 1) * self.mix.thinking) > int(number * self.mix.thinking)

    def _avoid(self, index: int) -> list[str]:
        """First requests of some existing conversations, so that a teacher does not write them again."""
        lines = self._lines[index][-_AVOIDED:]
        return [excerpt(users(line["messages"])[0])[:60] for line in reversed(lines)]

    def _line(self, draft: Draft) -> Line:
        messages = draft.messages
        if self.profile.system_prompt:
            messages = [{"role": "system", "content": self.profile.system_prompt.strip("\n")}, *messages]
        line: Line = {"messages": messages}
        if self.profile.tools:
            line["tools"] = offered_tools(self.profile)
        thinking = draft.meta["thinking"]
        if thinking != "unset":
            line["chat_template_kwargs"] = {self.profile.serving.thinking_kwarg: thinking == "on"}
        line["meta"] = {**draft.meta, "teacher": self.teacher.name, "seed": self.seed}
        return line

    def _fault(self, line: Line, need: Need) -> Drop | None:
        """Why a conversation is dropped; None if it is kept, and then it is added to the duplicates."""
        first = excerpt(next(iter(users(line["messages"])), ""))
        limits = self.profile.limits
        wrong = problems(line, max_sentences=limits.max_sentences, max_words=limits.max_words)
        if wrong:
            return Drop(_cause(wrong[0]), excerpt(f"{wrong[0]} | {first}"))
        made = calls(line["messages"])
        if need.calls is not None and bool(made) != need.calls:
            return Drop("calls a tool" if made else "calls no tool", first)
        if need.kind.tool and any(call["function"]["name"] != need.kind.tool for call in made):
            return Drop("calls another tool", first)
        prompts = users(line["messages"])
        least, most = need.kind.turns
        if not least <= len(prompts) <= most:
            return Drop("wrong number of turns", f"{len(prompts)} | {first}")
        own = language(self.profile.system_prompt)
        for role in ("user", "assistant") if own else ():
            spoken = language(" ".join(one["content"] or "" for one in line["messages"] if one["role"] == role))
            if spoken not in {own, ""}:
                return Drop("another language", f"{spoken} | {first}")
        if near := contamination(line, self._overlap):
            field, hit = near
            return Drop("too near to a scenario", excerpt(f"{hit.scenario} ({hit.reason}) {field} | {hit.prompt}"))
        if self._twins.add(line) is not None:
            return Drop("duplicate", first)
        return None


def _cause(problem: str) -> str:
    """The category of a problem, for counting."""
    for sign, cause in (
        ("holds the tag", "tags"), ("a token of chat templates", "tags"), ("text of a hook", "hook text"),
        ("beside a tool", "speech beside a call"),
        ("sentences, at most", "too long"), ("words, at most", "too long"), ("not finished", "unfinished"),
        ("tool_calls", "bad tool call"), ("has no result", "bad tool call"), ("answers no call", "bad tool call"),
        ("role", "roles out of order"), ("is empty", "silence"), ("thought", "thinking"), ("holds", "markdown"),
    ):  # fmt: skip
        if sign in problem:
            return cause
    return "schema"


def write_atomically(path: Path, text: str) -> None:
    """Replace a file atomically."""
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    try:
        with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """Write a data file atomically."""
    write_atomically(path, "".join(dumps(line) + "\n" for line in lines))


def counter(name: str, total: int) -> Callable[[int], None]:
    """A function to report how many more of `total` are done; on a terminal it shows the sum."""
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        if sys.stderr.isatty():
            print(f"\r{name}: {done} of {total} ", end="" if done < total else "\n", file=sys.stderr, flush=True)

    return step


def _report(generation: Generation, plan: dict[str, Any]) -> dict[str, Any]:
    """The content of `OUT.report.json`."""
    tally = generation.tally
    return {
        **plan,
        "conversations": sum(tally.kept.values()),
        "batches": tally.batches,
        "kept": dict(sorted(tally.kept.items())),
        "dropped": dict(tally.dropped.most_common()),
        "drops": tally.drops,
    }


def dump_report(content: dict[str, Any]) -> str:
    """Indented JSON."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def generate(
    mix: Mix,
    profile: Profile,
    teacher: Teacher,
    out: Path,
    *,
    seed: int = 0,
    attempts: int = 20,
    against: Sequence[Path] = (),
    resume: bool = False,
) -> int:
    """Generate the conversations of `mix` with `teacher` and write `out` and a report.

    Args:
        attempts: number of batches in a row that may deliver nothing usable.
        against: scenarios that conversations must not overlap with, see `scenario_files`.
        resume: continue the journal of a run that was killed or gave up.

    Returns status 0 if the file was written, 1 if the teacher delivered too little. Raises UsageError before any
    request.
    """
    if mix.count == 0:
        raise UsageError(f"mix {mix.name}: every count is 0; give at least one kind a count")
    for kind in mix.kinds:
        if kind.tool and kind.tool not in profile.tools:
            there = f"it has {', '.join(sorted(profile.tools))}" if profile.tools else "it has none"
            raise UsageError(
                f"mix {mix.name}: kinds.{kind.name}.tool {kind.tool!r} is no tool of {mix.profile}; {there}"
            )
    if attempts < 1:
        raise UsageError(f"--attempts is {attempts}; write a number of at least 1")
    overlap = Overlap(prompts(scenario_files(against)))
    plan = {
        "mix": mix.name, "kinds": {kind.name: kind.count for kind in mix.kinds}, "profile": mix.profile,
        "thinking": mix.thinking, "teacher": teacher.name, "seed": seed,
    }  # fmt: skip
    if out.exists():
        if not resume:
            raise UsageError(f"{out} exists already; name another --out, or remove it first")
        if not Journal.path_for(out).exists():
            print(f"{out} is complete")
            return 0
    journal = Journal(out, plan, resume=resume)
    done = False
    try:
        generation = Generation(mix, profile, teacher, overlap, journal, seed=seed, attempts=attempts)
        done = _finish(generation, plan, out, mix.count)
    finally:
        journal.close(done=done)
    return 0 if done else 1


def _finish(generation: Generation, plan: dict[str, Any], out: Path, count: int) -> bool:
    """Run to the end and write the result. Returns whether the mix is complete."""
    report_path = out.with_name(out.name + ".report.json")
    lines, failure = None, ""
    try:
        lines = generation.run(counter("generate", count))
    except OutOfPatience as error:
        failure = str(error)
    content = _report(generation, plan)
    write_atomically(report_path, dump_report({"finished": lines is not None, **content}))
    if lines is not None:
        write_lines(out, lines)
    kept = ", ".join(f"{n} {kind}" for kind, n in content["kept"].items() if n)
    print(f"{content['conversations']} of {count} conversations in {content['batches']} batches: {kept or 'none'}")
    for cause, n in content["dropped"].items():
        print(f"  dropped {n:5d}  {cause}")
    if lines is None:
        print(f"generate: {failure}; see {report_path}, correct the teacher, continue with --resume", file=sys.stderr)
        return False
    print(f"wrote {out} and {report_path}")
    return True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of all commands that generate, for any teacher."""
    parser.add_argument("--count", type=int, metavar="N", help="the mix's proportions at this size")
    parser.add_argument(
        "--attempts",
        type=int,
        default=20,
        metavar="N",
        help="batches in a row without a usable conversation, before the run ends",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--against", action="append", type=Path, default=[], metavar="PATH", help=AGAINST)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--resume", action="store_true", help="continue a run that was killed or gave up")


def run(arguments: argparse.Namespace) -> int:
    """Run `annie-data generate` with the teacher of the arguments."""
    mix = load_mix(arguments.mix, arguments.count)
    profile = load(mix.profile)
    teacher = _teacher(arguments, profile)
    return generate(mix, profile, teacher, arguments.out, seed=arguments.seed, attempts=arguments.attempts,
                    against=arguments.against, resume=arguments.resume)  # fmt: skip


_OPTIONS = {"endpoint": ("base_url", "model", "api_key_env"), "command": ("command",)}


def _teacher(arguments: argparse.Namespace, profile: Profile) -> Teacher:
    for owner, names in _OPTIONS.items():
        for name in names:
            if owner != arguments.teacher and getattr(arguments, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{option} is for --teacher {owner}, not for {arguments.teacher}; leave one of them out"
                )
    if not arguments.timeout > 0:
        raise UsageError(f"--timeout is {arguments.timeout}; write seconds, more than 0")
    if arguments.teacher == "command":
        if arguments.command is None:
            raise UsageError("--teacher command needs --command, the program that writes the conversations")
        return CommandTeacher(arguments.command, profile, arguments.timeout)
    if arguments.base_url is None:
        raise UsageError("--teacher endpoint needs --base-url, such as http://localhost:8000/v1")
    endpoint = ChatEndpoint(arguments.base_url, arguments.model, arguments.api_key_env, arguments.timeout)
    return EndpointTeacher(endpoint, profile, arguments.seed)
