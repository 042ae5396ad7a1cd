"""Fixtures of the report tests: a failed run with all kinds of rows and hostile text."""

from __future__ import annotations

from pathlib import Path

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import RunVerdict, decide, overall
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import Gate
from annie_eval.run import verdict_json
from annie_eval.run.store import Attempt, Store, StoredExchange

HOSTILE = "\x1b[2J\x1b]0;owned\x07<script>alert(1)</script>\u202egnp\udc80\x9b31m\nverdict: PASS"


def gate(
    name: str, required: int | None, n: int, study: dict[str, str], **rules: float
) -> tuple[Gate, list[Judgement], int]:
    made = Gate(name, ("markdown",), (name,), required, baseline=study, **rules)  # type: ignore[arg-type]
    return made, [Judgement(name, f"{name.replace('_', '-')}-{i:02}.stream.off") for i in range(n)], n


def missed(judgements: list[Judgement], count: int, *findings: Finding) -> None:
    for i in range(count):
        judgements[i] = Judgement(judgements[i].gate, judgements[i].sample, findings)


@pytest.fixture
def failed() -> RunVerdict:
    leak = gate("thinking_leak", None, 25, {"Q4_K_M": "0/25", "NVFP4 PTQ": "5/25"})
    tools = gate("tool_calling", 6, 10, {"Q4_K_M": "works", "NVFP4 PTQ": "0/10"})
    markdown = gate("no_markdown", 12, 15, {"Q4_K_M": "works", "NVFP4 PTQ": "3/15"})
    strict = gate("restraint", 55, 60, {"NVFP4 PTQ": "works"}, lower_bound=0.9)
    wire = gate("wire_integrity", None, 25, {})
    bullets = Finding("markdown", "a bullet list", "Sure! \\n- milk\\n- eggs\\n- bread", "content", 0, (7, 13))
    missed(markdown[1], 8, bullets, Finding("markdown", "bold text", "**milk**", "content", 0, (9, 17)))
    missed(tools[1], 2, Finding("tool_calls", "no call, but search_memory was wanted"))
    missed(strict[1], 4, Finding("tool_calls", f"called {HOSTILE}", HOSTILE, "tool_calls"))
    for i in range(3):
        wire[1][i] = Judgement("wire_integrity", wire[1][i].sample, error="HTTP 500: <html>oops</html>")
    results = [decide(*each) for each in (leak, tools, markdown, strict, wire)]
    timings = [
        {
            "name": "ttft_short", "verdict": "PASS", "median": 91.234, "interval": [88.0, 95.5], "n": 21,
            "limit": 120, "unit": "ms", "roofline": 0.61, "detail": "the server confirms 21 of 21",
        },
        {"name": "decode", "verdict": "INCONCLUSIVE", "median": None, "interval": None, "n": 0, "limit": 25.0,
         "unit": "tok/s", "roofline": None, "detail": "no usage"},
    ]  # fmt: skip
    return RunVerdict(
        verdict=overall(results, timings),
        gates=tuple(results),
        errors=({"sample": "wire-integrity-00.stream.off", "cause": "HTTP 500: <html>oops</html>"},),
        fingerprint={"weights": "sha256:ab12", "vllm": "0.32.0", "sampling": {"temperature": 0.0}},
        timings=tuple(timings),
        transport={"resent": 2, "broken": 5},
        selection={"gates": {result.name: result.expected for result in results}, "complete": True},
        profile={"name": "annie", "digest": "3f2a9c"},
        target={"base_url": "http://127.0.0.1:8000/v1", "served_model": "annie", "kind": "vllm"},
        capabilities={"derender": "the server has no such endpoint"},
        started=1795428000.25,
        seconds=48.5,
        run_dir="runs/2026-11-23T10-00-00-annie-3f2a",
        version="0.1.0",
    )


STREAM = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"annie","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"- milk"},"finish_reason":null}]}\n\n',
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"annie","choices":'
    b'[{"index":0,"delta":{"content":" \\u001b[2J<b>"},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)


@pytest.fixture
def run_dir(failed: RunVerdict, tmp_path: Path) -> Path:
    """The run's directory: one sample that missed, one that broke, one that was never answered."""
    path = tmp_path / "a-run"
    path.mkdir()
    store = Store(path, create=True)
    missed_gate = next(gate for gate in failed.gates if gate.name == "no_markdown")
    key, broken = missed_gate.misses[0].sample, "wire-integrity-00.stream.off"
    store.set_meta(
        identity={"profile": "annie", "digest": "3f2a9c", "target": "/models/annie"},
        started=failed.started,
        state="finished",
        verdict="FAIL",
    )
    store.select({"no_markdown": [key], "wire_integrity": [broken]}, [], [key, broken, "never.stream.off"])
    call = {"id": "call_1", "type": "function", "function": {"name": "search_memory", "arguments": '{"query":"x"}'}}
    request = {
        "model": "annie",
        "messages": [
            {"role": "system", "content": "You are Annie.\nSpeak plainly."},
            {"role": "user", "content": "What is on my list?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": '["milk"]'},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "search_memory",
                    "parameters": {
                        "type": "object",
                        "properties": {"query": {"type": "string"}, "kind": {"enum": ["note", "list"]}},
                        "required": ["query"],
                    },
                },
            }
        ],
        "temperature": 0.0,
        "stream": True,
    }
    body = b"".join(STREAM)
    stamps = tuple((int(1e6 * at), len(part)) for at, part in zip((45.21, 60.0, 61.5), STREAM, strict=True))
    headers = (("content-type", "text/event-stream"), ("x-evil", "\x1b[31m"))
    store.save_exchange(key, 0, StoredExchange(0, 1, request, 200, headers, body, stamps))
    store.save_sample(key, None, [missed_gate.misses[0]])
    store.save_attempt(broken, 0, Attempt("HTTP 500", True, 500, b"<html>\xff\x1b[2J</html>"))
    store.save_sample(broken, "HTTP 500 (sent 2 times)", [Judgement("wire_integrity", broken, (), "HTTP 500")])
    store.close()
    verdict_json.write(path / "verdict.json", failed)
    return path
