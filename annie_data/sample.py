"""`annie-data sample`: generates answers to the prompts of a data file, and keeps those that pass a check.

This makes on-policy data for distillation (QAD): answers of the BF16 model itself. Each conversation keeps its history
and its last request, and the endpoint writes the replies after it. A tool call gets the result from the data. An
answer is kept if the external check finds nothing and the conversation is valid. If an answer is refused, the prompt
is sent again with another seed, a limited number of times. A failed request does not count as an answer; if only
failures come, the run ends. Replies in the history get `weight` 0, because the model did not write them.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from annie_data.checker import Checker
from annie_data.conversation import Line, Message, read_lines
from annie_data.duplicates import Duplicates
from annie_data.endpoint import ChatEndpoint, EndpointFailure
from annie_data.expectation import expectation
from annie_data.generate import counter, dump_report, write_atomically, write_lines
from annie_data.journal import Journal
from annie_data.rules import problems
from annie_eval.errors import UsageError
from annie_eval.http_client import Client

_Answer = tuple[list[Message], list[str]] | str
_PATIENCE = 3  # limits: batches in a row with nothing but failures of the endpoint; failures of one prompt
_ROUND = 128  # conversations between two entries of the journal


def run(arguments: argparse.Namespace) -> int:
    """Run the command. Returns 0 if every prompt has its answers; 1 if some do not, which the report lists."""
    if arguments.base_url is None:
        raise UsageError("--base-url is missing; write the model's endpoint, such as http://localhost:8000/v1")
    for name in ("samples", "attempts", "max_tokens", "in_flight"):
        if getattr(arguments, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; write a number of at least 1")
    if arguments.temperature < 0 or not arguments.timeout > 0:
        raise UsageError("--temperature must be at least 0 and --timeout more than 0")
    prompts = _prompts(arguments.prompts)
    checker = Checker(arguments.check)
    endpoint = ChatEndpoint(arguments.base_url, arguments.model, arguments.api_key_env, arguments.timeout)
    out: Path = arguments.out
    if out.exists():
        if not arguments.resume:
            raise UsageError(f"{out} exists already; name another --out, or remove it first")
        if not Journal.path_for(out).exists():
            print(f"{out} is complete")
            return 0
    options = ("samples", "attempts", "temperature", "max_tokens", "seed", "check", "model")
    plan = {
        "prompts": sha256(arguments.prompts.read_bytes()).hexdigest(),
        **{name: getattr(arguments, name) for name in options},
    }
    journal = Journal(out, plan, resume=arguments.resume)
    done = False
    try:
        sampling = SamplingRun(prompts, endpoint, checker, journal, arguments)
        asyncio.run(sampling.run(counter("sample", sampling.wanted)))
        report = sampling.report(plan)
        write_atomically(out.with_name(out.name + ".report.json"), dump_report(report))
        write_lines(out, sampling.lines())
        done = True
    finally:
        journal.close(done=done)
    print(f"{report['kept']} of {sampling.wanted} answers kept of {report['asked']} asked for")
    for cause, n in report["refused"].items():
        print(f"  refused {n:5d}  {cause}")
    if report["given_up"]:
        print(f"  {len(report['given_up'])} prompts have too few; their lines are in {out.name}.report.json")
    print(f"wrote {out}")
    return 1 if report["given_up"] else 0


def _prompts(path: Path) -> dict[int, Line]:
    """The conversations of a file by line number. Raises UsageError for the first unsound one."""
    found = {}
    for one in read_lines(path):
        wrong = [one.problem] if one.line is None else problems(one.line)
        if wrong or one.line is None:
            raise UsageError(f"{path}:{one.number}: {wrong[0]}; correct or remove the line")
        found[one.number] = one.line
    return found


class SamplingRun:
    """One run: its prompts, the attempts so far, the answers kept."""

    def __init__(
        self,
        prompts: dict[int, Line],
        endpoint: ChatEndpoint,
        checker: Checker,
        journal: Journal,
        arguments: argparse.Namespace,
    ) -> None:
        self.wanted = len(prompts) * arguments.samples
        self._prompts, self._endpoint, self._checker, self._journal = prompts, endpoint, checker, journal
        self._arguments = arguments
        self._kept: dict[int, list[Line]] = {number: [] for number in prompts}
        self._tries: Counter[int] = Counter()
        self._failures: Counter[int] = Counter()
        self._refused: Counter[str] = Counter()
        self._twins = Duplicates(near=1.0)
        for entry in journal.entries:
            for attempt in entry["attempts"]:
                self._take(attempt["prompt"], attempt["line"], attempt["causes"])

    def _take(self, number: int, line: Line | None, causes: Sequence[str]) -> None:
        self._tries[number] += 1
        self._refused.update(causes)
        if line is not None and not causes:
            self._kept[number].append(line)
            self._twins.add(line)

    def lines(self) -> list[Line]:
        """The kept conversations, in the order of the prompts."""
        return [line for kept in self._kept.values() for line in kept]

    def _open(self) -> list[tuple[int, int]]:
        """(prompt, attempt) of all requests still to be made in this round."""
        wanted, attempts = self._arguments.samples, self._arguments.attempts
        found = []
        for number, kept in self._kept.items():
            if self._failures[number] >= _PATIENCE:
                continue
            left = min(wanted - len(kept), attempts * wanted - self._tries[number])
            found += [(number, self._tries[number] + extra) for extra in range(left)]
        return found

    def report(self, plan: dict[str, Any]) -> dict[str, Any]:
        """The content of `OUT.report.json`; `given_up` has the line numbers of prompts with too few answers."""
        return {
            **plan,
            "kept": sum(map(len, self._kept.values())),
            "asked": self._tries.total() + self._failures.total(),
            "refused": dict(self._refused.most_common()),
            "given_up": [number for number, kept in self._kept.items() if len(kept) < self._arguments.samples],
        }

    async def run(self, step: Callable[[int], None]) -> None:
        """Generate and check answers until no prompt is open."""
        step(sum(map(len, self._kept.values())))
        client = self._endpoint.client()
        room = asyncio.Semaphore(self._arguments.in_flight)
        broken = 0
        await self._endpoint.model(client)
        while open_now := self._open():
            for start in range(0, len(open_now), _ROUND):
                batch = open_now[start : start + _ROUND]
                answers = await asyncio.gather(*(self._answer(client, room, number, n) for number, n in batch))
                broken = broken + 1 if all(isinstance(answer, str) for answer in answers) else 0
                if broken >= _PATIENCE:
                    raise UsageError(
                        f"--base-url {self._endpoint.base_url}: {broken} batches in a row had only failures "
                        f"({answers[0]}); repair the server, continue with --resume"
                    )
                before = sum(map(len, self._kept.values()))
                self._judge(batch, answers)
                step(sum(map(len, self._kept.values())) - before)

    async def _answer(self, client: Client, room: asyncio.Semaphore, number: int, attempt: int) -> _Answer:
        """The model's replies to the last request with their finish reasons, or why there are none."""
        line = self._prompts[number]
        messages = line["messages"]
        asked = max(index for index, one in enumerate(messages) if one["role"] == "user")
        results = [one["content"] for one in messages[asked + 1 :] if one["role"] == "tool"]
        replies: list[Message] = []
        ends: list[str] = []
        history = [_sent(message) for message in messages[: asked + 1]]
        try:
            for _ in range(2):
                async with room:
                    choice = await self._endpoint.complete(
                        client, self._body(line, [*history, *map(_sent, replies)], attempt), self._arguments.timeout
                    )
                reply, made = _received(choice["message"])
                replies.append(reply)
                ends.append(str(choice.get("finish_reason")))
                if not made or not results or ends.count("tool_calls") > 1:
                    break
                for call in made:
                    content = results[min(len(replies) - 1, len(results) - 1)]
                    replies.append({"role": "tool", "tool_call_id": call["id"], "content": content})
        except EndpointFailure as error:
            return str(error)
        return replies, ends

    def _body(self, line: Line, messages: list[Message], attempt: int) -> dict[str, Any]:
        arguments = self._arguments
        body = {"messages": messages, "temperature": arguments.temperature, "max_tokens": arguments.max_tokens}
        body["seed"] = arguments.seed + attempt
        if line.get("tools"):
            body["tools"] = line["tools"]
        if "chat_template_kwargs" in line:
            body["chat_template_kwargs"] = line["chat_template_kwargs"]
        return body

    def _judge(self, batch: Sequence[tuple[int, int]], answers: Sequence[_Answer]) -> None:
        lines: dict[str, Line] = {}
        causes: dict[str, list[str]] = {}
        checks = []
        for (number, attempt), answer in zip(batch, answers, strict=True):
            name = f"{number}.{attempt}"
            if isinstance(answer, str):
                self._failures[number] += 1
                self._refused[f"endpoint: {answer}"] += 1
                continue
            replies, ends = answer
            line = self._line(number, replies)
            causes[name] = [f"conversation: {problem.partition(': ')[2][:60]}" for problem in problems(line)[:1]]
            lines[name] = line
            if not causes[name]:
                checks.append(self._check(name, number, line, ends))
        found = self._checker.judge(checks)
        outcome: list[tuple[int, Line | None, list[str]]] = []
        for number, attempt in batch:
            name = f"{number}.{attempt}"
            if name not in causes:
                continue
            why = causes[name] or sorted({f"{one['detector']}: {one['reason'][:60]}" for one in found.get(name, [])})
            kept = lines.get(name) if not why else None
            if kept is not None and self._twins.add(kept) is not None:
                why, kept = ["duplicate"], None
            outcome.append((number, kept, why))
        names = ("prompt", "line", "causes")
        self._journal.append({"attempts": [dict(zip(names, one, strict=True)) for one in outcome]})
        for one in outcome:
            self._take(*one)

    def _line(self, number: int, replies: list[Message]) -> Line:
        """The conversation with the model's replies; earlier replies get `weight` 0."""
        line = self._prompts[number]
        messages = line["messages"]
        asked = max(index for index, one in enumerate(messages) if one["role"] == "user")
        history = [{**one, "weight": 0} if one["role"] == "assistant" else one for one in messages[: asked + 1]]
        meta = {
            **(line.get("meta") or {}),
            "teacher": f"endpoint:{self._endpoint.base_url}",
            "seed": self._arguments.seed,
        }
        return {**line, "messages": [*history, *replies], "meta": meta}

    def _check(self, name: str, number: int, line: Line, ends: list[str]) -> dict[str, Any]:
        messages = self._prompts[number]["messages"]
        asked = max(index for index, one in enumerate(messages) if one["role"] == "user")
        wanted = expectation([one for one in messages[asked + 1 :] if one["role"] == "assistant"])
        wanted |= (line.get("meta") or {}).get("expect", {})
        return {
            "id": name,
            "messages": [{key: value for key, value in one.items() if key != "weight"} for one in line["messages"]],
            "thinking": _thinking(line),
            "expect": wanted,
            "finish_reasons": ends,
        }


def _thinking(line: Line) -> str:
    switch = next(iter((line.get("chat_template_kwargs") or {}).values()), None)
    return {True: "on", False: "off", None: "unset"}[switch]


def _sent(message: Message) -> Message:
    """A message as a client sends it: without reasoning and weights."""
    return {key: value for key, value in message.items() if key not in {"reasoning_content", "weight"}}


def _received(raw: dict[str, Any]) -> tuple[Message, list[dict[str, Any]]]:
    """The endpoint's message in the format of a data set, and its calls."""
    message: Message = {"role": "assistant", "content": (raw.get("content") or "").lstrip("\n")}
    thought = raw.get("reasoning") or raw.get("reasoning_content")
    if isinstance(thought, str) and thought.strip():
        message["reasoning_content"] = thought.strip("\n")
    calls = [
        {
            "id": str(call.get("id")),
            "type": "function",
            "function": {
                "name": str((call.get("function") or {}).get("name")),
                "arguments": str((call.get("function") or {}).get("arguments")),
            },
        }
        for call in raw.get("tool_calls") or []
        if isinstance(call, dict)
    ]
    if calls:
        message["tool_calls"] = calls
    return message, calls
