"""The digest of the judging code includes every file, and refuses to leave one out."""

from pathlib import Path

import pytest

from annie_eval.run.detector_digest import digest


def test_a_change_in_a_nested_folder_or_in_a_data_file_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "detectors" / "english").mkdir(parents=True)
    (tmp_path / "detectors" / "english" / "units.py").write_text("a = 1")
    before = digest(tmp_path, ("detectors/**/*",))
    (tmp_path / "detectors" / "english" / "cues.toml").write_text("weight = 1")
    with_data = digest(tmp_path, ("detectors/**/*",))
    (tmp_path / "detectors" / "english" / "units.py").write_text("a = 2")
    assert len({before, with_data, digest(tmp_path, ("detectors/**/*",))}) == 3


def test_moving_a_file_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.py").write_text("a = 1")
    before = digest(tmp_path, ("**/*.py",))
    (tmp_path / "a" / "x.py").rename(tmp_path / "x.py")
    assert digest(tmp_path, ("**/*.py",)) != before


def test_a_pattern_without_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wire.py").write_text("")
    with pytest.raises(FileNotFoundError, match=r"'judge\.py'"):
        digest(tmp_path, ("wire.py", "judge.py"))


def test_the_digest_of_this_installation_is_there() -> None:
    assert len(digest()) == 64
