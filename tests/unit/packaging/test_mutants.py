"""`make mutants` changes one place at a time in the judging code, and has tests for all of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks import mutants
from benchmarks.mutants import ROOT, Mutant

SOURCE = """\
def f(a: int = 1, *, deep: "list[int]" = None) -> bool:
    \"\"\"Not > this.\"\"\"
    if a < 2 and not deep:  # < and
        raise ValueError(f"{a + 1} is > 2")
    for each in deep:
        yield each
        continue
    return max(a, 1) if -a > 0.5 else 'é' == deep[0]
"""


def test_each_mutant_changes_one_place() -> None:
    made = {mutant.lines(SOURCE)[2] for mutant in mutants.mutants("f.py", SOURCE)}
    assert made == {
        'def f(a: int = 2, *, deep: "list[int]" = None) -> bool:',
        "if a <= 2 and not deep:  # < and",
        "if a < 3 and not deep:  # < and",
        "if a < 2 or not deep:  # < and",
        "if a < 2 and  deep:  # < and",
        "if not (a < 2 and not deep):  # < and",
        "yield from ()",
        "break",
        "return min(a, 1) if -a > 0.5 else 'é' == deep[0]",
        "return max(a, 2) if -a > 0.5 else 'é' == deep[0]",
        "return max(a, 1) if a > 0.5 else 'é' == deep[0]",
        "return max(a, 1) if -a >= 0.5 else 'é' == deep[0]",
        "return max(a, 1) if -a > 0.625 else 'é' == deep[0]",
        "return max(a, 1) if not (-a > 0.5) else 'é' == deep[0]",
        "return max(a, 1) if -a > 0.5 else 'é' != deep[0]",
        "return max(a, 1) if -a > 0.5 else 'é' == deep[1]",
    }


def test_every_module_that_decides_has_tests_and_mutants_that_are_python() -> None:
    files = mutants.decides()
    assert {"annie_eval/gates/decide.py", "annie_eval/stats/paired.py", "quant/preflight/scales.py"} <= set(files)
    for file in files:
        assert all((ROOT / test).exists() for test in mutants.tests_of(file)), file
    for mutant in mutants.sample(1, 40):
        source = (ROOT / mutant.file).read_text()
        assert ast.dump(ast.parse(mutant.apply(source))) != ast.dump(ast.parse(source)), mutant
    assert mutants.sample(1, 40) == mutants.sample(1, 40) != mutants.sample(2, 40)


def test_a_mutant_that_a_test_sees_is_told_from_one_that_none_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "def f(a: int) -> bool:\n    return a > 1\n"
    (tmp_path / "made.py").write_text(source)
    (tmp_path / "test_made.py").write_text("from made import f\n\n\ndef test_f() -> None:\n    assert f(3)\n")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "tests_of", lambda _: ["test_made.py"])
    at = source.index(">", source.index("return"))
    seen = mutants.run(Mutant("made.py", at, at + 1, "<"), tmp_path)
    alive = mutants.run(Mutant("made.py", at, at + 1, ">="), tmp_path)
    broken = mutants.run(Mutant("made.py", at, at + 1, "> >"), tmp_path)
    assert (seen.seen, alive.seen, alive.by, broken.seen) == (True, False, "all passed", True)
    assert (tmp_path / "made.py").read_text() == source, "the copy is restored"
