"""A teacher with all known kinds of failures, in turn, as a command and as an endpoint.

As a command: `python flaky_teacher.py STATE [prompt-file]`; the prompt comes from the file or from standard input.
STATE is a file that counts the calls; the n-th call fails in the n-th way.
"""

# ruff: noqa: SIM905 - lists of words as words

import fcntl
import json
import re
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

NAMES = (
    "Anna Ben Clara Daniel Emma Farah George Hannah Ivan Julia Karim Lena Maria Nora Oscar Paul Rosa Sam Uma".split()
)
THINGS = (
    "kite lantern anchor barrel compass diary easel flute globe hammock inkwell jigsaw kettle ladle mirror".split()
)
PLACES = "attic barn cabin dungeon engine-room foyer gallery hayloft igloo jetty kiosk lobby mill nook orchard".split()
FAULTS = (
    "empty", "description", "plan", "hook text only", "truncated", "hang", "duplicates", "markdown", "status", "array",
    "hooks between", "tags", "bad call", "good", "endless", "odd types", "german", "good", "too many", "blank lines",
    "binary", "good",
)  # fmt: skip


ODD = """{"messages": [{"role": "user", "content": "half \\ud800"}, {"role": "assistant", "content": "\\udfff."}]}
{"messages": [{"role": ["user"], "content": "x"}]}
{"messages": [{"role": "assistant", "content": "x", "tool_calls": 7}]}
{"messages": [null]}
1e999
"""


def conversation(prompt: str, rng: Random) -> dict[str, Any]:
    """A valid conversation of the kind that the prompt requests."""
    name, thing, place = rng.choice(NAMES), rng.choice(THINGS), rng.choice(PLACES)
    thinks = '"reasoning_content"' in prompt
    number = rng.randrange(10_000)

    def say(text: str) -> dict[str, Any]:
        return {
            "role": "assistant",
            "content": text,
            **({"reasoning_content": f"About the {thing}."} if thinks else {}),
        }

    def ask(text: str) -> dict[str, Any]:
        return {"role": "user", "content": text}

    turns = int(match[1]) if (match := re.search(r"(\d+) to \d+ user turns", prompt)) else 1
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        messages.append(ask(f"Number {number + turn}: {name} saw a {thing} by the {place}, {rng.choice(NAMES)} too?"))
        tool = re.search(r"Tool (\w+):", prompt)
        if tool and turn == 0:
            given = {"minutes": number % 60 + 1} if tool[1] == "set_timer" else {"query": f"{name} {thing} {place}"}
            call = {"id": "x", "type": "function", "function": {"name": tool[1], "arguments": json.dumps(given)}}
            messages.append({**say(""), "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": "x", "content": f"The {thing} of {name}: {number}."})
        messages.append(say(f"Yes, {name} saw the {thing} near the {place}, number {number + turn}."))
    return {"messages": messages}


