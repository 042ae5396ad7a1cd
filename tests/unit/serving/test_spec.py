"""Wrong options are refused in one line, before anything is started."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.errors import UsageError
from annie_eval.profile.types import Profile
from annie_eval.serving import TargetSpec, check, spec


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that takes connections."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def good(checkpoint: Path, fake_python: Path) -> TargetSpec:
    return TargetSpec(model_dir=checkpoint, vllm_python=fake_python)


def refused(target: TargetSpec, profile: Profile) -> str:
    with pytest.raises(UsageError) as caught:
        check(target, profile)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_whole_checkpoint_and_a_server_that_listens_pass(good: TargetSpec, profile: Profile, listener: int) -> None:
    check(good, profile)
    check(TargetSpec(base_url=f"http://127.0.0.1:{listener}"), profile)


def test_exactly_one_target(good: TargetSpec, profile: Profile) -> None:
    assert "both given" in refused(replace(good, base_url="http://127.0.0.1:1"), profile)
    assert "no target" in refused(TargetSpec(), profile)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("127.0.0.1:8000", "not a URL of a server"),
        ("ftp://127.0.0.1/v1", "not a URL of a server"),
        ("http:///v1", "not a URL of a server"),
        ("http://a b/v1", "not a URL of a server"),
        ("http://127.0.0.1:99999/v1", "out of range"),
        ("http://127.0.0.1:0/v1", "not a URL of a server"),
        ("http://127.0.0.1:1/ä/v1", "outside of ASCII"),
        ("http://127.0.0.1:1/\x01/v1", "outside of ASCII"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://..:1", "no server reachable at"),
        ("http://127.0.0.1:1/\udcff", "no UTF-8 text"),
        ("http://127.0.0.1:8000/v1?key=s3cret", "holds a user, a query or a fragment"),
        ("http://me:s3cret@127.0.0.1:8000/v1", "holds a user, a query or a fragment"),
        ("http://no-such-host.invalid:8000/v1", "no server reachable at no-such-host.invalid:8000"),
    ],
)
def test_a_bad_url_is_named_without_what_may_be_a_secret(url: str, expected: str, profile: Profile) -> None:
    message = refused(TargetSpec(base_url=url), profile)
    assert expected in message
    assert "s3cret" not in message


def test_an_unreachable_url(profile: Profile) -> None:
    port = spec.free_port()
    message = refused(TargetSpec(base_url=f"http://127.0.0.1:{port}/v1"), profile)
    assert message.startswith(f"--base-url http://127.0.0.1:{port}/v1: no server reachable at 127.0.0.1:{port} (")


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("http://h:1", "http://h:1/v1"),
        ("http://h:1/", "http://h:1/v1"),
        ("http://h:1/v1", "http://h:1/v1"),
        ("http://h:1/v1/", "http://h:1/v1"),
        ("https://h/llm/v1/", "https://h/llm/v1"),
        ("https://h/llm", "https://h/llm/v1"),
        ("http://h:1/v1/chat/completions", "http://h:1/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_a_base_url_is_taken_with_or_without_v1(given: str, normal: str) -> None:
    assert spec.normal_url(given) == normal


def test_a_port_in_use(good: TargetSpec, profile: Profile, listener: int) -> None:
    assert refused(replace(good, port=listener), profile).startswith(f"--port {listener}: in use by another process")
    check(replace(good, port=spec.free_port()), profile)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none(good: TargetSpec, profile: Profile, port: int) -> None:
    assert "must be between 1 and 65535" in refused(replace(good, port=port), profile)


def test_a_wait_of_no_time(good: TargetSpec, profile: Profile) -> None:
    assert "must be above 0" in refused(replace(good, startup_timeout=0), profile)


def test_the_key_s_variable_must_be_set(good: TargetSpec, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    assert refused(replace(good, api_key_env="MY_KEY"), profile).startswith("--api-key-env MY_KEY: ")
    monkeypatch.setenv("MY_KEY", "s3cret")
    check(replace(good, api_key_env="MY_KEY"), profile)


def test_an_interpreter_that_is_not_there_or_not_executable(
    good: TargetSpec, profile: Profile, tmp_path: Path
) -> None:
    assert "no such file" in refused(replace(good, vllm_python=tmp_path / "nowhere"), profile)
    (tmp_path / "file").write_text("")
    assert "not executable" in refused(replace(good, vllm_python=tmp_path / "file"), profile)


def test_without_a_server_environment_the_mend_says_how_to_get_one(
    good: TargetSpec, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec, "server_python", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "name an interpreter with --vllm-python" in refused(replace(good, vllm_python=None), profile)


def test_the_projects_server_environment_is_the_default(
    good: TargetSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("")
    monkeypatch.setattr(spec, "server_python", lambda: python)
    assert spec.interpreter(replace(good, vllm_python=None)) == python


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--api-key=s3cret", "use --api-key-env"),
        ("--trust-remote-code", "never run"),
        ("--port", "use annie-eval's --port"),
        ("--served-model-name=x", "use annie-eval's --served-model"),
        ("--model", "leave it out"),
        ("--trust_remote_code", "never run"),
        ("--trust-remote", "never run"),
        ("--trust_rem", "never run"),
        ('--mm-processor-kwargs={"trust_remote_code": true}', "never run"),
        (r'--mm-processor-kwargs={"trust\u005fremote_code": true}', "never run"),
        ("--mm-processor-kwargs.trust_remote_code=true", "never run"),
        ("--api_key=s3cret", "use --api-key-env"),
        ("--api-k=s3cret", "use --api-key-env"),
        ("--hf_token=s3cret", "leave it out"),
        ("--served_model_name=x", "use annie-eval's --served-model"),
        ("--config=more.yaml", "hides its arguments"),
        ("--load-format=pt", "pickles"),
        ("--load_format=PT", "pickles"),
        ("--load_form=npcache", "pickles"),
        ("--seed=\0", "no UTF-8 text"),
        ("--seed=\udcff", "no UTF-8 text"),
    ],
)
def test_arguments_that_are_ours_or_unsafe(argument: str, expected: str, good: TargetSpec, profile: Profile) -> None:
    message = refused(replace(good, vllm_args=(argument,)), profile)
    assert expected in message
    assert "s3cret" not in message


@pytest.mark.parametrize(
    "argument",
    [
        "--api-server-count=1",
        "--model-impl=vllm",
        "--config-format=hf",
        "--load-format=dummy",
    ],
)
def test_arguments_that_only_look_like_those_are_the_users_own(
    argument: str, good: TargetSpec, profile: Profile
) -> None:
    check(replace(good, vllm_args=(argument,)), profile)


@pytest.mark.parametrize(
    "change",
    [{"vllm_args": ("--x",)}, {"vllm_python": Path("p")}, {"image": "i"}, {"port": 1}, {"serve": "docker"}],
)
def test_what_only_a_server_of_ours_can_have_is_refused_for_a_url(
    change: dict[str, Any], profile: Profile, listener: int
) -> None:
    assert "needs --model-dir" in refused(TargetSpec(base_url=f"http://127.0.0.1:{listener}", **change), profile)


def test_docker_needs_an_image_and_the_command(
    good: TargetSpec, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = replace(good, serve="docker", vllm_python=None)
    assert "needs --image" in refused(docker, profile)
    assert "needs --serve docker" in refused(replace(good, image="vllm/vllm-openai"), profile)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert "no docker command" in refused(replace(docker, image="vllm/vllm-openai"), profile)


def test_a_container_cannot_follow_links_out_of_the_directory(
    good: TargetSpec, profile: Profile, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    docker = replace(good, serve="docker", vllm_python=None, image="vllm/vllm-openai")
    check(docker, profile)
    (checkpoint / "model.safetensors").rename(tmp_path / "blob")
    (checkpoint / "model.safetensors").symlink_to(tmp_path / "blob")
    assert "cp -rL" in refused(docker, profile)
    check(good, profile)  # a process of this machine follows it


def test_the_check_starts_nothing_and_takes_milliseconds(
    good: TargetSpec, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("subprocess.Popen.__init__", never)
    check(good, profile)


def test_a_profile_s_arguments_are_checked_as_well(good: TargetSpec, profile: Profile) -> None:
    serving = replace(profile.serving, args=("--trust-remote-code",))
    assert "never run" in refused(good, replace(profile, serving=serving))


def test_the_checkpoint_is_checked(good: TargetSpec, profile: Profile, checkpoint: Path) -> None:
    (checkpoint / "config.json").write_text(json.dumps([]))
    assert "not an object" in refused(good, profile)


@pytest.mark.parametrize("key", ["two\nlines", "with space", "schlüssel"])
def test_a_key_that_no_header_takes_is_refused_and_not_shown(
    key: str, profile: Profile, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    expected = refused(TargetSpec(base_url=f"http://127.0.0.1:{listener}", api_key_env="MY_KEY"), profile)
    assert "MY_KEY: holds white space" in expected
    assert key not in expected


@pytest.mark.parametrize("host", ["x" * 300, "a..b", "\u00e9" * 100])
def test_a_name_that_no_host_can_have_is_not_reachable(host: str, profile: Profile) -> None:
    assert "no server reachable" in refused(TargetSpec(base_url=f"http://{host}:1/v1"), profile)
