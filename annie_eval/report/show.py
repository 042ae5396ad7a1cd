"""Text of `annie-eval show`: the report of a stored run, or one sample with its answer."""

from __future__ import annotations

import difflib
import shlex
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from annie_eval.errors import UsageError
from annie_eval.gates.decide import RunVerdict, scenario_of
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import current_key
from annie_eval.report import exchange as parts
from annie_eval.report import expected, terminal
from annie_eval.run import verdict_json
from annie_eval.run.directory import resume_command
from annie_eval.run.store import Attempt, Store, StoredExchange
from annie_eval.text import printable

_NEAR = 10  # samples that are named at most if there is none of the wanted name


def load_verdict(run_dir: Path) -> RunVerdict:
    """Return the verdict of a finished run.

    Raises:
        UsageError: no run, no verdict yet (the message says how far the run came), or a damaged file.
    """
    path = run_dir / verdict_json.FILE
    if path.is_file():
        # The current place: the run may have been moved since.
        return replace(verdict_json.load(path), run_dir=str(run_dir))
    store = Store(run_dir)
    try:
        facts, done, wanted = store.all_meta(), len(store.finished()), len(store.wanted())
    finally:
        store.close()
    if (state := facts.get("state", "unknown")) == "finished":
        raise UsageError(
            f"{run_dir}: has no verdict, because no gate was run (own tests, probes, snapshots);"
            " name a sample to see its exchange"
        )
    raise UsageError(
        f"{run_dir}: no verdict yet: {done} of {wanted} samples answered, state {state}; name a sample to see its"
        " exchange, or continue the run, with any further options that it began with:"
        f" {resume_command(run_dir, facts)}"
    )


def run_lines(run_dir: Path, *, color: bool, width: int, piped: bool = False) -> list[str]:
    """Return the lines that the run printed at its end, with every miss, and after a PASS how to print a sample.

    Raises UsageError as `load_verdict` does.
    """
    verdict = load_verdict(run_dir)
    out = terminal.lines(verdict, color=color, width=width, piped=piped, full=True)
    return [*out, *_how_to_name(run_dir)] if verdict.verdict == "PASS" else out


def _how_to_name(run_dir: Path) -> list[str]:
    """How to print a sample; nothing if the run has no readable samples, such as a copied verdict.json."""
    try:
        store = Store(run_dir)
        try:
            first = next(iter(store.finished()), None)
        finally:
            store.close()
    except (UsageError, sqlite3.Error):
        return []
    if first is None:
        return []
    command = f"annie-eval show {printable(shlex.quote(str(run_dir)))}"
    return [f"a sample: {command} {printable(shlex.quote(first))}; a part of a key lists the samples that have it"]


def sample_lines(run_dir: Path, key: str, *, raw: bool = False) -> list[str]:
    """Return what was expected of one sample, the judgements, and each question with its answer by channel.

    Args:
        raw: also print the requests, the headers, and the bytes of the responses with their times.

    Raises:
        UsageError: there is no run, or the run has no such sample (the message names the nearest ones).
    """
    key = current_key(key)
    store = Store(run_dir)
    try:
        stored = store.sample(key)
        if stored is None:
            raise UsageError(_unknown(store, run_dir, key))
        attempts = [(n, attempt) for _, n, attempt in store.attempts(key)]
        judgements = [judgement for judgement in store.judgements() if judgement.sample == key]
        scenarios = (store.meta("profile_snapshot") or {}).get("scenarios") or {}
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{run_dir}: the run's file is damaged ({error}); nothing can be shown") from error
    finally:
        store.close()
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(stored.finished))
    out = [f"sample {printable(key)}, {'answered' if stored.error is None else 'broken'} {when}"]
    if stored.error is not None:
        out += [f"error: {line}" for line in parts.block(stored.error)]
    # The profile is stored when the run ends.
    out += [f"expected: {printable(line)}" for line in expected.expected(scenarios.get(scenario_of(key), {}))]
    out += _judged(judgements)
    for n, each in enumerate(stored.exchanges):
        out += ["", *_exchange(n, len(stored.exchanges), each, raw)]
    for n, attempt in attempts:
        out += ["", *_attempt(n, attempt, raw)]
    if not raw:
        out += ["", f"requests and raw responses: annie-eval show {printable(shlex.join([str(run_dir), key]))} --raw"]
    return out


