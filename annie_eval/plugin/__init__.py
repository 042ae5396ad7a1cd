"""pytest glue: options, markers, fixtures and hooks of the release gate. No logic of its own.

Loaded by the entry point, `annie_eval_pytest`, where a target is named; other suites in the same environment do not
see it. Loaded otherwise (`-p annie_eval.plugin`) and without a target it does nothing.

Under xdist the controller owns the run: directory, server and sampler. Workers write what their tests want into the
run's store and read judgements out of it.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from annie_eval.errors import TargetError, UsageError
from annie_eval.gates.repeats import Repeats, keys_of_round
from annie_eval.plugin import collection
from annie_eval.plugin import on_demand as asked
from annie_eval.plugin.options import target_spec
from annie_eval.profile.load import is_builtin, load
from annie_eval.profile.types import Profile
from annie_eval.run.reader import Judged, Reader, SampleBroken
from annie_eval.run.runs import RUNS
from annie_eval_pytest import has_target, option

if TYPE_CHECKING:
    from annie_eval.gates.decide import RunVerdict
    from annie_eval.regression.compare_runs import Comparison
    from annie_eval.run.lifecycle import Run
    from annie_eval.timing import TimingResult

GATE, PERF = "gate", "perf"
# Samples that a test wants without being judged by a gate.
WANTED = pytest.StashKey[list[str]]()
_LEAST_PROBED = 20  # prompts: fewer find little, and leave nothing for shrinking


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not has_target(config):
        return
    config.addinivalue_line("markers", f'{GATE}(name): judged by this gate of the profile; "*" means all others')
    config.addinivalue_line("markers", f"{PERF}(name): judged by this timing gate")
    for mark in asked.ON_DEMAND:
        config.addinivalue_line("markers", f"{mark}: runs only where -m asks for it")
    alone = collection.choose(config)
    if alone and not any(asked.asks_for(config.option.markexpr, mark) for mark in asked.ON_DEMAND):
        # The table at the end has each miss in one line, and each cause of an error once.
        config.option.tbstyle = "no" if config.option.tbstyle == "auto" else config.option.tbstyle
        config.option.reportchars = "" if config.option.reportchars == "fE" else config.option.reportchars
    try:
        on_demand = asked.asked(config)
        session: _Session = _Worker(config) if hasattr(config, "workerinput") else _Owner(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(collection)
    config.pluginmanager.register(session, "annie-session")
    asked.load(config, on_demand)
    # Its only work in a session without property-based tests is an import that costs a fifth of a second at the end.
    if alone and asked.PROBE not in on_demand and config.pluginmanager.has_plugin("hypothesispytest"):
        config.pluginmanager.unregister(name="hypothesispytest")


def _samples_of(profile: Profile, name: str, path: Path) -> list[tuple[str, str]]:
    """(gate, sample key) of the samples that a test marked with this gate name, in the file `path`, is run on."""
    if name == "*":
        named = {
            found
            for file in path.parent.glob("test_*.py")
            for found in re.findall(r'mark\.gate\("([\w-]+)"\)', file.read_text())
        }
        gates = [gate for gate in profile.gates.values() if gate.name not in named]
    else:
        gates = [profile.gates[name]] if name in profile.gates else []
    return [
        (gate.name, key)
        for gate in gates
        for scenario in profile.gate_scenarios(gate)
        for key in scenario.sample_keys()
    ]


class _Session:
    """What every pytest process of a gated session does."""

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
        """A test of a gate that the profile does not have is no test of this session."""
        marks = [mark for mark in getattr(obj, "pytestmark", ()) if mark.name == GATE]
        skipped = bool(marks) and not _samples_of(self.profile, marks[0].args[0], collector.path)
        made = yield
        return [] if skipped else made

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        marker = metafunc.definition.get_closest_marker(GATE)
        if marker is None or "judged" not in metafunc.fixturenames:
            return
        name = marker.args[0]
        pairs = _samples_of(self.profile, name, metafunc.definition.path)
        ids = [key if name != "*" else f"{gate}:{key}" for gate, key in pairs]
        metafunc.parametrize("judged", pairs, ids=ids, indirect=True)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, None, None]:
        """Timing goes first, on a quiet server; and only where somebody knows which limits hold.

        A gate that guessed the hardware would fail good servers. Asked for alone, timing is measured all the same.
        """
        yield  # -k, -m and --lf have their say first
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
        """Write what the selected tests want into the store."""
        if self.config.option.collectonly:
            return
        gates: dict[str, list[str]] = {}
        perf: dict[str, None] = {}
        for item in session.items:
            if (marker := item.get_closest_marker(PERF)) is not None:
                perf[marker.args[0]] = None
            if (pair := _sample_of(item)) is not None:
                gates.setdefault(pair[0], []).append(pair[1])
        # Round by round, so that a run that is cut short has asked everything before it has asked anything twice.
        rounds = [
            {gate: keys_of_round(self.profile, keys, turn) for gate, keys in gates.items()}
            for turn in range(1, self.repeats.first + 1)
        ]
        wanted = dict.fromkeys(key for asked in rounds for keys in asked.values() for key in keys)
        wanted |= dict.fromkeys(key for item in session.items for key in item.stash.get(WANTED, ()))
        selected = {gate: [key for asked in rounds for key in asked[gate]] for gate in gates}
        self.reader.store.select(selected, list(perf), list(wanted))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        pair = _sample_of(item)
        if pair is not None and report.when == "call":
            self._report(item, report, *pair)
        return report

    def _report(self, item: pytest.Item, report: pytest.TestReport, gate: str, key: str) -> None:
        from annie_eval.gates.decide import tolerates

        judgement = self.reader.judgement(gate, key)
        if report.outcome != "failed" or not judgement.findings:
            return
        # The verdict needs every sample of the gate, so only a miss waits for them.
        result = self.reader.gate_result(gate)
        first = judgement.findings[0]
        reason = f"{gate}: {self.reader.tally(gate, key)}{first.detector}: {first.reason}"
        if tolerates(result):
            report.outcome = "skipped"
            report.wasxfail = f"{reason} (the gate holds: {result.passed}/{result.n}, needs {result.required})"
        else:
            report.longrepr = self.reader.explain(judgement, result)


class _Worker(_Session):
    """An xdist worker: everything that is shared belongs to the controller."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self.run_dir = Path(config.workerinput["annie_run_dir"])  # type: ignore[attr-defined]


