"""Whatever a server answers is judged, kept and shown: no detector breaks, and no terminal obeys a line."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annie_eval.errors import ExchangeError
from annie_eval.gates.decide import RunVerdict, decide, overall
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.load import load
from annie_eval.report import junit, markdown, page, show, terminal
from annie_eval.run import verdict_json
from annie_eval.run.judge import Catalogue, judge
from annie_eval.run.store import Attempt, Store, StoredExchange
from annie_eval.wire import parse
from tests.support.hostile import STREAMS, TEXT, dumps

PROFILE = load("annie")
CATALOGUE = Catalogue(PROFILE)
KEYS = [f"{scenario.id}.stream.off" for scenario in PROFILE.scenarios if f"{scenario.id}.stream.off" in CATALOGUE]


@st.composite
def spoken(draw: st.DrawFn) -> bytes:
    """A stream that is in order, but for its text."""
    functions = [{"name": draw(TEXT | st.sampled_from([*PROFILE.tools])), "arguments": draw(TEXT)} for _ in range(2)]
    calls = [{"index": at, "id": draw(TEXT), "function": function} for at, function in enumerate(functions)]
    deltas = [{"content": draw(TEXT)}, {"reasoning": draw(TEXT)}, {"content": draw(TEXT)}, {"tool_calls": calls}]
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas[: draw(st.integers(1, 4))]]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": draw(TEXT | st.just("stop"))}]}
    return "".join(f"data: {dumps(chunk)}\n\n" for chunk in [*chunks, end]).encode() + b"data: [DONE]\n\n"


@given(st.lists(STREAMS | spoken(), min_size=3, max_size=3), st.sampled_from(KEYS), TEXT)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_any_answer_is_judged_kept_and_shown(bodies: list[bytes], key: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        store = Store(run, create=True)
        store.select({gate: [key] for gate in PROFILE.gates}, [], [key])
        error: str | None = None
        done: list[Any] = []
        try:
            for body in bodies:
                request = CATALOGUE.next_request(key, done, model=name, token_ids=True)
                if request is None:
                    break
                raw = StoredExchange(request.turn, request.round, request.body, 200, (("x", name),), body, ((5, 9),))
                try:
                    done.append(CATALOGUE.exchange(key, raw))
                except ExchangeError as broke:
                    store.save_attempt(key, len(done), Attempt(str(broke), False, 200, body))
                    raise
                store.save_exchange(key, len(done) - 1, raw)
        except ExchangeError as broke:
            error = str(broke)
        judged = [
            Judgement(gate.name, key, (), error) if error or not done else judge(gate, CATALOGUE.sample(key, done))
            for gate in PROFILE.gates.values()
        ]
        assert error or not any(each.error for each in judged), [each.error for each in judged]
        store.save_sample(key, error, judged)
        results = tuple(decide(PROFILE.gates[each.gate], [each], 400) for each in judged)
        facts = {"served_model": name, "kernels": [name]}
        verdict = RunVerdict(overall(results), results, fingerprint=facts, target=facts, run_dir=str(run))
        store.set_meta(identity={"profile": "annie"}, fingerprint=facts, verdict=verdict.verdict, state="finished")
        verdict_json.write(run / verdict_json.FILE, verdict)
        lines = [*terminal.lines(verdict, color=False, width=100, full=True), *show.sample_lines(run, key)]
        lines += show.run_lines(run, color=False, width=100)
        lines += [value for each in judged for _, value in junit.case_properties(each)]
        lines += [value for _, value in junit.suite_properties(show.load_verdict(run))]
        assert [line for line in lines if not line.isprintable()] == []
        page.write(run / "report.html", verdict, run)
        markdown.page(verdict).encode()
        store.close()
        for body in bodies:
            with contextlib.suppress(ExchangeError):
                parse.prompt_token_ids(body, streamed=True)
