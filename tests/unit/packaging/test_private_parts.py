"""The private parts of pytest and hypothesis that are used are there, and do what they are used for.

A new version may change them without a word. Where one of these tests fails, the line says what is gone and who uses
it; the version that has it no more is the newest one that pyproject.toml may allow.
"""

from __future__ import annotations

import ast
import inspect
import io
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
from _pytest._io.wcwidth import wcswidth
from _pytest.config.findpaths import determine_setup
from _pytest.junitxml import xml_key
from _pytest.mark.expression import Expression
from hypothesis import strategies
from hypothesis.internal.conjecture import providers

ROOT = Path(__file__).resolve().parents[3]
FILES = (*sorted((ROOT / "annie_eval").rglob("*.py")), ROOT / "annie_eval_pytest.py", ROOT / "conftest.py")

PARTS = {
    "_pytest.config.findpaths": ("determine_setup",),
    "_pytest.junitxml": ("xml_key",),
    "_pytest._io.wcwidth": ("wcswidth",),
    "_pytest.mark.expression": ("Expression",),
    "hypothesis.internal.conjecture.providers": ("AVAILABLE_PROVIDERS", "HypothesisProvider"),
}
"""What is imported from private modules."""
CONFIG = ("_rootpath", "_inipath", "_inicfg", "_inicache", "_configure_python_path")
"""Attributes of `pytest.Config`: annie_eval_pytest.py finds the configuration again."""
OTHERS = ("_confcutdir", "_last_failed_paths", "_tw", "_exit")
"""`_confcutdir` of the plugin manager, `_last_failed_paths` of --lf (see tests/unit/plugin/test_last_failed.py), `_tw`
of the terminal reporter; `os._exit` is Python's own and documented."""


def missing(thing: object, name: str, owner: str) -> str:
    """One line where a part is not there, else ""."""
    if hasattr(thing, name):
        return ""
    library = owner.partition(".")[0].lstrip("_")
    return f"{library} {version(library)}: {owner} has no {name}; what uses it: git grep {name} -- annie_eval '*.py'"


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module.startswith("_pytest") or node.module.startswith("hypothesis.internal"):
                yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("_pytest"))


def foreign(trees: list[ast.Module]) -> set[str]:
    """Private attributes that are used and that none of our files defines."""
    used, own = set(), set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            used.add(node.attr)
            if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self":
                own.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    return used - own


def test_these_are_all_private_parts_that_are_used() -> None:
    trees = [ast.parse(file.read_text()) for file in FILES]
    assert {each for tree in trees for each in imported(tree)} == {(m, n) for m, names in PARTS.items() for n in names}
    assert foreign(trees) == {*CONFIG, *OTHERS}


def test_what_is_gone_is_said_in_one_line() -> None:
    assert missing(SimpleNamespace(_inipath=1), "_inipath", "pytest.Config") == ""
    message = missing(SimpleNamespace(), "_inipath", "pytest.Config")
    assert message.startswith(f"pytest {pytest.__version__}: pytest.Config has no _inipath; ")


@pytest.mark.parametrize("name", CONFIG)
def test_the_configuration_of_pytest_has_the_parts_that_are_set_again(name: str, pytestconfig: pytest.Config) -> None:
    assert not missing(pytestconfig, name, "pytest.Config")


def test_they_are_what_the_public_names_show(pytestconfig: pytest.Config) -> None:
    private: Any = pytestconfig
    assert (private._rootpath, private._inipath) == (pytestconfig.rootpath, pytestconfig.inipath)
    assert "testpaths" in private._inicfg
    pytestconfig.getini("testpaths")
    assert private._inicache, "what getini remembers, and forgets where it is cleared"
    assert callable(private._configure_python_path)


def test_pytest_finds_its_configuration_for_a_command_line(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = here\n")
    wanted = {"inifile", "override_ini", "args", "rootdir_cmd_arg", "invocation_dir"}
    assert wanted <= inspect.signature(determine_setup).parameters.keys(), "pytest: other arguments of determine_setup"
    rootdir, inifile, found, *_ = determine_setup(
        inifile=None, override_ini=None, args=[], rootdir_cmd_arg=None, invocation_dir=tmp_path
    )
    assert (rootdir, inifile) == (tmp_path, tmp_path / "pytest.ini")
    assert "testpaths" in found


def test_the_parts_of_a_session_are_there(pytestconfig: pytest.Config) -> None:
    assert not missing(pytestconfig.pluginmanager, "_confcutdir", "pytest.PytestPluginManager")
    assert not missing(pytest.TerminalReporter, "section", "pytest.TerminalReporter")
    reporter = pytest.TerminalReporter(pytestconfig, io.StringIO())
    assert not missing(reporter, "_tw", "pytest.TerminalReporter")
    for name in ("_file", "line", "width_of_current_line", "hasmarkup", "fullwidth"):
        assert not missing(reporter._tw, name, "pytest.TerminalWriter")
    taken = io.StringIO()
    reporter._tw._file = taken
    reporter._tw.line("hello")
    assert taken.getvalue() == "hello\n", "the live line stands in for the writer's file"


def test_private_functions_of_pytest_do_what_they_are_used_for() -> None:
    assert (wcswidth("abc"), wcswidth("日本")) == (3, 4)
    assert Expression.compile("probe and not slow").evaluate(lambda name, /, **_: name == "probe")
    assert isinstance(xml_key, pytest.StashKey)


def test_hypothesis_draws_no_constants_of_loaded_modules() -> None:
    """Else a process that has imported other modules would draw other examples, and nobody would see it."""
    from annie_eval.probes import draw

    base = providers.HypothesisProvider
    assert not missing(base, "_maybe_draw_constant", "hypothesis.internal.conjecture.providers.HypothesisProvider")
    source = inspect.getsource(base)
    assert source.count("_maybe_draw_constant(") > 1, f"hypothesis {hypothesis.__version__} does not ask it any more"
    assert providers.AVAILABLE_PROVIDERS[draw._BACKEND] == f"{draw.__name__}.{draw._Provider.__name__}"
    drawn = draw.examples(strategies.integers(), 50, 1)
    assert len(drawn) > 10
    assert drawn == draw.examples(strategies.integers(), 50, 1)
