"""End to end: the gate as a pytest process against a server: exit status, files, output."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCENARIOS = [
    {
        "id": f"hello-{i:02}",
        "category": "hello",
        "prompt": f"Hello, this is caller {i}, how are you?",
        "stream": i % 2 == 0,
        "example": {"role": "assistant", "content": "Hello there, I am glad you asked."},
    }
    for i in range(12)
]
PROFILE = """
name = "hello"
system_prompt = "You are a voice assistant."
scenarios = "hello.jsonl"
[sampling]
max_tokens = 64
[gates.no_markdown]
detectors = ["markdown", "silence", "thinking"]
categories = ["hello"]
required = 10
[gates.wire_integrity]
detectors = ["wire"]
categories = ["*"]
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profile")
    (folder / "hello.jsonl").write_text("".join(json.dumps(s) + "\n" for s in SCENARIOS))
    (folder / "hello.toml").write_text(PROFILE)
    return folder / "hello.toml"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that answers every question alike after 50 ms."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks/fixed_server.py"), "--latency", "0.05"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.kill()
    process.wait()


def rows(run_dir: Path, query: str) -> list[Any]:
    """What a run's store says, read without making it."""
    with contextlib.closing(sqlite3.connect(f"file:{run_dir / 'run.sqlite'}?mode=ro", uri=True, timeout=10)) as store:
        return list(store.execute(query))