class _Owner(_Session):
    """The xdist controller, or the only process: it owns the run."""

    def __init__(self, config: pytest.Config) -> None:
        from annie_eval.serving import Greeting, check

        spec = target_spec(config)
        # A server may take half a second to say who it is: let it, while the profile is read.
        ask = spec.base_url is not None and spec.model_dir is None and not config.option.collectonly
        greeting = Greeting(spec) if ask else None
        super().__init__(config)
        from annie_eval.run.lifecycle import Run, RunOptions

        if option(config, "concurrency") is not None and option(config, "concurrency") < 1:
            raise UsageError(f"--concurrency {option(config, 'concurrency')}: must be at least 1")
        if option(config, "probe-budget") < _LEAST_PROBED:
            raise UsageError(f"--probe-budget {option(config, 'probe-budget')}: must be at least {_LEAST_PROBED}")
        if option(config, "hardware") is not None:
            from annie_eval.timing import hardware

            hardware.choose(hardware.table(self.profile), option(config, "hardware"), (), local=True)
        check(spec, self.profile)
        if not is_builtin(self.profile) and not config.option.collectonly:  # those are held by the project's own tests
            from annie_eval.run.examples import check_examples

            check_examples(self.profile)
        self.run: Run | None = None
        self.verdict: RunVerdict | None = None
        self._comparison = self._compared_with(option(config, "baseline"))
        self._note: str | None = None
        if config.option.collectonly:
            return
        options = RunOptions(
            runs_root=config.invocation_params.dir / RUNS,
            run_dir=option(config, "run-dir"),
            resume=option(config, "resume"),
            concurrency=option(config, "concurrency"),
            hardware=option(config, "hardware"),
            repeats=self.repeats,
        )
        self.run = Run(self.profile, spec, options)
        self.run_dir = self.run.dir
        self.run.open(self._progress, greeting)

    def _compared_with(self, baseline: str | None) -> Comparison | None:
        if baseline is None:
            return None
        from annie_eval.regression.compare_runs import Comparison

        return Comparison(baseline, self.config.invocation_params.dir / RUNS, self.profile)

    def _progress(self, line: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or self.config.getoption("verbose") < 0:
            return
        if capture is not None and capture.is_globally_capturing():
            return  # pytest holds the terminal now; the line is in the server's log
        reporter.write_line(line)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, config: pytest.Config) -> None:
        """Keep out of the workers what pytest.ini keeps out of here: they read no addopts, only these arguments."""
        params = config.invocation_params
        blocked = [f"-p{name}" for name in config.option.plugins if name.startswith("no:")]
        config.invocation_params = replace(params, args=(*params.args, *blocked))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["annie_run_dir"] = str(self.run_dir)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """A run that is resumed meets its server before anything of it is touched, and before workers read it."""
        if self.run is None or not self.run.resuming:
            return
        try:
            with _terminal(self.config):
                self.run.wait_ready()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        except TargetError:
            pass  # said again where the tests would begin

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
            self.run.start()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        if self.run is not None and exitstatus != pytest.ExitCode.USAGE_ERROR:
            self._conclude(self.run, session, exitstatus)
        yield
        if self.verdict is not None and self.verdict.regression.get("verdict") == "REFUSED":
            session.exitstatus = pytest.ExitCode.USAGE_ERROR  # last, since syrupy joins statuses bit by bit

    def _conclude(self, run: Run, session: pytest.Session, exitstatus: int) -> None:
        selection = run.store.meta("selection") or {}
        # A session of the user's own tests alone has no gate, and so no verdict but pytest's.
        if selection.get("gates") or selection.get("perf") or self._note is not None:
            from annie_eval.report import junit

            self.verdict = run.finish(self._note)
            if self._comparison is not None and self._note is None:
                self.verdict = self._comparison.finish(run, self.verdict)
            junit.add_suite_properties(self.config, self.verdict)
            if self.verdict.verdict != "PASS" and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
            run.end()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.verdict is None:
            return
        from annie_eval.report import terminal

        writer = terminalreporter._tw
        terminalreporter.section("release gate")
        for line in terminal.lines(self.verdict, color=writer.hasmarkup, width=writer.fullwidth):
            terminalreporter.write_line(line)

    def pytest_unconfigure(self) -> None:
        if self.run is not None:
            self.run.close()
        # pytest collects garbage on its way out; what lives until the end need not be walked (a tenth of a second).
        gc.freeze()


