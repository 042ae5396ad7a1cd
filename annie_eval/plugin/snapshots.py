"""pytest fixtures of the snapshots, and the report of unused ones. Loaded only if `-m` selects snapshots.

Unused snapshots are found here and not by syrupy, because the profile defines which scenarios exist, independent of
the selection and of the worker that ran them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from annie_eval.plugin.on_demand import SNAPSHOT
from annie_eval.plugin.selection import WANTED
from annie_eval.plugin.snapshot_files import PLACE, SignatureExtension, home
from annie_eval.run.reader import Reader, SampleBroken
from annie_eval.snapshots.identity import identity
from annie_eval.snapshots.signature import dumps
from annie_eval.snapshots.signature import signature as signature_of
from annie_eval.text import printable

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from annie_eval.profile.types import Profile


_REPORT = pytest.StashKey[list[str]]()


def _reader(config: pytest.Config) -> Reader:
    session = config.pluginmanager.get_plugin("annie-session")
    if session is None:
        pytest.skip("no target: give --model-dir or --base-url")
    reader: Reader = session.reader
    return reader


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    session = metafunc.config.pluginmanager.get_plugin("annie-session")
    if "signature" in metafunc.fixturenames and session is not None:
        ids = [scenario.id for scenario in session.profile.scenarios]
        metafunc.parametrize("signature", ids, ids=ids, indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    callspec = getattr(item, "callspec", None)
    if item.get_closest_marker(SNAPSHOT) is not None and callspec is not None and "signature" in callspec.params:
        name = callspec.params["signature"]
        scenario = next(one for one in _profile(item.config).scenarios if one.id == name)
        item.stash[WANTED] = list(scenario.sample_keys())


@pytest.fixture
def signature(request: pytest.FixtureRequest) -> str:
    """The signatures of all variants of a scenario, as JSON."""
    reader = _reader(request.config)
    endpoint = reader.endpoint(None)
    place = reader.profile.name, identity(endpoint.fingerprint, endpoint.served_model), request.param
    request.node.stash[PLACE] = place
    options = request.config.option
    if (
        not options.update_snapshots
        and not (home(request.config) / options.snapshot_dirname / Path(*place[:2])).is_dir()
    ):
        pytest.skip("no snapshot of this model is recorded; --snapshot-update records it")
    try:
        samples = {key: reader.sample(key) for key in request.node.stash[WANTED]}
    except SampleBroken as error:
        pytest.fail(f"{request.param}: {error}", pytrace=False)
    return dumps({sample.variant.label: signature_of(sample) for sample in samples.values()})


@pytest.fixture
def recorded(signature: str, snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """The recorded signatures of this model; `--snapshot-update` records them."""
    return snapshot.use_extension(SignatureExtension)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # syrupy's own search would treat files of other models as unused and remove them.
    config.option.default_extension = f"{SignatureExtension.__module__}.{SignatureExtension.__name__}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    config.stash[_REPORT] = lines = []
    if (folder := _folder(config)) is None:
        return
    known = {scenario.id for scenario in _profile(config).scenarios}
    unused = sorted(path for path in folder.glob("*.json") if path.stem not in known)
    lines.append(f"of this model: {folder}")
    if not folder.is_dir():
        lines.append("none are recorded; --snapshot-update records them")
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if not unused:
        return
    update = config.option.update_snapshots
    names = printable(", ".join(path.stem for path in unused))
    lines.append(f"{'removed' if update else 'unused'}: {len(unused)} of scenarios that no longer exist: {names}")
    if update:
        for path in unused:
            path.unlink()
    elif not config.option.warn_unused_snapshots:
        lines.append("remove them with --snapshot-update, or accept them with --snapshot-warn-unused")
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if lines := config.stash.get(_REPORT, []):
        terminalreporter.section("snapshots")
        for line in lines:
            terminalreporter.write_line(line)


def _profile(config: pytest.Config) -> Profile:
    profile: Profile = config.pluginmanager.get_plugin("annie-session").profile  # type: ignore[union-attr]
    return profile


def _folder(config: pytest.Config) -> Path | None:
    """The directory of the snapshots of this run's model; None if no server was reached."""
    run = getattr(config.pluginmanager.get_plugin("annie-session"), "run", None)
    facts = None if run is None else run.store.meta("target")
    if run is None or facts is None:
        return None
    model = identity(run.store.meta("fingerprint", {}), facts["served_model"])
    folder: Path = home(config) / config.option.snapshot_dirname / _profile(config).name / model
    return folder