def gate(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def verdict(run_dir: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((run_dir / "verdict.json").read_text())
    return read


KNOWLEDGE = """
system_prompt = "You are a voice assistant."
scenarios = "hello.jsonl"
[gates.factual]
detectors = ["thinking"]
categories = ["hello"]
[gates.server_state]
probes = ["poison"]
"""


@pytest.mark.parametrize("name", ["factual", "poison"])
@pytest.mark.parametrize("mode", [["-n", "2"], ["-p", "no:xdist"]], ids=" ".join)
def test_k_finds_a_gate_whose_name_is_in_no_test(
    name: str, mode: list[str], url: str, profile: Path, tmp_path: Path
) -> None:
    """test_knowledge.py has the gate `factual`, and its samples here are called hello."""
    other = profile.with_name("knowledge.toml")
    other.write_text(KNOWLEDGE)
    done = gate("-q", *mode, "--base-url", url, "--profile", other, "-k", name, "--run-dir", tmp_path / "r")
    with sqlite3.connect(tmp_path / "r" / "run.sqlite") as store:
        (selected,) = store.execute("SELECT value FROM meta WHERE key = 'selection'").fetchone()
    chosen = json.loads(selected)
    assert (list(chosen["gates"]), chosen.get("state", [])) == (
        (["factual"], []) if name == "factual" else ([], ["poison"])
    ), done.stdout


@pytest.mark.parametrize("mode", [["-n", "2"], ["-p", "no:xdist"]], ids=" ".join)
def test_a_name_that_k_does_not_find_is_answered_with_those_that_there_are(
    mode: list[str], url: str, profile: Path, tmp_path: Path
) -> None:
    done = gate("-q", *mode, "--base-url", url, "--profile", profile, "-k", "nobody", "--run-dir", tmp_path / "r")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("-k nobody: "))
    assert line.startswith("-k nobody: no test has that name; the gates are no_markdown, wire_integrity, ttft_short, ")


@pytest.mark.parametrize("mode", [["-n", "4"], ["-n", "0"], ["-p", "no:xdist"]], ids=" ".join)
def test_clean_server_passes_however_pytest_is_run(mode: list[str], url: str, profile: Path, tmp_path: Path) -> None:
    done = gate(*mode, "--base-url", url, "--profile", profile, "--run-dir", tmp_path / "r")
    assert done.returncode == 0, done.stdout
    assert verdict(tmp_path / "r")["verdict"] == "PASS"
    with sqlite3.connect(tmp_path / "r" / "run.sqlite") as store:
        assert store.execute("SELECT COUNT(*), COUNT(DISTINCT key) FROM exchange").fetchone() == (12, 12)


def test_whole_gate_may_be_selected_and_only_its_samples_are_sent(url: str, profile: Path, tmp_path: Path) -> None:
    done = gate("-k", "no_markdown", "--base-url", url, "--profile", profile, "--run-dir", tmp_path / "r")
    assert done.returncode == 0, done.stdout
    assert [g["name"] for g in verdict(tmp_path / "r")["gates"]] == ["no_markdown"]  # type: ignore[attr-defined]


def test_part_of_a_gate_is_no_verdict(url: str, profile: Path, tmp_path: Path) -> None:
    done = gate("-k", "hello-01 and markdown", "--base-url", url, "--profile", profile, "--run-dir", tmp_path / "r")
    assert done.returncode == 1
    assert verdict(tmp_path / "r")["verdict"] == "INCONCLUSIVE"
    with sqlite3.connect(tmp_path / "r" / "run.sqlite") as store:
        assert store.execute("SELECT COUNT(*) FROM exchange").fetchone() == (1,)


def test_collect_only_starts_nothing_and_writes_nothing(profile: Path, tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        target = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        done = gate("--collect-only", "-q", "--base-url", target, "--profile", profile, "--run-dir", tmp_path / "r")
    assert done.returncode == 0, done.stdout
    assert "24/32 tests collected (8 deselected)" in done.stdout  # the eight timing gates have no known limits here
    assert not (tmp_path / "r").exists()


def test_junit_carries_the_gate_and_the_verdict(url: str, profile: Path, tmp_path: Path) -> None:
    xml = tmp_path / "out.xml"
    gate("-n", "2", "--junitxml", xml, "--base-url", url, "--profile", profile, "--run-dir", tmp_path / "r")
    properties = {p.get("name"): p.get("value") for p in ET.parse(xml).iter("property")}
    assert properties["verdict"] == "PASS"
    assert properties["gate"] in ("no_markdown", "wire_integrity")


def test_killed_run_is_resumed_and_nothing_answered_is_asked_again(profile: Path, tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks/fixed_server.py"), "--latency", "0.4"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    target = server.stdout.readline().strip()
    options = ["--base-url", target, "--profile", str(profile), "--run-dir", str(tmp_path / "r"), "--concurrency", "2"]
    try:
        first = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        answered: set[str] = set()
        while len(answered) < 4:
            time.sleep(0.05)
            with contextlib.suppress(sqlite3.OperationalError):  # not there yet
                answered = {key for (key,) in rows(tmp_path / "r", "SELECT key FROM sample")}
        first.send_signal(signal.SIGKILL)
        first.wait()
        refused = gate(*options)
        assert refused.returncode == 4
        assert "--resume" in refused.stderr
        # A base URL is the same with `/v1` and without it.
        done = gate("--base-url", target.removesuffix("/v1"), *options[2:], "--resume")
        assert done.returncode == 0, done.stdout + done.stderr
        with sqlite3.connect(tmp_path / "r" / "run.sqlite") as store:
            assert store.execute("SELECT COUNT(*), COUNT(DISTINCT key) FROM exchange").fetchone() == (12, 12)
    finally:
        server.kill()
        server.wait()


def test_api_key_is_sent_and_never_written(profile: Path, tmp_path: Path) -> None:
    """The server echoes the key in its answers, whole and split over two chunks."""
    secret = "sk-very/secret+key"
    echo = tmp_path / "echo.py"
    echo.write_text(
        "import http.server, json\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.reply({'object': 'list', 'data': [{'id': 'm', 'object': 'model'}]})\n"
        "    def do_POST(self):\n"
        "        self.rfile.read(int(self.headers['content-length']))\n"
        "        key = self.headers['authorization']\n"
        "        self.reply({'error': {'message': 'no entry for ' + key}}, 401)\n"
        "    def reply(self, value, status=200):\n"
        "        body = json.dumps(value).encode()\n"
        "        self.send_response(status)\n"
        "        self.send_header('content-length', str(len(body)))\n"
        "        self.send_header('x-echo', str(self.headers['authorization']))\n"
        "        self.end_headers()\n"
        "        self.wfile.write(body)\n"
        "    def log_message(self, *a):\n"
        "        pass\n"
        "server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)\n"
        "print(f'http://127.0.0.1:{server.server_port}/v1', flush=True)\n"
        "server.serve_forever()\n"
    )
    server = subprocess.Popen([sys.executable, str(echo)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        target = server.stdout.readline().strip()
        options = ["--base-url", target, "--profile", profile, "--run-dir", tmp_path / "r", "--api-key-env", "MY_KEY"]
        done = gate(*options, "--junitxml", tmp_path / "r.xml", env={"MY_KEY": secret})
    finally:
        server.kill()
        server.wait()
    assert done.returncode == 1
    assert verdict(tmp_path / "r")["verdict"] == "ERROR"
    assert "no entry for" in done.stdout
    written = [done.stdout.encode(), done.stderr.encode(), (tmp_path / "r.xml").read_bytes()]
    written += [path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()]
    assert not [where for where in written if secret.encode() in where]


def bad(tmp_path: Path, profile: Path, **changes: str) -> Path:
    """A copy of the profile with text replaced in the TOML (`toml_from`/`toml_to`) or a line added to the JSONL."""
    text = profile.read_text().replace(changes.get("toml_from", "\0"), changes.get("toml_to", ""))
    (tmp_path / "bad.toml").write_text(text)
    lines = profile.with_name("hello.jsonl").read_text()
    (tmp_path / "hello.jsonl").write_text(lines + changes.get("line", ""))
    return tmp_path / "bad.toml"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"toml_from": "required = 10", "toml_to": "requird = 10"}, ["bad.toml", "requird"]),
        ({"toml_from": "required = 10", "toml_to": "required = 13"}, ["bad.toml", "gates.no_markdown.required", "13"]),
        (
            {"line": '{"id": "x", "category": "hello", "prompt": "p", "tools": ["fly"]}\n'},
            ["hello.jsonl", "13", "fly"],
        ),
        ({"line": '{"id": "x", \n'}, ["hello.jsonl", "13"]),
    ],
    ids=["unknown key", "too many required", "unknown tool", "broken line"],
)
def test_bad_profile_is_one_line_and_status_4(
    changes: dict[str, str], says: list[str], profile: Path, tmp_path: Path
) -> None:
    done = gate("--base-url", "http://127.0.0.1:9/v1", "--profile", bad(tmp_path, profile, **changes))
    assert_usage(done, *says)


def assert_usage(done: subprocess.CompletedProcess[str], *says: str) -> None:
    assert done.returncode == 4, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    for word in says:
        assert word in lines[0]


def test_bad_targets_are_one_line_and_status_4(profile: Path, tmp_path: Path, url: str) -> None:
    (tmp_path / "empty").mkdir()
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}')
    (model / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (model / "tokenizer.json").write_text("{}")
    (model / "chat_template.jinja").write_text("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, says in (
            (["--model-dir", tmp_path / "nowhere"], "nowhere"),
            (["--model-dir", tmp_path / "empty"], "config.json"),
            (["--model-dir", model, "--port", port], str(port)),
            (["--base-url", "http://127.0.0.1:9/v1"], "127.0.0.1:9"),
            (["--base-url", url, "--model-dir", model], "--base-url"),
            (["--base-url", url, "--api-key-env", "NOT_SET_HERE"], "NOT_SET_HERE"),
            (["--base-url", url, "--resume"], "--run-dir"),
            (["--base-url", url, "--concurrency", "0"], "--concurrency"),
            (["--base-url", url, "--run-dir", "/proc/self/runs"], "cannot be written"),
        ):
            assert_usage(gate("--profile", profile, *arguments), says)


def test_profile_of_the_readme_is_judged_as_it_stands(tmp_path: Path) -> None:
    """examples/concierge, against a server that plays its own good examples."""
    concierge = ROOT / "examples" / "concierge" / "concierge.toml"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.fault_server", "--port", "0", "--profile", str(concierge)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        target = server.stdout.readline().strip()
        done = gate("--base-url", target, "--profile", concierge, "--run-dir", tmp_path / "r")
    finally:
        server.kill()
        server.wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdict(tmp_path / "r")["verdict"] == "PASS"


def test_gate_runs_in_a_directory_of_the_users_own(url: str, profile: Path, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["annie_eval.plugin"]\n')
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--base-url", url),
            *("--profile", str(profile), "--run-dir", str(tmp_path / "r")),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdict(tmp_path / "r")["verdict"] == "PASS"


def test_fixtures_serve_the_users_own_tests(url: str, profile: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "conftest.py").write_text('pytest_plugins = ["annie_eval.plugin"]\n')
    (mine / "test_mine.py").write_text(
        "def test_ask(ask, endpoint):\n"
        "    answer = ask('May I?', tools=[])\n"
        "    assert not answer.findings\n"
        "    assert answer.sample.exchanges[0].answer.content == 'Hello there, I am glad you asked.'\n"
        "    assert ask('May I?', tools=[]) == ask('May I?', tools=[])\n"
        "    assert endpoint.served_model == 'fixed'\n"
        "    assert endpoint.client.models.list().data[0].id == 'fixed'\n"
    )
    for mode in (["-n", "2"], ["-n", "0"]):
        run_dir = tmp_path / f"r{mode[1]}"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *mode, "."),
                *("--base-url", url, "--profile", str(profile), "--run-dir", str(run_dir)),
            ],
            cwd=mine,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "1 passed" in done.stdout, done.stdout + done.stderr
        with sqlite3.connect(run_dir / "run.sqlite") as store:
            assert store.execute("SELECT COUNT(*) FROM exchange").fetchone() == (1,)
            assert store.execute("SELECT value FROM meta WHERE key = 'state'").fetchone() == ('"finished"',)


