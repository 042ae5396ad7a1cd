"""A server given by URL is identified by what it reports, without guessing; missing features are named."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from annie_eval.errors import TargetError, UsageError
from annie_eval.profile.types import Profile
from annie_eval.serving import TargetSpec, open_target, remote

Answers = Mapping[str, tuple[int, object]]
Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that answers GET from a table and everything else with 404; its base URL."""
    servers = []

    def start(answers: Answers, *, key: str | None = None, delay: float = 0.0, together: int = 1) -> str:
        everyone = threading.Barrier(together, timeout=10)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                time.sleep(delay)
                everyone.wait()
                status, body = answers.get(self.path, (404, {"detail": "Not Found"}))
                if key is not None and self.headers["authorization"] != f"Bearer {key}":
                    status, body = 401, {"error": f"wrong key {self.headers['authorization']}"}
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                with suppress(BrokenPipeError):
                    self.send_response(status)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def models(*names: str, owner: str = "me", **more: object) -> tuple[int, object]:
    return 200, {"object": "list", "data": [{"id": n, "object": "model", "owned_by": owner, **more} for n in names]}


VLLM: Answers = {
    "/v1/models": models("annie", owner="vllm", root="/models/annie", max_model_len=4096),
    "/version": (200, {"version": "0.32.0"}),
    "/metrics": (200, "# HELP vllm:num_requests_running\nvllm:num_requests_running 0.0\n"),
}
LLAMA: Answers = {
    "/v1/models": models("q4.gguf", owner="llamacpp"),
    "/props": (200, {"default_generation_settings": {}, "build_info": "b6123-abc", "chat_template": "{{ m }}"}),
}
SGLANG: Answers = {
    "/v1/models": models("annie", owner="sglang"),
    "/get_model_info": (200, {"model_path": "/models/annie", "is_generation": True}),
}
NOT_FOR_GET = (405, {"detail": "Method Not Allowed"})
DERENDER = "/v1/chat/completions/derender"
TRANSFORMERS: Answers = {
    "/v1/models": models("me/annie", owner="me"),
    "/load_model": NOT_FOR_GET,
}
BARE: Answers = {"/v1/models": models("annie")}


def open_url(url: str, profile: Profile, tmp_path: Path, **more: Any) -> Any:
    return open_target(TargetSpec(base_url=url, **more), profile, tmp_path, lambda line: None)


@pytest.mark.parametrize(
    ("answers", "kind", "version", "missing"),
    [
        (VLLM, "vllm", "0.32.0", {"weights", "derender"}),
        ({**VLLM, "/metrics": (404, "")}, "vllm", "0.32.0", {"weights", "derender", "metrics"}),
        ({"/v1/models": VLLM["/v1/models"]}, "vllm", None, {"weights", "derender", "metrics", "version"}),
        (LLAMA, "llama-server", "b6123-abc", {"weights", "derender", "metrics", "token_ids"}),
        (SGLANG, "sglang", None, {"weights", "derender", "metrics", "version", "token_ids"}),
        (TRANSFORMERS, "transformers", None, {"weights", "derender", "metrics", "version", "token_ids"}),
        (BARE, "unknown", None, {"weights", "derender", "metrics", "version", "token_ids", "kind"}),
        # A version alone names no server.
        (
            {**BARE, "/version": (200, {"version": "1.0"})},
            "unknown",
            "1.0",
            {"weights", "derender", "metrics", "token_ids", "kind"},
        ),
        ({**VLLM, DERENDER: NOT_FOR_GET}, "vllm", "0.32.0", {"weights"}),
        # Behind a gateway that rewrites owned_by, vLLM's own counters tell.
        ({**VLLM, "/v1/models": models("annie", owner="gateway")}, "vllm", "0.32.0", {"weights", "derender"}),
        # A page for every address is no evidence.
        ({**BARE, "/version": (200, "<html>"), "/props": (200, "<html>")}, "unknown", None, None),
    ],
)
def test_a_server_is_known_by_what_it_says(
    answers: Answers,
    kind: str,
    version: str | None,
    missing: set[str] | None,
    serve: Serve,
    profile: Profile,
    tmp_path: Path,
) -> None:
    target = open_url(serve(answers), profile, tmp_path)
    assert (target.kind, target.version) == (kind, version)
    if missing is not None:
        assert set(target.capabilities()) == missing
    assert target.fingerprint()["server"] == kind
    assert target.alive() is None
    target.close()


