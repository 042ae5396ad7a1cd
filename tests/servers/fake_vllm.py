"""A fake Python interpreter with vLLM: answers `-c` (version query) and serves with `-m`, within 0.2 s.

Its behaviour is set by the environment variable FAKE_VLLM, words separated by commas:

    die       write the file FAKE_LOG to the log and exit with status 1 while starting
    hang      never listen
    die-later exit with status 3 half a second after its first answer
    refuse    answer the first chat request with HTTP 400 and FAKE_LOG as the message
    empty     answer the first chat request with HTTP 200 and no choice
    stubborn  ignore SIGTERM
    orphans   start an EngineCore in its session and one in another session; both ignore SIGTERM
    no-track  act like an older vLLM without weight tracking
    killed    die by SIGKILL while starting

FAKE_RECORD is a file for one JSON line: the arguments, some environment variables, the pid. FAKE_PIDS is a file for
the pids of further processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORDS = set(filter(None, os.environ.get("FAKE_VLLM", "").split(",")))
ENVIRONMENT = (
    "HF_HUB_OFFLINE",
    "VLLM_NO_USAGE_STATS",
    "VLLM_API_KEY",
    "VLLM_CPU_KVCACHE_SPACE",
    "VLLM_ENABLE_V1_MULTIPROCESSING",
)


def engine(name: str, *, leave: bool) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code, name], start_new_session=leave)
    with Path(os.environ["FAKE_PIDS"]).open("a") as file:
        file.write(f"{process.pid}\n")


def value(flag: str, default: str) -> str:
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else default


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = value("--served-model-name", "model")
        answers = {
            "/v1/models": {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "vllm"}]},
            "/version": {"version": "0.32.0"},
        }
        self.answer(200 if self.path in answers else 404, answers.get(self.path, {"detail": "Not Found"}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = os.environ.get("VLLM_API_KEY")
        if key and self.headers["authorization"] != f"Bearer {key}":
            self.answer(401, {"error": "Unauthorized"})
        elif "refuse" in WORDS:
            self.answer(400, {"error": {"message": Path(os.environ["FAKE_LOG"]).read_text()}})
        elif "empty" in WORDS:
            self.answer(200, {"choices": []})
        else:
            message = {"role": "assistant", "content": f"Hello, {len(body.get('tools', []))} tools"}
            choice = {"index": 0, "finish_reason": "length"}
            if body.get("stream"):
                events = ({"choices": [{**choice, "delta": message}]}, "[DONE]")
                text = "".join(f"data: {e if isinstance(e, str) else json.dumps(e)}\n\n" for e in events)
                self.send(200, "text/event-stream", text.encode())
            else:
                self.answer(200, {"choices": [{**choice, "message": message}]})
            if "die-later" in WORDS:
                threading.Timer(0.5, lambda: os._exit(3)).start()

    def answer(self, status: int, body: object) -> None:
        self.send(status, "application/json", json.dumps(body).encode())

    def send(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def serve(host: str, port: int) -> None:
    print("(APIServer pid=1) INFO 11-23 10:05:59 [model.py:733] Resolved architecture: LlamaForCausalLM", flush=True)
    if record := os.environ.get("FAKE_RECORD"):
        known = {name: os.environ.get(name) for name in ENVIRONMENT}
        with Path(record).open("a") as file:
            file.write(json.dumps({"argv": sys.argv[1:], "environment": known, "pid": os.getpid()}) + "\n")
    if "stubborn" in WORDS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "orphans" in WORDS:
        engine("EngineCore", leave=False)
        engine("Worker", leave=True)
    if "killed" in WORDS:
        os.kill(os.getpid(), signal.SIGKILL)
    if "die" in WORDS:
        print(Path(os.environ["FAKE_LOG"]).read_text(), flush=True)
        sys.exit(1)
    if "hang" in WORDS:
        time.sleep(600)
    ThreadingHTTPServer((host, port), Handler).serve_forever()


if __name__ == "__main__":
    if sys.argv[1:2] == ["-c"]:
        answer = {"version": "0.32.0", "cpu": True, "weights_track": True, "language_model_only": True}
        print(json.dumps({**answer, "weights_track": "no-track" not in WORDS}))
    else:
        serve("127.0.0.1", int(value("--port", "8000")))