def _unknown(store: Store, run_dir: Path, key: str) -> str:
    known = list(store.finished())
    wanted = [name for _, name, _ in store.wanted()]
    if key in wanted:
        return f"{run_dir}: sample {key} was wanted but not answered"
    # People often give the scenario's id or its category; keys of samples contain them.
    # Names of gates, which people also give, have `_` where keys have `-`.
    part = key.replace("_", "-")
    near = [name for name in known if part in name.replace("_", "-")]
    near = near or difflib.get_close_matches(part, known, n=3) or _like_scenario(part, known)
    if not near:
        return f"{run_dir}: no sample {key}" + (f"; the first are {', '.join(known[:3])}" if known else "")
    more = f" (and {len(near) - _NEAR} more)" if len(near) > _NEAR else ""
    return f"{run_dir}: no sample {key}; did you mean {', '.join(near[:_NEAR])}{more}?"


def _like_scenario(part: str, known: Iterable[str]) -> list[str]:
    """The samples of the scenario with the most similar id."""
    ids = {name: scenario_of(name) for name in known}
    nearest = difflib.get_close_matches(part, dict.fromkeys(ids.values()), n=1)
    return [name for name in ids if ids[name] in nearest]


def _judged(judgements: Iterable[Judgement]) -> list[str]:
    out = []
    for judgement in judgements:
        gate = printable(judgement.gate)
        if judgement.error is not None:
            out.append(f"{gate}: error: {printable(judgement.error)}")
        for finding in judgement.findings:
            where = f" in {finding.channel}" if finding.channel else ""
            span = f" at {finding.span[0]}-{finding.span[1]}" if finding.span else ""
            text = f": {printable(finding.excerpt)}" if finding.excerpt else ""
            found = f"{printable(finding.detector)}: {printable(finding.reason)}"
            out.append(f"{gate}: miss: {found}{where}{span} of exchange {finding.exchange + 1}{text}")
        if judgement.passed:
            out.append(f"{gate}: pass")
    return out


def _exchange(n: int, count: int, exchange: StoredExchange, raw: bool) -> list[str]:
    answers = f"the tool results of round {exchange.round}" if exchange.round else "the user"
    how = "streamed" if exchange.request.get("stream") else "unstreamed"
    out = [f"exchange {n + 1} of {count}: turn {exchange.turn + 1}, answers {answers}, {how}"]
    out += ["  question"]
    for who, text in parts.messages(exchange.request)[-1:]:
        out += _labelled(who, text)
    out += ["  answer"]
    for name, text in parts.channels(exchange):
        out += _labelled(name, text)
    return [*out, *_raw(exchange)] if raw else out


def _raw(exchange: StoredExchange) -> list[str]:
    """The complete request, and the response as it came."""
    out = ["  request"]
    out += [f"    {printable(name)}: {printable(value)}" for name, value in parts.settings(exchange.request)]
    for who, text in parts.messages(exchange.request):
        out += _labelled(who, text)
    if offered := parts.tools(exchange.request):
        out += ["  tools offered", *(f"    {printable(tool)}" for tool in offered)]
    out += [f"  response: HTTP {exchange.status}"]
    out += [f"    {printable(name)}: {printable(value)}" for name, value in exchange.headers]
    out += [f"  body: {len(exchange.body)} bytes in {len(exchange.reads)} reads"]
    out += [f"    {line}" for line in parts.body_lines(parts.reads(exchange))]
    return out


def _labelled(name: str, text: str) -> list[str]:
    first, *rest = parts.block(text)
    return [f"    {printable(name)}: {first}".rstrip(), *(f"      {line}".rstrip() for line in rest)]


def _attempt(n: int, attempt: Attempt, raw: bool) -> list[str]:
    status = "" if attempt.status is None else f", HTTP {attempt.status}"
    again = "sent again" if attempt.resent else "not sent again"
    out = [f"broken attempt at exchange {n + 1}: {printable(attempt.cause)}{status}, {again}"]
    if attempt.body and raw:
        out += [
            f"  body: {len(attempt.body)} bytes",
            *(f"  {line}" for line in parts.body_lines([(None, attempt.body)])),
        ]
    return out
