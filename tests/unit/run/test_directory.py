"""Run directories: which one is used, and whether an earlier run is continued."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from annie_eval.cli.gate import pytest_arguments
from annie_eval.errors import UsageError
from annie_eval.profile.load import load
from annie_eval.run.directory import RunOptions, make_run_dir, resume_command
from annie_eval.run.lifecycle import Run
from annie_eval.run.store import Store
from annie_eval.serving import TargetSpec


def made(path: Path | None, *, resume: bool = False, root: Path = Path("runs")) -> tuple[Path, bool]:
    return make_run_dir(load("annie"), RunOptions(root, path, resume))


def test_a_run_that_is_there_is_continued_only_where_asked(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert made(run, resume=True) == (run, False), "nothing was written yet: there is nothing to continue"
    Store(run, create=True).close()
    assert made(run, resume=True) == (run, True)
    with pytest.raises(UsageError, match="holds a run already; add --resume"):
        made(run)


def test_what_is_no_run_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("")
    for path, message in (("file", "not a directory"), ("full", "not empty and no run")):
        for resume in (False, True):
            with pytest.raises(UsageError, match=message):
                made(tmp_path / path, resume=resume)
    with pytest.raises(UsageError, match="--resume needs --run-dir DIR"):
        made(None, resume=True)
    first, second = (made(None, root=tmp_path / "runs")[0] for _ in range(2))
    assert first != second
    assert first.parent == second.parent == tmp_path / "runs"


def test_a_resumed_run_is_of_the_same_target_and_profile(tmp_path: Path) -> None:
    def begin(url: str, profile: str = "annie", *, resume: bool = True) -> bool:
        run = Run(load(profile), TargetSpec(base_url=url), RunOptions(tmp_path / "runs", tmp_path / "run", resume))
        try:
            return run.resuming
        finally:
            run.close()

    assert not begin("http://127.0.0.1:9/v1", resume=False)
    assert begin("http://127.0.0.1:9")
    for url, profile, message in (
        ("http://127.0.0.1:8", "annie", "target was http://127.0.0.1:9/v1, but is http://127.0.0.1:8"),
        ("http://127.0.0.1:9", "annie-smol", "profile was annie, but is annie-smol"),
    ):
        with pytest.raises(UsageError, match=message):
            begin(url, profile)


@pytest.mark.parametrize(
    ("facts", "command"),
    [
        (
            {"identity": {"target": "http://a:1/v1 http://b:2/v1", "profile": "annie", "hardware": "h200"}},
            "--base-url http://a:1/v1 --base-url http://b:2/v1 --profile annie --hardware h200",
        ),
        (
            {"identity": {"target": "/models/my model", "profile": "desk"}, "profile_path": "/home/desk.toml"},
            "--model-dir '/models/my model' --profile /home/desk.toml",
        ),
    ],
)
def test_the_command_that_continues_a_run_has_its_target_and_profile(facts: dict[str, Any], command: str) -> None:
    found = resume_command(Path("runs/a run"), facts)
    assert found == f"annie-eval gate {command} --run-dir 'runs/a run' --resume"
    assert pytest_arguments(shlex.split(found)[2:])[0] == "-q"
