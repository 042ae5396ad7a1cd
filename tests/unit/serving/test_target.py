"""Waiting for a server: its process is alive, its unique name is listed, it has answered; causes of failures."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from annie_eval.errors import TargetError
from annie_eval.profile.types import Profile, Serving
from annie_eval.serving import Target, TargetSpec, open_target, spec
from tests.unit.serving.conftest import SERVERS, write_safetensors

Pids = Callable[[], list[int]]
Living = Callable[[list[int]], list[int]]
Recorded = Callable[[], dict[str, Any]]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def good(checkpoint: Path, fake_python: Path) -> TargetSpec:
    return TargetSpec(model_dir=checkpoint, vllm_python=fake_python, startup_timeout=20)


@pytest.fixture
def opened(profile: Profile, run_dir: Path) -> Iterator[Callable[..., Target]]:
    targets = []

    def start(target: TargetSpec, **more: Any) -> Target:
        targets.append(open_target(target, more.pop("profile", profile), run_dir, lambda line: None, **more))
        return targets[-1]

    yield start
    for target in targets:
        target.close()


def behave(monkeypatch: pytest.MonkeyPatch, *words: str, log: Path | None = None) -> None:
    monkeypatch.setenv("FAKE_VLLM", ",".join(words))
    if log is not None:
        monkeypatch.setenv("FAKE_LOG", str(log))


def quantise(checkpoint: Path) -> None:
    """Make it a W4A4 checkpoint by name."""
    scales = ("weight", "weight_scale", "weight_scale_2", "input_scale")
    write_safetensors(
        checkpoint / "model.safetensors", {f"model.layers.0.mlp.up_proj.{s}": ([4], "BF16") for s in scales}
    )
    (checkpoint / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "NVFP4"}}')


def failure(opened: Callable[..., Target], target: TargetSpec, **more: Any) -> str:
    with pytest.raises(TargetError) as caught:
        opened(target, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def test_a_started_server_answers_under_a_name_of_its_own(
    good: TargetSpec, opened: Callable[..., Target], recorded: Recorded
) -> None:
    target = opened(good)
    assert (target.kind, target.version) == ("vllm", "0.32.0")
    assert target.served_model.startswith("model-")
    assert target.alive() is None
    arguments = recorded()["argv"]
    assert arguments[arguments.index("--served-model-name") + 1] == target.served_model
    assert arguments[arguments.index("--tool-call-parser") + 1] == "hermes"
    assert target.base_url == f"http://127.0.0.1:{arguments[arguments.index('--port') + 1]}/v1"
    assert recorded()["environment"] == {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_API_KEY": None,
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }


def test_two_starts_never_share_a_name(good: TargetSpec, opened: Callable[..., Target]) -> None:
    first, second = opened(good), opened(good)
    assert first.served_model != second.served_model
    assert opened(replace(good, served_model="annie")).served_model == "annie"


def test_the_fingerprint_is_the_same_in_every_run(good: TargetSpec, opened: Callable[..., Target]) -> None:
    first, second = opened(good).fingerprint(), opened(good).fingerprint()
    assert first == second
    assert json.loads(json.dumps(first)) == first
    assert first["server_version"] == "0.32.0"
    assert first["arguments"][:3] == ["--generation-config", "vllm", "--enable-prompt-tokens-details"]
    assert len(first["weights"]) == 64


def test_closing_leaves_nothing(
    good: TargetSpec,
    opened: Callable[..., Target],
    pids: Pids,
    living: Living,
    state_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    behave(monkeypatch, "orphans")
    target = opened(good)
    assert len(living(pids())) == 3
    assert len(list(state_home.glob("*.json"))) == 1
    target.close()
    target.close()
    assert living(pids()) == []
    assert list(state_home.iterdir()) == []
    assert target.alive() is not None


def test_death_while_starting_has_a_cause_and_a_mend(
    good: TargetSpec,
    opened: Callable[..., Target],
    pids: Pids,
    living: Living,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "log").write_text("Traceback (most recent call last):\nKeyError: 'invalid tool call parser: hermess'")
    behave(monkeypatch, "die", "orphans", log=tmp_path / "log")
    message = failure(opened, good)
    assert message.startswith("the server exited with status 1: this vLLM has no tool call parser")
    assert "fix serving.tool_parser in the profile" in message
    assert message.endswith("server.log)")
    assert living(pids()) == []


def test_a_kill_while_starting_is_taken_for_the_systems(
    good: TargetSpec, opened: Callable[..., Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(monkeypatch, "killed")
    assert "was killed by SIGKILL: something killed it, most likely the system" in failure(opened, good)


def test_death_later_is_told_by_alive(
    good: TargetSpec, opened: Callable[..., Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(monkeypatch, "die-later")
    target = opened(good)
    assert target.alive() is None
    end = time.monotonic() + 5
    while target.alive() is None and time.monotonic() < end:
        time.sleep(0.02)
    cause = target.alive()
    assert cause is not None
    assert cause.startswith("the server exited with status 3: ")


def test_a_server_that_never_gets_ready_is_given_up_and_stopped(
    good: TargetSpec, opened: Callable[..., Target], pids: Pids, living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(monkeypatch, "hang")
    message = failure(opened, replace(good, startup_timeout=1.0))
    assert message.startswith("the server was not ready within 1 s; last it wrote: Resolved architecture: Llama")
    assert "--startup-timeout" in message
    assert living(pids()) == []


def test_waiting_can_be_cancelled(
    good: TargetSpec, opened: Callable[..., Target], pids: Pids, living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(monkeypatch, "hang")
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    began = time.monotonic()
    assert failure(opened, good, cancel=cancel) == "stopped while the server was starting"
    assert time.monotonic() - began < 5
    assert living(pids()) == []


def test_a_first_answer_that_fails_has_a_cause(
    good: TargetSpec, opened: Callable[..., Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").write_text("Unexpected end of template. Jinja was looking for 'endfor'.")
    behave(monkeypatch, "refuse", log=tmp_path / "log")
    message = failure(opened, good)
    assert message.startswith("the server started, but its first answer failed: HTTP 400: ")
    assert "the chat template fails" in message


def test_an_answer_without_a_choice_is_none(
    good: TargetSpec, opened: Callable[..., Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(monkeypatch, "empty")
    assert """its first answer failed: no choice in '{"choices": []}'""" in failure(opened, good)


@pytest.fixture
def stranger() -> Iterator[int]:
    """Another server, that answers every question with 200 and lists a model of its own; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = json.dumps({"data": [{"id": "somebody-elses"}]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_another_servers_200_is_never_believed(
    good: TargetSpec, opened: Callable[..., Target], stranger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stand-in dies of the port in use, as vLLM does.
    message = failure(opened, replace(good, port=stranger))
    assert "the port is in use by another process" in message
    behave(monkeypatch, "hang")  # and should it not even notice
    message = failure(opened, replace(good, port=stranger, startup_timeout=1.0))
    assert "another server answers on this port, with somebody-elses" in message


def test_a_port_is_taken_as_given(good: TargetSpec, opened: Callable[..., Target]) -> None:
    port = spec.free_port()
    assert opened(replace(good, port=port)).base_url == f"http://127.0.0.1:{port}/v1"


def test_progress_is_shown(good: TargetSpec, profile: Profile, run_dir: Path) -> None:
    lines: list[str] = []
    open_target(good, profile, run_dir, lines.append).close()
    assert lines[0].startswith("server: ")


def test_the_key_is_in_the_environment_and_the_header_and_nowhere_else(
    good: TargetSpec,
    opened: Callable[..., Target],
    run_dir: Path,
    recorded: Recorded,
    state_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret-k3y")
    target = opened(replace(good, api_key_env="MY_KEY"))  # the stand-in wants the key for an answer
    assert recorded()["environment"]["VLLM_API_KEY"] == "s3cret-k3y"
    assert "s3cret" not in json.dumps([recorded()["argv"], target.fingerprint(), target.capabilities()])
    for file in [*run_dir.rglob("*"), *state_home.rglob("*")]:
        assert b"s3cret" not in file.read_bytes()


def test_what_cannot_be_checked_is_said(
    good: TargetSpec, opened: Callable[..., Target], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(opened(good).capabilities()) == {"derender"}
    assert opened(replace(good, vllm_args=("--enable-scale-out",))).capabilities() == {}
    (checkpoint / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "NVFP4"}}')
    assert "compared layer by layer" in opened(good).capabilities()["weights_track"]
    quantise(checkpoint)
    assert "weights_track" not in opened(good).capabilities()
    behave(monkeypatch, "no-track")
    assert "vLLM 0.32.0 cannot check" in opened(good).capabilities()["weights_track"]


def test_the_first_answer_is_asked_for_as_the_samples_will_be(
    good: TargetSpec, opened: Callable[..., Target], profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    from annie_eval.http_client import Client

    sent: list[Any] = []
    post = Client.post

    async def spy(self: Client, path: str, body: Any) -> Any:
        sent.append(body)
        return await post(self, path, body)

    monkeypatch.setattr(Client, "post", spy)
    opened(good)
    opened(good, profile=replace(profile, serving=Serving()))
    with_tools, without = sent
    assert with_tools["messages"][0] == {"role": "system", "content": "You are Annie."}
    assert [tool["function"]["name"] for tool in with_tools["tools"]] == ["search_memory"]
    assert "tools" not in without
    assert with_tools["max_tokens"] <= 8


# Docker, with a stand-in for its command.


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in's directory; see fake_docker.py."""
    root = tmp_path / "docker"
    root.mkdir()
    command = tmp_path / "bin" / "docker"
    command.parent.mkdir()
    script = SERVERS / "fake_docker.py"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_DOCKER", str(root))
    return root


def calls(docker: Path) -> list[list[str]]:
    return [json.loads(line) for line in (docker / "calls").read_text().splitlines()]


@pytest.fixture
def in_docker(checkpoint: Path) -> TargetSpec:
    return TargetSpec(model_dir=checkpoint, serve="docker", image="vllm/vllm-openai:v0.32.0", startup_timeout=20)


def test_a_container_is_started_asked_and_removed(
    in_docker: TargetSpec, opened: Callable[..., Target], docker: Path, pids: Pids, living: Living
) -> None:
    target = opened(in_docker)
    (started,) = calls(docker)
    assert started[0] == "run"
    name = started[started.index("--name") + 1]
    assert target.alive() is None
    assert target.fingerprint()["image"] == "vllm/vllm-openai:v0.32.0"
    assert len(living(pids())) == 1
    target.close()
    assert living(pids()) == []
    assert [call for call in calls(docker) if call[0] != "run"] == [["stop", "-t", "5", name], ["rm", "-f", name]]


def test_a_container_whose_watchers_were_killed_is_removed_at_the_next_start(
    in_docker: TargetSpec, opened: Callable[..., Target], docker: Path, pids: Pids, living: Living
) -> None:
    target = opened(in_docker)
    assert target._server is not None
    watchers = [target._server._supervisor.pid, target._server.pid]  # the latter is the docker client
    for pid in watchers:
        os.kill(pid, signal.SIGKILL)
    while living(watchers):
        time.sleep(0.01)
    assert len(living(pids())) == 1
    opened(in_docker)
    assert len(living(pids())) == 1  # the new one
    assert sum(call[0] == "run" for call in calls(docker)) == 2


def test_for_an_image_it_is_not_known_whether_it_tracks_weights(
    in_docker: TargetSpec, opened: Callable[..., Target], docker: Path, checkpoint: Path
) -> None:
    quantise(checkpoint)
    target = opened(in_docker)
    assert "--model-loader-extra-config" in target.capabilities()["weights_track"]
    assert "--model-loader-extra-config" not in calls(docker)[0]


def test_the_port_is_only_bound_while_it_is_looked_for() -> None:
    with socket.socket() as probe:
        port = spec.free_port()
        probe.bind(("127.0.0.1", port))
        assert probe.getsockname()[1] == port
