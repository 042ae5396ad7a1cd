"""End to end: `annie-data sample` keeps only answers in which the gate's detectors find nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHECK = f"{Path(sys.executable).parent / 'annie-eval'} check --profile annie-smol"


class Model(ThreadingHTTPServer):
    """Answers like the data it is given, after a first answer that has the fault of its prompt."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, lines: list[dict[str, Any]], delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.delay, self.seen = delay, Counter[str]()
        self.bodies: list[dict[str, Any]] = []
        self.replies: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            messages = line["messages"]
            asked = max(i for i, one in enumerate(messages) if one["role"] == "user")
            self.replies[messages[asked]["content"]] = [m for m in messages[asked:] if m["role"] == "assistant"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


FAULTS = ("none", "markdown", "leak", "other tool", "other query", "status", "length", "silence", "not json")


class _Handler(BaseHTTPRequestHandler):
    server: Model

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        time.sleep(self.server.delay)
        asked = max(i for i, one in enumerate(body["messages"]) if one["role"] == "user")
        prompt = body["messages"][asked]["content"]
        answered = body["messages"][-1]["role"] == "tool"
        good = self.server.replies[prompt][-1 if answered else 0]
        message = {key: value for key, value in good.items() if key in {"role", "content", "tool_calls"}}
        if "reasoning_content" in good:
            message["reasoning"] = good["reasoning_content"]
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        number = list(self.server.replies).index(prompt)
        fault = FAULTS[number % len(FAULTS)] if self.server.seen[prompt] == 0 else "none"
        if not answered:
            self.server.seen[prompt] += 1
        if fault == "status":
            return self._send(b'{"error": {"message": "busy"}}', 503)
        if fault == "not json":
            return self._send(b"<html>", 200)
        if fault == "markdown":
            message = {"role": "assistant", "content": "- **one**\n- **two**"}
        if fault == "leak":
            message = {"role": "assistant", "content": "Okay, the user wants help.</think>Hello."}
        if fault == "other tool":
            call = {"id": "z", "type": "function", "function": {"name": "seek", "arguments": "{}"}}
            message, finish = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        if fault == "other query":
            call = {"id": "z", "type": "function"}
            call["function"] = {"name": "web_search", "arguments": '{"query": "zebra crossing"}'}  # type: ignore[assignment]
            message, finish = {"role": "assistant", "content": "", "tool_calls": [call]}, "tool_calls"
        if fault == "length":
            finish = "length"
        if fault == "silence":
            message, finish = {"role": "assistant", "content": None}, "stop"
        choice = {"index": 0, "finish_reason": finish, "message": message}
        return self._send(json.dumps({"id": "1", "choices": [choice]}).encode(), 200)

    def _send(self, raw: bytes, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def prompts(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Ninety conversations of all kinds, each asked once."""
    lines: dict[str, dict[str, Any]] = {}
    for text in (ROOT / "data" / "annie-smol-4300.jsonl").read_text().splitlines():
        line = json.loads(text)
        lines.setdefault([one["content"] for one in line["messages"] if one["role"] == "user"][-1], line)
    chosen = list(lines.values())[:90]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in chosen))
    return path, chosen


@pytest.fixture
def model(prompts: tuple[Path, list[dict[str, Any]]]) -> Iterator[Model]:
    server = Model(prompts[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def _words(prompts: Path, model: Model, out: Path, *more: str) -> list[str]:
    given = ["--base-url", model.url, "--model", "m", "--prompts", str(prompts), "--check", CHECK, "--out", str(out)]
    return [sys.executable, "-m", "annie_data", "sample", *given, *more]


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=180, check=False)


def test_only_answers_without_findings_are_kept(
    tmp_path: Path, prompts: tuple[Path, list[dict[str, Any]]], model: Model
) -> None:
    path, given = prompts
    out = tmp_path / "policy.jsonl"
    ended = _run(_words(path, model, out))
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == len(given)
    for line, prompt in zip(lines, given, strict=True):
        assert line["meta"]["teacher"].startswith("endpoint:")
        asked = max(i for i, one in enumerate(line["messages"]) if one["role"] == "user")
        assert [one["content"] for one in line["messages"]] == [one["content"] for one in prompt["messages"]]
        assert all(one["weight"] == 0 for one in line["messages"][:asked] if one["role"] == "assistant")
        assert not any("weight" in one for one in line["messages"][asked:])
    report = json.loads((tmp_path / "policy.jsonl.report.json").read_text())
    refused = " ".join(report["refused"])
    for cause in ("list in speech", "tag", "not offered", "no call", "endpoint", "is empty", "max_tokens"):
        assert cause in refused, (cause, report["refused"])
    faulty = sum(1 for number in range(len(given)) if number % len(FAULTS))
    assert report["asked"] == len(given) + faulty, report["refused"]
    sent = model.bodies[0]
    assert (sent["temperature"], sent["max_tokens"], sent["tools"][0]["type"]) == (1.0, 96, "function")
    assert not any("reasoning_content" in one or "weight" in one for body in model.bodies for one in body["messages"])
    judged = _run([sys.executable, "-m", "annie_data", "validate", str(out)])
    assert "0 problems" in judged.stdout, judged.stdout


def test_a_model_that_never_behaves_gives_up_and_says_which(
    tmp_path: Path, prompts: tuple[Path, list[dict[str, Any]]], model: Model
) -> None:
    path, given = prompts
    for number, prompt in enumerate(model.replies):
        if number % 9 == 0:
            model.replies[prompt] = [{"role": "assistant", "content": "# Heading\n* item"}]
    out = tmp_path / "policy.jsonl"
    ended = _run(_words(path, model, out, "--attempts", "3"))
    assert ended.returncode == 1
    report = json.loads((tmp_path / "policy.jsonl.report.json").read_text())
    assert report["given_up"] == [number + 1 for number in range(len(given)) if number % 9 == 0]
    assert len(out.read_text().splitlines()) == len(given) - len(report["given_up"])


def test_a_killed_sampling_goes_on(tmp_path: Path, prompts: tuple[Path, list[dict[str, Any]]], model: Model) -> None:
    path, given = prompts
    model.delay = 0.05
    out = tmp_path / "policy.jsonl"
    words = _words(path, model, out, "--in-flight", "4", "--samples", "2", "--temperature", "0.7")
    process = subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL)
    journal = tmp_path / ".policy.jsonl.journal"
    deadline = time.monotonic() + 90
    while not journal.exists() or journal.read_bytes().count(b"\n") < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    before = len(model.bodies)
    model.delay = 0.0
    ended = _run([*words, "--resume"])
    # The second answer to each prompt is a copy of the first, so that no prompt gets two.
    assert ended.returncode == 1, ended.stderr
    assert len(out.read_text().splitlines()) == len(given)
    assert len(model.bodies) > before
    assert not journal.exists()


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ("nonesuch-9", "there is no program"),
        ("false --x", "wrote nothing about sample"),
        ("sh -c 'exit 7'", "ended with status 7"),
        ("echo hello", "not a line with id and findings"),
        ("'", "cannot be split"),
    ],
)
def test_a_check_that_does_not_work_is_no_verdict(
    tmp_path: Path, prompts: tuple[Path, list[dict[str, Any]]], model: Model, check: str, told: str
) -> None:
    words = _words(prompts[0], model, tmp_path / "policy.jsonl")
    words[words.index("--check") + 1] = check
    ended = _run(words)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "policy.jsonl").exists()


def test_nothing_at_the_url_is_told_at_once(tmp_path: Path, prompts: tuple[Path, list[dict[str, Any]]]) -> None:
    words = ["--base-url", "http://127.0.0.1:9/v1", "--prompts", str(prompts[0]), "--check", CHECK]
    ended = _run([sys.executable, "-m", "annie_data", "sample", *words, "--out", str(tmp_path / "x.jsonl")])
    assert ended.returncode == 2
    assert "cannot be reached" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_server_that_dies_ends_the_run_which_can_go_on(
    tmp_path: Path, prompts: tuple[Path, list[dict[str, Any]]], model: Model
) -> None:
    path, given = prompts
    out = tmp_path / "policy.jsonl"
    dead = ["--base-url", "http://127.0.0.1:9/v1"]
    words = _words(path, model, out)
    place = words.index("--base-url")
    ended = _run([*words[:place], *dead, *words[place + 2 :]])
    assert ended.returncode == 2
    assert "had only failures" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not out.exists()
    assert (tmp_path / ".policy.jsonl.journal").exists()
    assert _run([*words, "--resume"]).returncode == 0
    assert len(out.read_text().splitlines()) == len(given)


@pytest.mark.parametrize("breaks", ["kill -SEGV $$", "head -c 100; exit 0"])
def test_a_check_that_breaks_in_the_middle_is_one_line_and_the_run_goes_on(
    tmp_path: Path, prompts: tuple[Path, list[dict[str, Any]]], model: Model, breaks: str
) -> None:
    """What was judged before it broke stays judged; what was not is asked again."""
    path, given = prompts
    script = tmp_path / "check.sh"
    script.write_text(
        f"echo x >> {tmp_path}/calls\nif [ $(wc -l < {tmp_path}/calls) = 2 ]; then {breaks}; exit; fi\n{CHECK}\n"
    )
    out = tmp_path / "policy.jsonl"
    words = _words(path, model, out)
    words[words.index("--check") + 1] = f"sh {script}"
    ended = _run(words)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "--check: sh" in ended.stderr
    assert not out.exists()
    assert (tmp_path / ".policy.jsonl.journal").read_text().count("\n") == 2, "the plan, and what was judged"
    before = len(model.bodies)
    ended = _run([*words, "--resume"])
    assert ended.returncode == 0, ended.stderr
    assert len(out.read_text().splitlines()) == len(given)
    assert len(model.bodies) - before < before, "what was kept is not asked for again"
