"""The store of a run: selected samples, responses and judgements, in one SQLite file. Resumable.

The sampler writes samples and judgements, every pytest process writes the selection; all of them read it, and later
`annie-eval`. An exchange is committed as soon as it is complete, so that a killed run loses no answer. The API key is
never in this file: `annie_eval.http_client` masks it.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annie_eval.detectors.finding import Finding
from annie_eval.errors import UsageError
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import current_key
from annie_eval.untrusted.regular_files import json_value

FILE = "run.sqlite"
FORMAT = 2  # format 1 has other names for unstreamed samples, measurements and the digest of the detectors
_FAILED = "failed"
_FAR = 1e11  # seconds since 1970, later than any run can have finished
_RESERVE, _RESERVED = "reserve", 256 * 1024  # bytes: a verdict and the last lines of the store

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wanted (
    position INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL,
    ask TEXT -- JSON of an ad-hoc scenario and its detectors; NULL for a scenario of the profile
);
CREATE TABLE IF NOT EXISTS selected (gate TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (gate, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exchange (
    key TEXT NOT NULL, n INTEGER NOT NULL, turn INTEGER NOT NULL, round INTEGER NOT NULL,
    request TEXT NOT NULL, status INTEGER NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL, reads TEXT NOT NULL,
    PRIMARY KEY (key, n)
);
CREATE TABLE IF NOT EXISTS sample (key TEXT PRIMARY KEY, error TEXT, finished REAL NOT NULL);
CREATE TABLE IF NOT EXISTS attempt (
    key TEXT NOT NULL, n INTEGER NOT NULL, at REAL NOT NULL, cause TEXT NOT NULL, resent INTEGER NOT NULL,
    status INTEGER, body BLOB
);
CREATE TABLE IF NOT EXISTS judgement (
    gate TEXT NOT NULL, key TEXT NOT NULL, findings TEXT NOT NULL, error TEXT, PRIMARY KEY (gate, key)
);
CREATE TABLE IF NOT EXISTS timing (position INTEGER PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL);
"""