def reply(prompt: str, number: int, sleep: float = 60.0) -> str | None:
    """The answer of the n-th call; None if it ends with status 3."""
    fault = FAULTS[number % len(FAULTS)]
    count = int(match[1]) if (match := re.search(r"Write (\d+) conversations", prompt)) else 1
    rng = Random(number)
    lines = [conversation(prompt, rng) for _ in range(count)]
    good = "".join(json.dumps(line) + "\n" for line in lines)
    if fault == "empty":
        return ""
    if fault == "description":
        return "The file holds ten friendly conversations, all of them in the wanted form. They cover many topics."
    if fault == "plan":
        return "I'll start by planning the data.\n1. Decide on names.\n2. Write the file.\nWould you like me to go on?"
    if fault == "hook text only":
        return "SessionStart hook completed: loaded 3 files\nStop hook feedback: please commit your work\n"
    if fault == "truncated":
        return good[: len(good) * 2 // 3]
    if fault == "hang":
        time.sleep(sleep)
        return good
    if fault == "duplicates":
        return "".join(json.dumps(conversation(prompt, Random(7))) + "\n" for _ in range(count))
    if fault == "markdown":
        for line in lines:
            line["messages"][-1]["content"] = f"**Yes**, {line['messages'][-1]['content']}"
        return "".join(json.dumps(line) + "\n" for line in lines)
    if fault == "status":
        return None
    if fault == "array":
        return "```json\n" + json.dumps(lines, indent=2) + "\n```"
    if fault == "hooks between":
        return "UserPromptSubmit hook success\n" + good.replace("\n", "\n[hook] PostToolUse ran\n", 1)
    if fault == "tags":
        for line in lines:
            line["messages"][-1]["content"] = f"<think>hm</think>{line['messages'][-1]['content']}"
        return "".join(json.dumps(line) + "\n" for line in lines)
    if fault == "bad call":
        return good.replace('\\"query\\"', '\\"wrong\\"').replace("search", "seek") if "Tool" in prompt else "{}\n" * 3
    if fault == "odd types":
        return ODD + good[: good.index("\n") + 1]
    if fault == "german":
        for line in lines:
            line["messages"][-1]["content"] = f"Das liegt auf dem Regal in der Stube, Nummer {rng.randrange(9999)}."
        return "".join(json.dumps(line) + "\n" for line in lines)
    if fault == "too many":
        return good + "".join(json.dumps(conversation(prompt, rng)) + "\n" for _ in range(200))
    if fault == "blank lines":
        return "\n\n" + good.replace("\n", "\n\n") + "\n"
    if fault == "binary":
        return "\x00\x01\ufffd{{{{" + good[:40]
    return good


def next_number(state: Path) -> int:
    """Count the calls across processes."""
    with state.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        number = len(file.read())
        file.write("x")
    return number


class Endpoint(ThreadingHTTPServer):
    """The same teacher as an endpoint /v1/chat/completions; some calls fail in transport instead."""

    daemon_threads = True

    def __init__(self, sleep: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.number, self.sleep, self.prompts = 0, sleep, []

    prompts: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def log_message(self, format: str, *args: Any) -> None:
        """Do not log requests."""

    def do_GET(self) -> None:
        self._send(
            200, {"object": "list", "data": [{"id": "flaky", "object": "model", "created": 0, "owned_by": "x"}]}
        )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        self.server.prompts.append(prompt)
        number, self.server.number = self.server.number, self.server.number + 1
        try:
            if FAULTS[number % len(FAULTS)] == "endless":
                self._endless()
                return
            text = reply(prompt, number, self.server.sleep)
            if text is None:
                self._send(500, {"error": {"message": "out of memory"}})
            elif number % len(FAULTS) == len(FAULTS) - 2:
                self._raw(b"<html>502 Bad Gateway</html>")
            else:
                message = {"role": "assistant", "content": text}
                self._send(200, {"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]})
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _endless(self) -> None:
        """Send white space before the JSON without end."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        while True:
            self.wfile.write(b" " * 1_000_000)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._raw(json.dumps(body).encode(), status)

    def _raw(self, raw: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def main() -> int:
    prompt = Path(sys.argv[2]).read_text() if len(sys.argv) > 2 else sys.stdin.read()
    number = next_number(Path(sys.argv[1]))
    with Path(sys.argv[1] + ".log").open("a") as log:
        log.write(json.dumps({"cwd": str(Path.cwd()), "prompt": len(prompt)}) + "\n")
    if FAULTS[number % len(FAULTS)] == "hang":
        # A grandchild that keeps the output open survives its parent, unless the process group is killed.
        subprocess.Popen(["sleep", "61"])
    while FAULTS[number % len(FAULTS)] == "endless":
        sys.stdout.write("and so on " * 10_000)
    text = reply(prompt, number)
    if text is None:
        print("Error: rate limit reached", file=sys.stderr)
        return 3
    sys.stdout.buffer.write(text.encode() + b"\xff\xfe" * text.startswith("\x00"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
