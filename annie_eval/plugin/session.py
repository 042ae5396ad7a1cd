"""The pytest hooks of a session with a target: of every process, and of the one process that owns the run.

Under xdist the controller owns the run: directory, server and sampler. Workers write the samples of their tests
into the run's store and read judgements from it.
"""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from annie_eval.errors import NotAsked, TargetError, UsageError
from annie_eval.gates.repeats import Repeats, keys_of_round
from annie_eval.plugin import sigterm
from annie_eval.plugin.options import option, target_spec
from annie_eval.plugin.prepared_report import PreparedReport
from annie_eval.plugin.selection import GATE, PERF, PROFILE, STATE, WANTED, all_names, names_of, sample_of, samples_of
from annie_eval.profile.load import is_builtin, load
from annie_eval.profile.types import Profile
from annie_eval.run.directory import RUNS
from annie_eval.run.reader import Reader
from annie_eval.text import printable

if TYPE_CHECKING:
    from annie_eval.gates.decide import RunVerdict
    from annie_eval.plugin.live_line import LiveLine, PlainLines
    from annie_eval.regression.compare_runs import Comparison
    from annie_eval.run.lifecycle import Run

_SECONDS = re.compile(r" \(\d+ s\)$")  # the elapsed time in the server's step, which the live line counts itself
_LEAST_PROBED = 20  # minimum number of prompts: fewer find little and leave none for shrinking


class Session:
    """The hooks of every pytest process of a session with a target."""

    run_dir: Path

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.profile: Profile = load(option(config, "profile") or "annie")
        self.repeats = Repeats.of(option(config, "repeats"), option(config, "until-decided"))
        self._reader: Reader | None = None

    @property
    def reader(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self.profile, self.run_dir, self.repeats)
        return self._reader

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makeitem(self, collector: pytest.Module | pytest.Class, name: str, obj: object) -> Any:
        """Skip tests of gates that the profile does not have."""
        marks = [mark for mark in getattr(obj, "pytestmark", ()) if mark.name == GATE]
        skipped = bool(marks) and not samples_of(self.profile, marks[0].args[0])
        probed = self.profile.state.probes if self.profile.state is not None else ()
        skipped |= any(m.name == STATE and m.args[0] not in probed for m in getattr(obj, "pytestmark", ()))
        made = yield
        return [] if skipped else made

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        marker = metafunc.definition.get_closest_marker(GATE)
        if marker is None or "judged" not in metafunc.fixturenames:
            return
        name = marker.args[0]
        pairs = samples_of(self.profile, name)
        ids = [key if name != "*" else f"{gate}:{key}" for gate, key in pairs]
        metafunc.parametrize("judged", pairs, ids=ids, indirect=True)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Let -k find a test by its gate's name, which need not be in the names of the test and its file. Skip a test
        that is bound to other profiles.
        """
        item.extra_keyword_matches.update(names_of(item))
        bound = [name for mark in item.iter_markers(PROFILE) for name in mark.args]
        if bound and self.profile.name not in bound:
            reason = f"only for profile {' or '.join(map(str, bound))}, this is {self.profile.name}"
            item.add_marker(pytest.mark.skip(reason=printable(reason)))

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Run timing gates first, while the server is idle, and only if their limits are known.

        With guessed hardware, good servers would fail. If only timing gates are selected, they are measured in any
        case.
        """
        yield  # after -k, -m and --lf
        timed = [item for item in items if item.get_closest_marker(PERF) is not None]
        others = [item for item in items if item.get_closest_marker(PERF) is None]
        if timed and others and not self._hardware_known():
            config.hook.pytest_deselected(items=timed)
            timed = []
        items[:] = timed + others

    def _hardware_known(self) -> bool:
        if option(self.config, "hardware") is not None:
            return True
        if option(self.config, "model-dir") is None:
            return False
        from annie_eval.serving import machine
        from annie_eval.timing import hardware

        gpus = machine.local_gpus()
        return bool(gpus) and hardware.choose(hardware.table(self.profile), None, gpus, local=True) is not None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write the samples of the selected tests into the store."""
        if self.config.option.collectonly:
            return
        gates: dict[str, list[str]] = {}
        perf: dict[str, None] = {}
        state: dict[str, None] = {}
        for item in session.items:
            if (marker := item.get_closest_marker(PERF)) is not None:
                perf[marker.args[0]] = None
            if (marker := item.get_closest_marker(STATE)) is not None:
                state[marker.args[0]] = None
            if (pair := sample_of(item)) is not None:
                gates.setdefault(pair[0], []).append(pair[1])
        # Round by round, so that an interrupted run has sent every sample once before it repeats any.
        rounds = [
            {gate: keys_of_round(self.profile, keys, turn) for gate, keys in gates.items()}
            for turn in range(1, self.repeats.first + 1)
        ]
        wanted = dict.fromkeys(key for asked in rounds for keys in asked.values() for key in keys)
        wanted |= dict.fromkeys(key for item in session.items for key in item.stash.get(WANTED, ()))
        selected = {gate: [key for asked in rounds for key in asked[gate]] for gate in gates}
        self.reader.store.select(selected, list(perf), list(wanted), list(state))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, NotAsked):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), (item.location[1] or 0) + 1, f"Skipped: {call.excinfo.value}")
        vars(report)["annie_gate"] = any(item.get_closest_marker(name) is not None for name in (GATE, PERF, STATE))
        pair = sample_of(item)
        if pair is not None and report.when == "call":
            self._report(item, report, *pair)
        return report

    def _report(self, item: pytest.Item, report: pytest.TestReport, gate: str, key: str) -> None:
        from annie_eval.gates.decide import tolerates

        judgement = self.reader.judgement(gate, key)
        if report.outcome != "failed" or not judgement.findings:
            return
        # The gate's verdict needs all its samples, so only a failed test waits for it.
        result = self.reader.gate_result(gate)
        first = judgement.findings[0]
        reason = printable(f"{gate}: {self.reader.tally(gate, key)}{first.detector}: {first.reason}")
        if tolerates(result):
            report.outcome = "skipped"
            report.wasxfail = f"{reason} (the gate passes: {result.passed}/{result.n}, needs {result.required})"
        else:
            report.longrepr = self.reader.explain(judgement, result)


class Worker(Session):
    """An xdist worker. The controller owns everything that is shared."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self.run_dir = Path(config.workerinput["annie_run_dir"])  # type: ignore[attr-defined]


