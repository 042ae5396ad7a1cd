"""Controls a run in the process that owns it: directory, server, sampler, and at the end the verdict."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from annie_eval import __version__
from annie_eval.errors import TargetError, UsageError
from annie_eval.gates.decide import RunVerdict
from annie_eval.profile.types import Profile, StateProbes
from annie_eval.run.directory import RunOptions, lock, make_run_dir
from annie_eval.run.progress import Progress
from annie_eval.run.sampler import Endpoint, Sampler, place_of
from annie_eval.run.store import Store
from annie_eval.run.verdict import unkept, verdict_of
from annie_eval.text import printable

if TYPE_CHECKING:
    from annie_eval.run.replicas import Others
    from annie_eval.serving import Greeting, Target, TargetSpec

_LOOK = 0.2  # seconds between checks whether the run was aborted


class Run:
    """A run in its owner process. Create it, `open`, `start` after the selection is written, `finish`, `close`.

    Raises:
        UsageError: the directory is in use, has another run, or does not match the run to resume.
    """

    def __init__(self, profile: Profile, spec: TargetSpec, options: RunOptions) -> None:
        self.profile, self.spec, self.options = profile, spec, options
        self.progress = Progress()
        self.started = time.time()
        self._began = time.monotonic()  # a wall clock may jump
        self.dir, resumed = make_run_dir(profile, options)
        self._lock = lock(self.dir)
        self.store = Store(self.dir, create=True)
        try:
            self.store.hold_reserve()
        except OSError as error:
            raise UsageError(
                f"--run-dir {self.dir}: cannot be written ({error.strerror}); free some space or name another"
            ) from error
        self.resuming = resumed
        """The run is resumed, and its server has not been checked yet."""
        self._identify(resumed)
        self.target: Target | None = None
        self._opening: threading.Thread | None = None
        self._cancel = threading.Event()
        self._timed = threading.Event()  # no more timing gates are measured
        self._failure: Exception | None = None
        self._sampler: Sampler | None = None
        self._others: Others | None = None

    def _identify(self, resumed: bool) -> None:
        """Record what this run is, or check that it matches the run to resume."""
        urls = " ".join((self.spec.base_url or "", *self.spec.replicas))
        target = str(self.spec.model_dir.resolve()) if self.spec.model_dir else urls
        identity: dict[str, str | None] = {
            "profile": self.profile.name,
            "digest": self.profile.digest,
            "target": target,
            "hardware": self.options.hardware,
        }
        if resumed:
            before = self.store.meta("identity", {})
            for field, fix in (
                ("target", "name the same target"),
                ("profile", "name the same profile"),
                ("digest", "the profile or its scenarios have changed since: start a new run"),
                ("hardware", "the limits of the timing gates are another machine's: name the same --hardware"),
            ):
                was, now = before.get(field), identity[field]
                if field == "hardware" and not self.store.timing("row"):
                    continue
                if was != now and not (field == "target" and _same_urls(str(was), str(now))):
                    raise UsageError(f"--run-dir {self.dir}: {field} was {was}, but is {now}; {fix}")
            if self.spec.model_dir is not None:
                from annie_eval.run.identity import other_files, refusal

                if found := other_files(self.store, self.profile, self.spec.model_dir.resolve(), self.spec.vllm_args):
                    raise refusal(self.dir, found)
            return
        path = str(self.profile.path.resolve())
        self.store.set_meta(identity=identity, profile_path=path, started=self.started, version=__version__)
        self._begin()

    def _begin(self) -> None:
        self.store.set_meta(state="starting", owner=os.getpid(), repeats=asdict(self.options.repeats))

    def _reopen(self, *, proven: bool = True) -> None:
        self.resuming = False
        self.store.reopen(proven=proven)
        self._begin()

    def _check_identity(self, target: Target) -> bool:
        """Compare the server with that of the resumed run, without changing anything.

        Returns:
            Whether it is proven to be the same process or the same files.

        Raises:
            UsageError: it is another server, or its answers differ.
        """
        from annie_eval.run import identity

        found = identity.differences(self.store, target.fingerprint(), target.instance())
        proven = identity.is_known(self.store, target.instance())
        if not found and not proven:
            server = identity.Server(
                (target.base_url, *target.replicas),
                target.served_model,
                self._api_key(),
                target.kind == "vllm",
                self.concurrency,
            )
            places = place_of(self.profile, self.dir, 1 + len(target.replicas))
            difference = identity.answers_otherwise(self.profile, self.store, server, places)
            found = [difference] if difference else []
        if found:
            raise identity.refusal(self.dir, found)
        return proven

    def _api_key(self) -> str | None:
        return os.environ.get(self.spec.api_key_env) if self.spec.api_key_env else None

    @property
    def concurrency(self) -> int:
        """Requests in flight."""
        return self.options.concurrency or self.profile.traffic.concurrency

    def open(self, progress: Callable[[str], None], greeting: Greeting | None = None) -> None:
        """Start the server, or connect to it, while pytest collects. Returns immediately; see `wait_ready`."""
        from annie_eval.serving import open_target

        def work() -> None:
            try:
                self.target = open_target(self.spec, self.profile, self.dir, progress, self._cancel, greeting)
            except Exception as error:
                self._failure = error

        self._opening = threading.Thread(target=work, name="annie-target", daemon=True)
        self._opening.start()

    def wait_ready(self) -> Target:
        """Wait until the server answers; then a resumed run is open again.

        Raises:
            TargetError: it does not answer; the message has the cause and the fix.
            UsageError: it is not the server of the resumed run; the run is left unchanged.
        """
        assert self._opening is not None
        while self._opening.is_alive():
            self._opening.join(0.5)  # a wait with a time limit, so that Ctrl-C works
        if self._failure is not None:
            if self.resuming and isinstance(self._failure, UsageError):
                raise self._failure
            if self.resuming:
                self._reopen()
            self.store.set_meta(state=f"failed: {self._failure}", target_error=str(self._failure))
            raise self._failure
        if self.target is None:
            raise TargetError("the start of the server was aborted")
        if self.resuming:
            self._reopen(proven=self._check_identity(self.target))
        return self.target

    def start(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Start timing, then sampling, as soon as the selection is in the store. Call after `wait_ready`.

        Args:
            meanwhile: called once when the first samples are in flight; it must return at once.
        """
        target = self.wait_ready()
        self.progress.step = "server: ready, pytest collects the tests"
        fingerprint = target.fingerprint()
        self.store.set_meta(
            target={
                "base_url": target.base_url,
                "served_model": target.served_model,
                "kind": target.kind,
                **({"replicas": list(target.replicas)} if target.replicas else {}),
            },
            fingerprint=fingerprint,
            instance=target.instance(),
            capabilities=target.capabilities(),
        )
        endpoint = Endpoint(
            target.base_url,
            target.served_model,
            self._api_key(),
            token_ids=target.kind == "vllm",
            derender=target.kind == "vllm" and "derender" not in target.capabilities(),
            replicas=target.replicas,
        )
        if target.replicas:
            from annie_eval.run.replicas import Others

            urls = (target.base_url, *target.replicas)
            alone = [replace(endpoint, base_url=url, replicas=(), derender=False) for url in urls]
            self._others = Others(self.profile, self.dir, alone)
        self._sampler = Sampler(
            self.profile,
            self.dir,
            endpoint,
            concurrency=self.concurrency,
            alive=target.alive,
            first=self._before_samples,
            progress=self.progress,
            fail_fast=self.options.fail_fast,
            meanwhile=meanwhile,
        )
        self._sampler.start()

    def _before_samples(self, store: Store) -> None:
        self._measure(store)
        if self.options.fail_fast and (failed := _too_slow(store)):
            assert self._sampler is not None
            self._sampler.end(store, failed)
            return
        self._probe_state(store)
        if self._others is not None:
            assert self.target is not None
            self._others.start(store, self.concurrency, self.target.alive)

    def earlier(self) -> dict[str, float]:
        """`Progress.took` of the last other run of the same target and profile."""
        from annie_eval.run.directory import took

        return took(self.options.runs_root, self.store.meta("identity"), but=self.dir)

    def wait_for_replicas(self) -> None:
        """Wait until every server has answered the samples for comparing replicas. Returns at once for one server."""
        if self._others is not None and self.store.meta("ended") is None:
            self._others.wait()

    def _measure(self, store: Store) -> None:
        """Run the timing gates on the idle server; rows that an interrupted run has measured are kept.

        Each row is stored with its raw samples as soon as it is decided, so that its test need not wait for others.
        """
        if self.options.fail_fast and _too_slow(store):
            return
        known = {row["name"] for row in store.timing("row")}
        wanted = [name for name in store.meta("selection")["perf"] if name not in known]
        if not wanted:
            return
        self.progress.enter("timing")
        from annie_eval import timing
        from annie_eval.serving import machine

        assert self.target is not None
        measurements: list[Mapping[str, Any]] = []

        def keep(event: Mapping[str, Any]) -> None:
            self.progress.timing(event)
            values = {name: value for name, value in event.items() if name != "event"}
            if event["event"] == "measurement":
                measurements.append(values)
            elif event["event"] == "row":
                store.save_timing("measurement", measurements)
                measurements.clear()
                store.save_timing("row", [values])
                if self.options.fail_fast and values["verdict"] == "FAIL":
                    self._timed.set()

        try:
            plan = timing.plan_for(
                self.profile,
                wanted,
                base_url=self.target.base_url,
                served_model=self.target.served_model,
                api_key_env=self.spec.api_key_env,
                model_dir=self.spec.model_dir,
                hardware=self.options.hardware,
                gpus=machine.local_gpus(),
                cores=machine.local_cores(),
                output=self.dir / "timing.jsonl",
            )
            rows = timing.run(plan, keep, self._timed)
        except Exception as error:
            # Behaviour can still be judged; each timing test reports what broke.
            broken = {"median": None, "interval": None, "n": 0, "limit": None, "unit": "", "roofline": None}
            detail = f"could not be measured: {type(error).__name__}: {error}"
            rows = []
            stored = {row["name"] for row in store.timing("row")}
            lost = [{"name": n, "verdict": "ERROR", **broken, "detail": detail} for n in wanted if n not in stored]
        else:
            stored = {row["name"] for row in store.timing("row")}
            lost = [row.as_dict() for row in rows if row.name not in stored]  # of a process that died
        store.save_timing("measurement", measurements)
        if not self._timed.is_set():  # or nothing broke
            store.save_timing("row", lost)

    def _probe_state(self, store: Store) -> None:
        """Run the probes of the server's state, before samples are sent; earlier results are kept."""
        known = {row["probe"] for row in store.timing("state")}
        wanted = [name for name in store.meta("selection").get("state", ()) if name not in known]
        if not wanted:
            return
        import asyncio

        from annie_eval.http_client import Client
        from annie_eval.state.ask import Asking

        assert self.target is not None
        store.set_meta(state="server state")
        self.progress.enter("state")
        self.progress.tell(f"server state: probes {', '.join(wanted)}")
        # Longer than a probe may take: a slow server's probe is not checked, where a request's time-out is an error.
        timeout = self.profile.traffic.request_timeout + (self.profile.state or StateProbes()).seconds
        client = Client(self.target.base_url, api_key=self._api_key(), timeout=timeout)
        asking = Asking(
            client,
            self.profile,
            self.target.served_model,
            batch=self.concurrency,
            token_ids=self.target.kind == "vllm",
        )

        async def ask() -> None:
            await asking.learn_context()
            for name in wanted:
                began = time.monotonic()
                self.progress.step = f"server state: probe {name}"
                probe = asyncio.ensure_future(asking.probe(name))
                while not probe.done():
                    if self._cancel.is_set():
                        probe.cancel()
                        return
                    await asyncio.wait([probe], timeout=_LOOK)
                result = probe.result()
                store.save_timing("state", [asdict(result)])
                found = result.verdict or f"not checked: {printable(result.unchecked)}"
                self.progress.tell(f"server state: {name} {found} ({time.monotonic() - began:.0f} s)")

        asyncio.run(ask())

    def end(self) -> None:
        """Record that a run without gates is finished: there is no verdict and nothing to resume."""
        with suppress(UsageError):  # a full disk: `annie-eval runs` will list it as unfinished
            self.store.set_meta(state="finished")

    def finish(self, note: str | None = None) -> RunVerdict:
        """Stop sampling and decide. `note` is a cause that makes the run an ERROR."""
        self._stop()
        self.store.free_reserve()
        if note is None and (state := self.store.state()).startswith("failed"):
            note = f"the run was aborted:  {state.removeprefix('failed: ')}"
        verdict = verdict_of(self.profile, self.store, run_dir=self.dir, note=note)
        verdict = replace(verdict, started=self.started, seconds=time.monotonic() - self._began)
        from annie_eval.profile.diff import snapshot
        from annie_eval.run.detector_digest import digest

        # for comparisons, which list differences of profiles
        facts = {"profile_snapshot": snapshot(self.profile), "detector_digest": digest()}
        # A run that ended early can be continued, and its duration is not that of a complete run.
        if self.store.meta("ended") is None:
            facts |= {"state": "finished", "took": self.progress.took()}
        from annie_eval.run import verdict_json

        # A verdict that cannot be stored is still printed, as an ERROR.
        try:
            self.store.set_meta(verdict=verdict.verdict, seconds=verdict.seconds, **facts)
        except UsageError as error:
            verdict = unkept(verdict, str(error))
        try:
            verdict_json.write(self.dir / "verdict.json", verdict)
        except OSError as error:
            verdict = unkept(verdict, f"{self.dir}: {error.strerror}")
        return verdict

    def _stop(self) -> None:
        self._cancel.set()
        self._timed.set()
        if self._sampler is not None:
            self._sampler.stop()
        if self._others is not None:
            self._others.stop()

    def close(self) -> None:
        """Stop the server and unlock the directory. Safe to call twice, and after a failure."""
        self._stop()
        if self._opening is not None:
            self._opening.join()
        if self.target is not None:
            self.target.close()
            self.target = None
        self.store.free_reserve()
        self.store.close()
        self._lock.close()


def _too_slow(store: Store) -> str | None:
    """The first timing gate that failed, and why; None if none failed."""
    failed = (row for row in store.timing("row") if row["verdict"] == "FAIL")
    return next((f"{row['name']} failed: {row.get('detail') or 'beyond its limit'}" for row in failed), None)


def _same_urls(was: str, now: str) -> bool:
    """Whether two lists of base URLs are equal, ignoring an optional `/v1` or final slash."""
    from annie_eval.serving.spec import normal_url

    if not was.startswith("http") or not now.startswith("http"):
        return False
    return [normal_url(url) for url in was.split()] == [normal_url(url) for url in now.split()]
