"""Collects the tests of a session with a target: the gates, and the user's tests that use their fixtures."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Generator, Iterable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from annie_eval.plugin import on_demand
from annie_eval.resources import GATE_TESTS, INSTALLED

FIXTURES = frozenset({"ask", "endpoint"})
"""A user's test with one of these fixtures is run beside the gates."""
_USES_FIXTURES = re.compile(rb"\b(?:ask|endpoint)\b")
_OWN = pytest.StashKey[Iterable[Path]]()


def choose(config: pytest.Config) -> bool:
    """Collect the gates and the user's tests, unless the command line names what to collect.

    The user's tests are those below `testpaths` (default: `tests`) that use `ask` or `endpoint`. Returns whether only
    the gates are collected.

    Raises:
        pytest.UsageError: `testpaths` names a directory around this package.
    """
    config.stash[_OWN] = []
    if config.args_source not in (config.ArgsSource.TESTPATHS, config.ArgsSource.INVOCATION_DIR):
        return False
    own = [] if config.rootpath == GATE_TESTS.parent else _own_tests(config)
    for path in own:
        # pytest would treat the gates as a part of it, and then skip them inside a directory such as .venv.
        if GATE_TESTS.is_relative_to((config.invocation_params.dir / path).resolve()):
            raise pytest.UsageError(
                f"{config.inipath}: testpaths names {path}, which contains annie-eval itself; name the "
                "directories that"
                " hold your tests"
            )
    config.stash[_OWN] = [config.invocation_params.dir / path for path in own]
    config.args = [str(GATE_TESTS / "perf"), str(GATE_TESTS / "behavior"), *own]
    if not own and not GATE_TESTS.is_relative_to(config.rootpath):
        # Otherwise pytest would list every directory above the gates, and load any conftest.py there.
        config.pluginmanager._confcutdir = GATE_TESTS
    return not own


def _own_tests(config: pytest.Config) -> list[str]:
    if config.args_source is config.ArgsSource.TESTPATHS:
        return list(config.args)
    project = config.inipath is not None and config.invocation_params.dir == config.rootpath
    return ["tests"] if project and (config.rootpath / "tests").is_dir() else []


def is_gate(path: Path) -> bool:
    return path.parent.parent == GATE_TESTS and path.parent.name in ("perf", "behavior")


@cache
def gate_module(path: Path) -> ModuleType:
    """A file of gates as a module with a unique name, because the user's suite may also have a test_brevity.py."""
    name = f"annie_eval.gate_tests.{path.parent.name}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class GateModule(pytest.Module):
    """A file of gates, read independently of the import mode and naming patterns of the user's suite."""

    def _getobj(self) -> ModuleType:
        return gate_module(self.path)

    def funcnamefilter(self, name: str) -> bool:
        return name.startswith("test_")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let --lf read the gates: it skips files without a failed test, and finds those below its root directory only."""
    config = session.config
    if config.getoption("lf", False) and (last_failed := config.pluginmanager.get_plugin("lfplugin")) is not None:
        last_failed._last_failed_paths.update(GATE_TESTS.glob("*/test_*.py"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Collect a file of gates only as gates: no doctests, and nothing that other plugins would add."""
    found = yield
    if not is_gate(file_path):
        return found
    return [GateModule.from_parent(parent, path=file_path)] if file_path.match("test_*.py") else []


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Treat the package around an installed wheel's gates as a plain directory; otherwise pytest would import it."""
    return pytest.Dir.from_parent(parent, path=path) if INSTALLED and path == GATE_TESTS.parent else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if on_demand.ignores(config, collection_path, GATE_TESTS / "behavior"):
        return True
    if is_gate(collection_path) and not (config.getoption("ignore") or config.getoption("ignore_glob")):
        return False  # independent of any conftest.py or `testpaths` of a project around the gates
    if collection_path.suffix != ".py" or not _below(collection_path, config.stash[_OWN]):
        return None
    # Not imported, because the gate's environment may lack the dependencies of the user's other tests.
    conftests = (
        folder / "conftest.py" for folder in collection_path.parents if folder.is_relative_to(config.rootpath)
    )
    files = (collection_path, *(file for file in conftests if file.is_file()))
    return None if any(_USES_FIXTURES.search(file.read_bytes()) for file in files) else True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    own = config.stash[_OWN]

    def wanted(item: pytest.Item) -> bool:
        if _below(item.path, own) and not is_gate(item.path):
            return not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
        # A file named on the command line is always read.
        return not on_demand.ignores(config, item.path, GATE_TESTS / "behavior")

    dropped = [item for item in items if not wanted(item)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in set(dropped)]


def _below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
