"""Makes finished runs on disk for tests, with given answers and judgements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import RunVerdict, decide, overall
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import Gate
from annie_eval.run import verdict_json
from annie_eval.run.store import Store, StoredExchange

FINGERPRINT = {"server": "vllm", "server_version": "0.32.0", "served_model": "annie", "sampling": {"temperature": 0.0}}
SNAPSHOT: dict[str, Any] = {
    "name": "annie",
    "digest": "d1",
    "system_prompt": "You are Annie.",
    "tools": {"look_up": {"function": {"name": "look_up", "description": "Look.", "parameters": {}}}},
    "sampling": {"temperature": 0.0, "max_tokens": 64},
    "serving": {"tool_parser": "hermes"},
    "limits": {"max_sentences": 3},
    "scenarios": {"s-01": {"turns": [{"user": "Hello?", "expect": {}}], "category": "g"}},
    "gates": {"g": {"detectors": ["markdown"], "categories": ["g"], "required": None, "margin": None}},
}


def body(
    content: str | None,
    *,
    calls: Sequence[tuple[str, str]] = (),
    reasoning: str | None = None,
    finish: str = "stop",
    prompt_tokens: int = 20,
    prompt_ids: Sequence[int] | None = None,
) -> bytes:
    """One unstreamed chat completion."""
    tool_calls = [
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": content, "reasoning": reasoning, "tool_calls": tool_calls or None}
    value: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "annie",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 9, "total_tokens": prompt_tokens + 9},
    }
    if prompt_ids is not None:
        value["prompt_token_ids"] = list(prompt_ids)
    return json.dumps(value).encode()


def make_run(
    folder: Path,
    name: str,
    passed: Mapping[str, bool],
    *,
    bodies: Mapping[str, bytes] | None = None,
    errors: Mapping[str, str] | None = None,
    fingerprint: Mapping[str, Any] | None = None,
    snapshot: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    measurements: Sequence[Mapping[str, Any]] = (),
    finished: bool = True,
) -> Path:
    run = folder / name
    run.mkdir(parents=True)
    store = Store(run, create=True)
    keys = [f"{scenario}.unstreamed.off" for scenario in passed]
    store.select({"g": keys}, [], keys)
    judgements = []
    for scenario, held in passed.items():
        key = f"{scenario}.unstreamed.off"
        error = (errors or {}).get(scenario)
        sent = {
            "model": "annie",
            "messages": [{"role": "user", "content": f"Hello {scenario}?"}],
            "tools": [{"function": {"name": "look_up"}}],
            "stream": False,
            **(request or {}),
        }
        text = (bodies or {}).get(scenario) or body("Fine." if held else "**Fine.**")
        if error is None:
            store.save_exchange(key, 0, StoredExchange(0, 0, sent, 200, (), text, ((1_000_000, len(text)),)))
        findings = () if held else (Finding("markdown", "bold text", "**Fine.**", "content"),)
        judgement = Judgement("g", key, () if error else findings, error)
        store.save_sample(key, error, [judgement])
        judgements.append(judgement)
    result = decide(Gate("g", ("markdown",), ("g",), 0), judgements, len(judgements))
    verdict = RunVerdict(overall([result]), (result,), fingerprint=fingerprint or FINGERPRINT)
    store.set_meta(
        identity={"profile": "annie", "digest": (snapshot or SNAPSHOT)["digest"], "target": "http://x"},
        fingerprint=dict(fingerprint or FINGERPRINT),
        profile_snapshot=dict(snapshot or SNAPSHOT),
        version="1",
        verdict=verdict.verdict,
        state="finished" if finished else "sampling",
    )
    store.close()
    if finished:
        verdict_json.write(run / verdict_json.FILE, verdict)
    if measurements:
        (run / "timing.jsonl").write_text("".join(json.dumps(one) + "\n" for one in measurements))
    return run
