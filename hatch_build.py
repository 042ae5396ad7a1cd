"""Build hooks: the gate's tests and the documents in the wheel, and the project's URLs.

An editable install uses the tree's tests and documents.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


class Resources(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """Maps `tests/behavior` and `tests/perf` to `annie_eval/gate_tests`, and `docs/*.md` to `annie_eval/docs`.

    The log of experiments is left out. See annie_eval.resources.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            for name in ("behavior", "perf"):
                build_data["force_include"][f"tests/{name}"] = f"annie_eval/gate_tests/{name}"
            for file in Path(self.root, "docs").glob("*.md"):
                if file.name != "log.md":
                    build_data["force_include"][f"docs/{file.name}"] = f"annie_eval/docs/{file.name}"


class ProjectUrls(MetadataHookInterface):  # type: ignore[misc,unused-ignore]
    """Sets the project's URLs to the repository that is built: of the CI job, else of git's remote `origin`."""

    def update(self, metadata: dict[str, Any]) -> None:
        home = _repository(self.root)
        pages = {
            "Repository": "",
            "Documentation": "/tree/main/docs",
            "Changelog": "/blob/main/CHANGELOG.md",
            "Issues": "/issues",
        }
        metadata["urls"] = {name: home + page for name, page in pages.items()} if home else {}


def _repository(root: str) -> str:
    """The web address of the repository; "" where it is only on this machine."""
    if "GITHUB_REPOSITORY" in os.environ:
        return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
    try:
        command = ["git", "-C", root, "remote", "get-url", "origin"]
        remote = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
    found = re.fullmatch(
        r"(?:https://(?:[^@/]+@)?|(?:ssh://)?git@)([\w.-]+\.[a-z]+)[:/]([\w./-]+?)(?:\.git)?/?", remote
    )
    return f"https://{found[1]}/{found[2]}" if found else ""