@pytest.mark.parametrize("mode", [["-n", "2"], ["-n", "0"]], ids=" ".join)
def test_own_test_that_fails_is_not_under_a_passing_verdict(
    mode: list[str], url: str, profile: Path, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / "tests").mkdir()
    own = tmp_path / "tests" / "test_house.py"
    own.write_text("def test_rules(endpoint):\n    assert endpoint.served_model == 'another'\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *mode, "--base-url", url]
    done = subprocess.run(
        [*command, "--profile", str(profile)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stdout
    assert "gates: PASS (all 2 gates hold)" in done.stdout
    assert "own tests: FAIL (1 failed: tests/test_house.py::test_rules)" in done.stdout
    assert "verdict: FAIL (the gates hold, but own tests failed)" in done.stdout
    assert "verdict: PASS" not in done.stdout


@pytest.mark.parametrize(
    ("names", "more", "status", "counted"),
    [
        ('"hello"', [], 1, "own tests: FAIL (1 failed: tests/test_house.py::test_rules)"),
        ('"other", "hello"', ["-n", "2"], 1, "own tests: FAIL (1 failed: tests/test_house.py::test_rules)"),
        ('"other"', ["-rs"], 0, "only for profile other, this is hello"),
        ('"other"', ["-n", "2"], 0, "1 skipped"),
        ('"hello"', ["--deselect", "tests"], 0, "verdict: PASS"),
    ],
)
def test_own_tests_can_be_bound_to_a_profile_or_left_out(
    names: str, more: list[str], status: int, counted: str, url: str, profile: Path, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.annie-eval]\nprofile = "annie"\n')  # without pytest's table
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_house.py").write_text(
        f"import pytest\npytestmark = pytest.mark.annie_profile({names})\n"
        "def test_rules(endpoint):\n    assert endpoint.served_model == 'another'\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", *more]
    alone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert "annie_profile" not in alone.stdout  # also without a target, the mark is known
    done = subprocess.run(
        [*command, "--base-url", url, "--profile", str(profile)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stdout
    assert counted in done.stdout
