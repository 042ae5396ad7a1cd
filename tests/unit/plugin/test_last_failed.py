"""--lf selects failed samples of the gates also if a test of the user's own has failed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
MARKDOWN = "test_no_markdown.py::test_what_is_spoken_holds_no_markdown"


def test_failed_gates_and_own_tests_are_selected_together(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "theirs"\nversion = "1"\n')
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_ours.py").write_text("def test_a(ask):\n    pass\n\n\ndef test_b(ask):\n    pass\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        listed = collected(tmp_path, url)
        gate = next(line for line in listed if MARKDOWN in line)
        cache = tmp_path / ".pytest_cache" / "v" / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "lastfailed").write_text(json.dumps({gate: True, "tests/test_ours.py::test_b": True}))
        assert {*collected(tmp_path, url, "--lf")} == {gate, "tests/test_ours.py::test_b"}


def collected(folder: Path, url: str, *options: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "--base-url", url, "--profile", "annie-smol"]
    done = subprocess.run(
        [*command, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]
