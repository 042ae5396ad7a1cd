"""`[tool.annie-eval]` of the user's pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from annie_eval.errors import UsageError
from annie_eval.profile import defaults


def written(folder: Path, text: str) -> Path:
    file = folder / "pyproject.toml"
    file.write_text(text)
    return file


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '[tool.annie-eval]\nprofile = "gate/mine.toml"\nrun-dir = "runs/now"\nvllm-python = "/opt/v/bin/python"\n'
        'base-url = ["http://a:1", "http://b:1"]\nconcurrency = 4\nhardware = "h100"\nserved-model = "annie"\n',
    )
    assert defaults.read(file) == {
        "profile": str(tmp_path / "gate" / "mine.toml"),
        "run-dir": tmp_path / "runs" / "now",
        "vllm-python": Path("/opt/v/bin/python"),
        "base-url": ["http://a:1", "http://b:1"],
        "concurrency": 4,
        "hardware": "h100",
        "served-model": "annie",
    }


def test_a_profile_that_is_built_in_keeps_its_name(tmp_path: Path) -> None:
    assert defaults.read(written(tmp_path, '[tool.annie-eval]\nprofile = "annie-strict"\n')) == {
        "profile": "annie-strict"
    }


def test_one_url_is_a_list_of_one(tmp_path: Path) -> None:
    assert defaults.read(written(tmp_path, '[tool.annie-eval]\nbase-url = "http://a:1"\n')) == {
        "base-url": ["http://a:1"]
    }


@pytest.mark.parametrize("text", ["", "[tool.other]\nx = 1\n", "[project]\nname = 'annie-eval'\n"])
def test_without_the_table_there_are_none(text: str, tmp_path: Path) -> None:
    assert defaults.read(written(tmp_path, text)) == {}


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    written(tmp_path, '[tool.annie-eval]\nhardware = "cpu"\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert defaults.find(inner) == {"hardware": "cpu"}
    written(inner.parent, "")
    assert defaults.find(inner) == {}


@pytest.mark.parametrize("table", ["annie-eval = 3", "annie-eval = []"])
def test_a_table_that_is_none_is_refused(table: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be a table"):
        defaults.read(written(tmp_path, f"[tool]\n{table}\n"))


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pyproject\.toml: cannot be read as TOML"):
        defaults.read(written(tmp_path, "[tool.annie-eval\n"))