def test_the_fingerprint_holds_what_the_server_tells_and_not_the_parsers_that_it_was_never_given(
    serve: Serve, profile: Profile, tmp_path: Path
) -> None:
    facts = open_url(serve(VLLM), profile, tmp_path).fingerprint()
    assert facts["root"] == "/models/annie"
    assert facts["max_model_len"] == 4096
    assert facts["profile_digest"] == "d1"
    assert facts["tool_parser"] is None
    assert json.loads(json.dumps(facts)) == facts


def test_all_is_asked_at_once(serve: Serve, profile: Profile, tmp_path: Path) -> None:
    url = serve(VLLM, together=6)  # nobody is answered before six have asked
    assert open_url(url, profile, tmp_path).kind == "vllm"


def test_the_only_model_is_taken_and_of_several_one_is_to_be_named(
    serve: Serve, profile: Profile, tmp_path: Path
) -> None:
    url = serve({"/v1/models": models("a", "b", owner="vllm")})
    assert open_url(serve(VLLM), profile, tmp_path).served_model == "annie"
    assert open_url(url, profile, tmp_path, served_model="b").served_model == "b"
    with pytest.raises(UsageError, match=r"serves a, b; choose one with --served-model"):
        open_url(url, profile, tmp_path)
    with pytest.raises(UsageError, match=r"--served-model c: not served at \S+, which has a, b"):
        open_url(url, profile, tmp_path, served_model="c")


def test_a_wrong_name_is_refused_by_the_list_of_a_server_that_does_not_say_what_it_is(
    serve: Serve, profile: Profile, tmp_path: Path
) -> None:
    url = serve({"/v1/models": models("a", owner="somebody")})
    assert open_url(url, profile, tmp_path, served_model="a").kind == "unknown"
    with pytest.raises(UsageError, match=r"--served-model c: not served at \S+, which has a"):
        open_url(url, profile, tmp_path, served_model="c")


def test_a_server_that_lists_nothing_needs_a_name(serve: Serve, profile: Profile, tmp_path: Path) -> None:
    url = serve({})
    assert open_url(url, profile, tmp_path, served_model="x").served_model == "x"
    with pytest.raises(UsageError, match="lists no model; fix the path, or name one with --served-model"):
        open_url(url, profile, tmp_path)


def test_a_list_that_breaks_is_no_obstacle_where_the_model_is_named(
    serve: Serve, profile: Profile, tmp_path: Path
) -> None:
    target = open_url(serve({"/v1/models": (500, "no cache")}), profile, tmp_path, served_model="x")
    assert target.served_model == "x"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"/v1/models": (200, "<html><title>nginx</title></html>")}, "answers '<html><title>nginx</title></html>'"),
        ({"/v1/models": (200, {"models": []})}, "no list of models"),
        ({"/v1/models": (503, "starting")}, "HTTP 503: starting"),
    ],
)
def test_what_is_no_openai_server_is_said(
    answers: Answers, message: str, serve: Serve, profile: Profile, tmp_path: Path
) -> None:
    with pytest.raises(TargetError) as caught:
        open_url(serve(answers), profile, tmp_path)
    assert message in str(caught.value)
    assert "is this the base URL of an OpenAI-compatible server?" in str(caught.value)


def test_a_dead_server_is_an_error_of_the_target(profile: Profile, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"no connection to 127\.0\.0\.1:9 \(Connection refused\)"):
        open_url("http://127.0.0.1:9/v1", profile, tmp_path)


def test_the_key_goes_into_the_header_and_nowhere_else(
    serve: Serve, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(VLLM, key="s3cret-k3y")
    monkeypatch.setenv("MY_KEY", "s3cret-k3y")
    target = open_url(url, profile, tmp_path, api_key_env="MY_KEY")
    assert "s3cret" not in json.dumps([target.fingerprint(), target.capabilities(), repr(target), repr(vars(target))])
    monkeypatch.setenv("MY_KEY", "wr0ng-k3y")
    with pytest.raises(UsageError) as caught:
        open_url(url, profile, tmp_path, api_key_env="MY_KEY")
    assert "refuses the API key (HTTP 401)" in str(caught.value)
    assert "wr0ng" not in str(caught.value)
    assert [f for f in tmp_path.rglob("*") if f.is_file()] == []


def test_asking_is_bounded_in_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "TIMEOUT", 0.2)
    with pytest.raises(TargetError, match=r"no complete answer within 0\.2 s"):
        remote.ask(serve(VLLM, delay=1.0), None)