class Owner(Session):
    """The xdist controller or the only process, which owns the run."""

    def __init__(self, config: pytest.Config) -> None:
        from annie_eval.serving import Greeting, check

        spec = target_spec(config)
        # A server may take half a second to identify itself: request that while the profile is read.
        ask = spec.base_url is not None and spec.model_dir is None and not config.option.collectonly
        greeting = Greeting(spec) if ask else None
        super().__init__(config)
        from annie_eval.run.directory import RunOptions
        from annie_eval.run.lifecycle import Run

        if option(config, "concurrency") is not None and option(config, "concurrency") < 1:
            raise UsageError(f"--concurrency {option(config, 'concurrency')}: must be at least 1")
        if option(config, "probe-budget") < _LEAST_PROBED:
            raise UsageError(f"--probe-budget {option(config, 'probe-budget')}: must be at least {_LEAST_PROBED}")
        if option(config, "hardware") is not None:
            from annie_eval.timing import hardware

            hardware.choose(hardware.table(self.profile), option(config, "hardware"), (), local=True)
        check(spec, self.profile)
        # the shipped profiles are checked by the project's own tests
        if not is_builtin(self.profile) and not config.option.collectonly:
            from annie_eval.run.examples import check_examples

            check_examples(self.profile)
        self.run: Run | None = None
        self.verdict: RunVerdict | None = None
        self._comparison = self._compared_with(option(config, "baseline"))
        self._note: str | None = None
        self._live: LiveLine | PlainLines | None = None
        self._planned = False
        self._end_sigterm: Callable[[], None] = lambda: None
        self._failed: list[str] = []
        if config.option.collectonly:
            return
        options = RunOptions(
            runs_root=config.invocation_params.dir / RUNS,
            run_dir=option(config, "run-dir"),
            resume=option(config, "resume"),
            concurrency=option(config, "concurrency"),
            hardware=option(config, "hardware"),
            repeats=self.repeats,
            fail_fast=option(config, "fail-fast"),
        )
        self.run = Run(self.profile, spec, options)
        self.run_dir = self.run.dir
        self._prepared = PreparedReport(self.run_dir)
        self.run.open(self._progress, greeting)

    def _compared_with(self, baseline: str | None) -> Comparison | None:
        if baseline is None:
            return None
        from annie_eval.regression.compare_runs import Comparison

        return Comparison(baseline, self.config.invocation_params.dir / RUNS, self.profile)

    def _progress(self, line: str) -> None:
        """Show what the server does now: in the live line, or a new step as a plain line."""
        assert self.run is not None
        step, before = _SECONDS.sub("", line), self.run.progress.step
        self.run.progress.step = step
        if self._live is None:
            if self.config.getoption("capture") == "no":
                self._say(line, least=-1)
        elif step != before:
            self.run.progress.tell(line)

    def _say(self, line: str, least: int = 0) -> None:
        """Write a permanent line, unless pytest's verbosity is below `least`."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and self.config.getoption("verbose") >= least:
            if reporter._tw.width_of_current_line:
                reporter._tw.line()  # xdist prints the number of workers there
            reporter.write_line(printable(line))

    def _start_live_line(self, run: Run) -> None:
        from annie_eval.plugin import live_line
        from annie_eval.report import live

        verbose = self.config.getoption("verbose")
        if self.config.getoption("capture") == "no" or verbose < -1:
            return  # tests write to the terminal themselves, or output is suppressed

        def text() -> str:
            return live.line(run.progress, time.monotonic())

        def plain() -> str:  # with -q only until samples are judged, each of which pytest shows by a dot
            return "" if verbose < 0 and run.progress.stage == "samples" else text()

        self._live = live_line.start(self.config.pluginmanager.get_plugin("terminalreporter"), text, plain)
        if isinstance(self._live, live_line.PlainLines):
            run.progress.tell = self._live.tell
            if run.spec.model_dir is not None:
                step = run.progress.step.removeprefix("server: ") or "looking for vLLM"
                self._live.tell(printable(f"starting vLLM for {run.spec.model_dir}: {step}"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        if self.run is not None:
            self._say_plan(self.run)

    def _say_plan(self, run: Run) -> None:
        """Print the plan once, as soon as the samples of the collected tests are known; with xdist the workers know
        them first.
        """
        from annie_eval.report import live

        selection = run.store.meta("selection")
        if selection is None or self._planned:
            return
        self._planned = True
        rows, samples, probes = selection["perf"], len(run.store.wanted()), selection.get("state", ())
        run.progress.rows = len(rows)
        if rows or probes or selection["gates"]:
            self._say(live.plan_line(samples, run.concurrency, len(rows), run.earlier(), len(probes)), least=-1)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, config: pytest.Config) -> None:
        """Disable in the workers the plugins that pytest.ini disables here: workers do not read addopts, only these
        arguments.
        """
        params = config.invocation_params
        blocked = [f"-p{name}" for name in config.option.plugins if name.startswith("no:")]
        config.invocation_params = replace(params, args=(*params.args, *blocked))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["annie_run_dir"] = str(self.run_dir)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Connect a resumed run to its server before anything in the run is changed, and before workers read it."""
        if self.run is None:
            return
        self._end_sigterm = sigterm.interrupts()
        self._start_live_line(self.run)
        if not self.run.resuming:
            return
        try:
            with _terminal(self.config):
                self.run.wait_ready()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        except TargetError:
            pass  # raised again where the tests would begin

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Wait for the server between collection and the first test."""
        distributed = self.config.pluginmanager.has_plugin("dsession")
        if self.run is not None and (distributed or session.items) and not session.testsfailed:
            try:
                with _terminal(self.config):
                    target = self.run.wait_ready()
                if self._comparison is not None:
                    self._comparison.check(target.fingerprint())
            except UsageError as error:
                raise pytest.UsageError(str(error)) from None
            except TargetError as error:
                self._note = str(error)
                raise session.Failed("the server is not ready; see the end of this report") from None
            with _terminal(self.config):
                self._say_plan(self.run)
            self.run.start(self._prepared.start)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        if self.run is not None and exitstatus != pytest.ExitCode.USAGE_ERROR:
            self._conclude(self.run, session, exitstatus)
        if self._live is not None:
            self._live.close()
        yield
        if self.verdict is not None and self.verdict.regression.get("verdict") == "REFUSED":
            session.exitstatus = pytest.ExitCode.USAGE_ERROR  # last, because syrupy combines exit statuses bit by bit

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record failed tests that belong to no gate, because the gates' verdict does not include them."""
        if report.failed and not getattr(report, "annie_gate", True) and report.nodeid not in self._failed:
            self._failed.append(report.nodeid)

    def _conclude(self, run: Run, session: pytest.Session, exitstatus: int) -> None:
        selection = run.store.meta("selection") or {}
        # A session with only the user's own tests has no gate, and so only pytest's verdict.
        if any(selection.get(kind) for kind in ("gates", "perf", "state")) or self._note is not None:
            from annie_eval.report import junit

            if self._note is None and not (session.shouldfail or session.shouldstop) and exitstatus < 2:
                with suppress(KeyboardInterrupt):  # then answers are missing in the comparison, which it reports
                    run.wait_for_replicas()
            self.verdict = run.finish(self._note)
            if self.verdict.timings:
                from annie_eval.report.charts import rows_chart
                from annie_eval.timing.result import TimingResult

                rows_chart([TimingResult.from_dict(row) for row in self.verdict.timings], run.dir)
            if self._comparison is not None and self._note is None and "ended" not in self.verdict.selection:
                self.verdict = self._comparison.finish(run, self.verdict)
            from annie_eval.report import page

            before = None if self._comparison is None else self._comparison.baseline.run_data.dir
            with suppress(OSError, UsageError):  # a full disk, which the verdict has reported
                page.write(run.dir / "report.html", self.verdict, run.dir, before, self._prepared.finish())
            add_to_junit(self.config, junit.suite_properties(self.verdict))
            if self.verdict.verdict != "PASS" and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
            run.end()

    def pytest_terminal_summary(self, terminalreporter: Any, exitstatus: int) -> None:
        keyword = self.config.option.keyword
        if keyword and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            known = ", ".join(all_names(self.profile))
            terminalreporter.write_line(printable(f"-k {keyword}: no test has that name; the gates are {known}"))
        if self.verdict is None:
            return
        from annie_eval.report import terminal
        from annie_eval.run.directory import resume_command

        writer = terminalreporter._tw
        terminalreporter.section("release gate")
        for line in terminal.lines(
            self.verdict,
            color=writer.hasmarkup,
            width=writer.fullwidth,
            piped=not terminalreporter.isatty,
            failed=self._failed,
        ):
            terminalreporter.write_line(line)
        if self.run is not None and exitstatus == pytest.ExitCode.INTERRUPTED:
            again = resume_command(self.run.dir, self.run.store.all_meta())
            terminalreporter.write_line(f"interrupted; what is answered is kept. Continue with: {printable(again)}")

    def pytest_unconfigure(self) -> None:
        self._end_sigterm()
        if self._live is not None:
            self._live.close()
        if self.run is not None:
            self.run.close()
        # pytest collects garbage at the end; excluding objects that live until then saves a tenth of a second.
        gc.freeze()


def _terminal(config: pytest.Config) -> Any:
    """A context in which lines are written to the terminal immediately."""
    from contextlib import nullcontext

    capture = config.pluginmanager.get_plugin("capturemanager")
    return nullcontext() if capture is None else capture.global_and_fixture_disabled()


def add_to_junit(config: pytest.Config, properties: list[tuple[str, str]]) -> None:
    """Add the properties to the file that --junitxml writes in `pytest_sessionfinish`, if there is one."""
    # pytest's own way, the fixture record_testsuite_property, is only available in tests
    from _pytest.junitxml import xml_key

    log = config.stash.get(xml_key, None)
    if log is not None:
        for name, value in properties:
            log.add_global_property(name, value)