_NAMES = frozenset(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", _TABLES))


@dataclass(frozen=True, slots=True)
class StoredExchange:
    """One stored exchange: bytes and timestamps, not parsed. See `wire.sample.Exchange`."""

    turn: int
    round: int
    request: Mapping[str, Any]
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    reads: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A finished sample; `error` is the cause of an ERROR, None if it was answered."""

    key: str
    error: str | None
    finished: float
    exchanges: tuple[StoredExchange, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that broke: why, whether it was sent again, and what had arrived."""

    cause: str
    resent: bool
    status: int | None = None
    body: bytes | None = None


class Store:
    """One connection to a run's file. Open one for each thread.

    Raises:
        UsageError: the file is missing (unless `create`), is not a run, or has another format.
    """

    def __init__(self, run_dir: Path, *, create: bool = False) -> None:
        self.run_dir = run_dir
        path = run_dir / FILE
        if not create and not path.is_file():
            raise UsageError(f"{run_dir}: no run here ({FILE} is missing); name a run directory")
        try:
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            if create:
                # WAL lets workers read while the sampler writes, and survives a kill of any process.
                with self._disk():
                    self._db.execute("PRAGMA journal_mode=WAL")
                with self._transaction():
                    for statement in _TABLES.split(";\n"):
                        if statement.strip():
                            self._db.execute(statement)
                    self._db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (str(FORMAT),))
            self._db.execute("PRAGMA synchronous=NORMAL")
            # A view or a trigger in an untrusted file could run SQL of its own.
            kinds = dict(self._db.execute("SELECT name, type FROM sqlite_master WHERE type != 'index'"))
            if not kinds.keys() >= _NAMES or set(kinds.values()) != {"table"}:
                raise UsageError(f"{path}: not a run (other tables than a run has); name another run directory")
            found = self.meta("format")
            if found == 1:
                self._rename(in_place=create)
                found = FORMAT
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{path}: not a run ({error}); name another run directory") from error
        if found != FORMAT:
            raise UsageError(f"{path}: run format {found!r}, but this version reads {FORMAT}; start a new run")

    def _rename(self, *, in_place: bool) -> None:
        """Convert a run of format 1: in its file if it is resumed, else in a copy in memory."""
        if not in_place:
            copy = sqlite3.connect(":memory:", isolation_level=None)
            self._db.backup(copy)
            self._db.close()
            self._db = copy
        self._db.create_function("current_key", 1, current_key, deterministic=True)
        with self._transaction():
            for table in ("wanted", "selected", "exchange", "sample", "attempt", "judgement"):
                self._db.execute(f"UPDATE {table} SET key = current_key(key)")
            self._db.execute("UPDATE timing SET kind = 'measurement' WHERE kind = 'shot'")
            self._db.execute("UPDATE meta SET key = 'detector_digest' WHERE key = 'judged_by'")
            self._db.execute("UPDATE meta SET value = ? WHERE key = 'format'", (str(FORMAT),))

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._disk():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite may have rolled back already
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """A context that turns a row which no version of this package wrote into a UsageError."""
        try:
            yield
        except sqlite3.OperationalError:
            raise  # locked, or the disk
        except (sqlite3.DatabaseError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            raise UsageError(
                f"{self.run_dir / FILE}: damaged ({type(error).__name__}: {error!s:.100}); name another run"
            ) from error

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """A context that turns a disk error into a UsageError; committed data are kept."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL and "disk I/O" not in str(error):
                raise
            raise UsageError(
                f"{self.run_dir}: the disk is full or fails ({error}); free some space, then --resume the run"
            ) from error

    def state(self) -> str:
        """The state of the run: `starting`, `timing`, `sampling`, `ended: REASON`, `finished`, or `failed: CAUSE`.

        `ended` means that no more is sent because a gate has failed; "" before the run began.
        """
        try:
            return f"failed: {(self.run_dir / _FAILED).read_text(encoding='utf-8', errors='replace')}"
        except FileNotFoundError:
            return str(self.meta("state", ""))

    def fail(self, cause: str) -> None:
        """Tell waiting readers that nothing more will come; in a separate file if the disk is full."""
        self.free_reserve()
        try:
            self.set_meta(state=f"failed: {cause}")
        except (UsageError, sqlite3.Error):
            with suppress(OSError):
                (self.run_dir / _FAILED).write_text(cause, encoding="utf-8", errors="replace")

    def end(self, reason: str) -> None:
        """Record that nothing more is sent; unanswered samples stay selected."""
        self.set_meta(state=f"ended: {reason}", ended=reason)

    def hold_reserve(self) -> None:
        """Reserve disk space, so that a run can still record its end when the disk is full. Raises OSError."""
        try:
            with (self.run_dir / _RESERVE).open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVED)
        except OSError:
            self.free_reserve()
            raise

    def free_reserve(self) -> None:
        """Free the reserved space; safe to call again."""
        (self.run_dir / _RESERVE).unlink(missing_ok=True)

    # Facts about the run.

    def meta(self, key: str, default: Any = None) -> Any:
        """One fact of the run, decoded from JSON."""
        with self._reading():
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            return default if row is None else json_value(row[0])

    def all_meta(self) -> dict[str, Any]:
        with self._reading():
            return {key: json_value(value) for key, value in self._db.execute("SELECT key, value FROM meta")}

    def set_meta(self, **facts: Any) -> None:
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [(k, dump(v)) for k, v in facts.items()])

    # Selected samples.

    def select(
        self,
        gates: Mapping[str, Sequence[str]],
        perf: Sequence[str],
        keys: Sequence[str],
        state: Sequence[str] = (),
    ) -> None:
        """Record the selection of the collected tests: sample keys by gate, timing rows, all keys in order, state
        probes.

        Every pytest process of a run collects the same and calls this; the first one writes.
        """
        if self.meta("selection") is not None:
            return
        with self._transaction():
            if self.meta("selection") is not None:
                return
            self._db.execute("DELETE FROM selected")
            pairs = [(gate, key) for gate, of_gate in gates.items() for key in of_gate]
            self._db.executemany("INSERT OR IGNORE INTO selected VALUES (?, ?)", pairs)
            self._db.executemany("INSERT OR IGNORE INTO wanted (key) VALUES (?)", [(key,) for key in keys])
            counts = {gate: len(of_gate) for gate, of_gate in gates.items()}
            selection = {"gates": counts, "perf": list(perf), "state": list(state)}
            self._db.execute("INSERT INTO meta VALUES ('selection', ?)", (dump(selection),))

    def select_more(self, gates: Mapping[str, Sequence[str]], keys: Sequence[str], **facts: Any) -> None:
        """Select more samples of these gates and record facts of the run, in one transaction."""
        with self._transaction():
            pairs = [(gate, key) for gate, of_gate in gates.items() for key in of_gate]
            self._db.executemany("INSERT OR IGNORE INTO selected VALUES (?, ?)", pairs)
            self._db.executemany("INSERT OR IGNORE INTO wanted (key) VALUES (?)", [(key,) for key in keys])
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [(k, dump(v)) for k, v in facts.items()])

    def reopen(self, *, proven: bool = True) -> None:
        """Prepare a resumed run: keep answers and measurements; delete the selection, the judgements and broken
        samples.

        A broken sample was never answered, so it is sent again. A timing gate whose measurement broke is measured
        again. What broke is kept as an attempt.

        Args:
            proven: the server is known to be the one that was measured. Otherwise a timing gate that passed is
                measured again, because another server may be slower; one that failed is kept.
        """
        (self.run_dir / _FAILED).unlink(missing_ok=True)
        with self._transaction():
            self._db.execute(
                "INSERT INTO attempt (key, n, at, cause, resent) "
                "SELECT key, 0, finished, 'before the run was resumed: ' || error, 1 FROM sample WHERE error NOT NULL"
            )
            self._db.execute("DELETE FROM sample WHERE error NOT NULL")
            broken = [row for row in self.timing("row") if row.get("verdict") == "ERROR"]
            self._db.executemany(
                "INSERT INTO attempt (key, n, at, cause, resent) VALUES (?, 0, ?, ?, 1)",
                [
                    (f"timing {row['name']}", time.time(), f"before the run was resumed: {row.get('detail')}")
                    for row in broken
                ],
            )
            gone = broken if proven else [row for row in self.timing("row") if row.get("verdict") != "FAIL"]
            self._db.executemany("DELETE FROM timing WHERE kind = 'row' AND value = ?", [(dump(row),) for row in gone])
            # Another process of the same server has another state; a difference that was found is kept.
            held = [row for row in self.timing("state") if not row["differences"]]
            gone = [row for row in held if row["error"] or not proven]
            self._db.executemany(
                "DELETE FROM timing WHERE kind = 'state' AND value = ?", [(dump(row),) for row in gone]
            )
            self._db.execute("DELETE FROM judgement")
            self._db.execute("DELETE FROM selected")
            self._db.execute("DELETE FROM wanted WHERE ask IS NULL")
            self._db.execute("DELETE FROM meta WHERE key IN ('selection', 'state', 'verdict', 'rounds', 'ended')")

    def ask(self, key: str, ask: Mapping[str, Any]) -> None:
        """Select one more sample that is not in the profile."""
        with self._disk():
            self._db.execute("INSERT OR IGNORE INTO wanted (key, ask) VALUES (?, ?)", (key, dump(ask)))

    def wanted(self, after: int = 0) -> list[tuple[int, str, dict[str, Any] | None]]:
        """(position, key, ask) of selected samples after position `after`, in order."""
        rows = self._db.execute("SELECT position, key, ask FROM wanted WHERE position > ? ORDER BY position", (after,))
        with self._reading():
            return [(position, str(key), None if ask is None else _object(ask)) for position, key, ask in rows]

    def selected(self, gate: str) -> list[str]:
        """Keys of the selected samples of a gate."""
        return [key for (key,) in self._db.execute("SELECT key FROM selected WHERE gate = ?", (gate,))]

    def selections(self) -> list[tuple[str, str]]:
        """(gate, key) of everything selected."""
        return list(self._db.execute("SELECT gate, key FROM selected"))

    # Responses.

    def save_exchange(self, key: str, n: int, exchange: StoredExchange) -> None:
        with self._disk():
            self._db.execute(
                "INSERT INTO exchange VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    n,
                    exchange.turn,
                    exchange.round,
                    dump(exchange.request),
                    exchange.status,
                    dump(exchange.headers),
                    exchange.body,
                    dump(exchange.reads),
                ),
            )

    def exchanges(self, key: str) -> tuple[StoredExchange, ...]:
        rows = self._db.execute(
            "SELECT turn, round, request, status, headers, body, reads FROM exchange WHERE key = ? ORDER BY n", (key,)
        )
        with self._reading():
            return tuple(
                StoredExchange(
                    int(turn),
                    int(round_),
                    _object(request),
                    int(status),
                    tuple((str(name), str(value)) for name, value in json_value(headers)),
                    bytes(body),
                    tuple((int(at), int(size)) for at, size in json_value(reads)),
                )
                for turn, round_, request, status, headers, body, reads in rows
            )

    def save_sample(self, key: str, error: str | None, judgements: Iterable[Judgement] = ()) -> None:
        """Save a finished sample together with its judgements."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO sample VALUES (?, ?, ?)", (key, error, time.time()))
            self._save_judgements(judgements)

    def sample(self, key: str) -> StoredSample | None:
        row = self._db.execute("SELECT error, finished FROM sample WHERE key = ?", (key,)).fetchone()
        with self._reading():
            if row is None:
                return None
            error, finished = row
            if not 0 <= finished < _FAR:
                raise ValueError(f"finished at {finished}")
            return StoredSample(key, None if error is None else str(error), float(finished), self.exchanges(key))

    def samples(self) -> Iterator[StoredSample]:
        """All finished samples, in the order of selection; those of an earlier selection last."""
        keys = self._db.execute(
            "SELECT sample.key FROM sample LEFT JOIN wanted ON wanted.key = sample.key "
            "ORDER BY wanted.position IS NULL, wanted.position"
        ).fetchall()
        for (key,) in keys:
            if (stored := self.sample(key)) is not None:
                yield stored

    def finished(self) -> dict[str, str | None]:
        """Error (or None) by key of every finished sample."""
        return dict(self._db.execute("SELECT key, error FROM sample"))

    def save_attempt(self, key: str, n: int, attempt: Attempt) -> None:
        """Record that a request broke, with the bytes that had arrived."""
        with self._disk():
            self._db.execute(
                "INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, n, time.time(), attempt.cause, attempt.resent, attempt.status, attempt.body),
            )

    def attempts(self, key: str | None = None) -> list[tuple[str, int, Attempt]]:
        """(sample key, exchange number, attempt) of every request that broke, oldest first."""
        rows = self._db.execute(
            "SELECT key, n, cause, resent, status, body FROM attempt WHERE ?1 IS NULL OR key = ?1 ORDER BY rowid",
            (key,),
        )
        with self._reading():
            return [
                (str(key_), int(n), Attempt(str(cause), bool(resent), status, None if body is None else bytes(body)))
                for key_, n, cause, resent, status, body in rows
            ]

    # Judgements.

    def save_judgements(self, judgements: Iterable[Judgement]) -> None:
        with self._transaction():
            self._save_judgements(judgements)

    def _save_judgements(self, judgements: Iterable[Judgement]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO judgement VALUES (?, ?, ?, ?)",
            [(j.gate, j.sample, dump([asdict(f) for f in j.findings]), j.error) for j in judgements],
        )

    def judgement(self, gate: str, key: str) -> Judgement | None:
        row = self._db.execute(
            "SELECT gate, key, findings, error FROM judgement WHERE gate = ? AND key = ?", (gate, key)
        ).fetchone()
        with self._reading():
            return None if row is None else _judgement(row)

    def judgements(self, gate: str | None = None) -> list[Judgement]:
        """Judgements of the current selection, of one gate or of all."""
        rows = self._db.execute(
            "SELECT gate, key, findings, error FROM judgement WHERE (?1 IS NULL OR gate = ?1) "
            "AND EXISTS (SELECT 1 FROM selected s WHERE s.gate = judgement.gate AND s.key = judgement.key)",
            (gate,),
        )
        with self._reading():
            return [_judgement(row) for row in rows]

    def open_judgements(self, gate: str) -> int:
        """The number of selected samples of a gate that are not judged yet."""
        row = self._db.execute(
            "SELECT COUNT(*) FROM selected s WHERE s.gate = ? AND NOT EXISTS "
            "(SELECT 1 FROM judgement j WHERE j.gate = s.gate AND j.key = s.key)",
            (gate,),
        ).fetchone()
        return int(row[0])

    # Timing rows and raw timing samples: JSON objects by kind.

    def save_timing(self, kind: str, values: Iterable[Mapping[str, Any]]) -> None:
        with self._transaction():
            self._db.executemany("INSERT INTO timing (kind, value) VALUES (?, ?)", [(kind, dump(v)) for v in values])

    def timing(self, kind: str) -> list[dict[str, Any]]:
        rows = self._db.execute("SELECT value FROM timing WHERE kind = ? ORDER BY position", (kind,))
        with self._reading():
            return [_object(value) for (value,) in rows]


def dump(value: Any) -> str:
    """Compact JSON; lone surrogates are escaped, so that any text can be stored."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _object(text: str) -> dict[str, Any]:
    value = json_value(text)
    if not isinstance(value, dict):
        raise TypeError(f"holds {type(value).__name__}, not an object")
    return value


def _judgement(row: tuple[str, str, str, str | None]) -> Judgement:
    gate, key, findings, error = map(_text, row)
    found = tuple(
        Finding(**{**f, "span": None if f["span"] is None else (int(f["span"][0]), int(f["span"][1]))})
        for f in json_value(findings or "")
    )
    for each in found:
        _text(each.detector), _text(each.reason), _text(each.excerpt), int(each.exchange)
    return Judgement(gate or "", key or "", found, error)


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"holds {type(value).__name__}, not text")
    return value