def _terminal(config: pytest.Config) -> Any:
    """A context in which lines reach the terminal at once."""
    from contextlib import nullcontext

    capture = config.pluginmanager.get_plugin("capturemanager")
    return nullcontext() if capture is None else capture.global_and_fixture_disabled()


def _sample_of(item: pytest.Item) -> tuple[str, str] | None:
    """(gate, sample key) that a test is run on; None for a test without one."""
    callspec = getattr(item, "callspec", None)
    if item.get_closest_marker(GATE) is None or callspec is None or "judged" not in callspec.params:
        return None
    pair = callspec.params["judged"]
    return pair if isinstance(pair, tuple) else None  # pytest's own mark stands for an empty list of samples


# Fixtures.


def _session(request: pytest.FixtureRequest) -> _Session:
    session = request.config.pluginmanager.get_plugin("annie-session")
    if session is None:
        pytest.skip("no target: give --model-dir or --base-url")
    assert isinstance(session, _Session)
    return session


@pytest.fixture
def judged(request: pytest.FixtureRequest) -> Judged:
    """The sample that this test is about, once it has been answered and judged."""
    from annie_eval.report import junit

    session = _session(request)
    gate, key = request.param
    try:
        judgement = session.reader.judgement(gate, key)
        request.node.user_properties += junit.case_properties(judgement)
        return session.reader.judged(gate, key)
    except SampleBroken as error:
        pytest.fail(f"{key}: {error}", pytrace=False)


@pytest.fixture
def timing(request: pytest.FixtureRequest) -> TimingResult:
    """The row that the timing gate of this test measured, out of the run's store."""
    from annie_eval.timing import TimingResult

    marker = request.node.get_closest_marker(PERF)
    try:
        return TimingResult.from_dict(_session(request).reader.timing(marker.args[0]))
    except SampleBroken as error:
        pytest.fail(str(error), pytrace=False)
