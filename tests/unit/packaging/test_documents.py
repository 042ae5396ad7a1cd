"""The documents: all are in the index, all links work, and generated ones are up to date."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

from annie_eval.run.reader import Asker, EndpointInfo
from tests.support import troubleshooting

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
_LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)")


def links(file: Path) -> list[tuple[Path, str]]:
    """(file, anchor) of every link to a place in the repository."""
    text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [((file.parent / path).resolve() if path else file, anchor) for path, anchor in _LINK.findall(text)]


def anchors(file: Path) -> set[str]:
    """The anchors of a document's headings."""
    heads = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_every_document_is_in_the_index() -> None:
    listed = {file for file, _ in links(DOCS / "README.md")}
    assert {file for file in DOCS.glob("*.md") if file.name != "README.md"} - listed == set()


@pytest.mark.parametrize("file", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda file: str(file.name))
def test_no_link_leads_nowhere(file: Path) -> None:
    for target, anchor in links(file):
        assert target.exists(), target
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{target.name}#{anchor}"


def test_messages_name_the_command_that_prints_a_document() -> None:
    """A user with the wheel alone has no directory docs."""
    told = [
        f"{path.relative_to(ROOT)}: {node.value}"
        for package in ("annie_eval", "annie_data", "quant")
        for path in (ROOT / package).rglob("*.py")
        for parent in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if not isinstance(parent, ast.Expr)  # a docstring
        for node in ast.iter_child_nodes(parent)
        if isinstance(node, ast.Constant)
        if isinstance(node.value, str) and re.search(r"docs/[\w-]+\.md", node.value)
    ]
    assert told == []


def test_troubleshooting_is_current() -> None:
    assert troubleshooting.FILE.read_text(encoding="utf-8") == troubleshooting.page(), (
        "docs/troubleshooting.md is out of date: run python -m tests.support.troubleshooting"
    )


def test_a_changed_cause_changes_troubleshooting(monkeypatch: pytest.MonkeyPatch) -> None:
    from annie_eval.serving import log_diagnosis

    first, *rest = troubleshooting.RULES
    changed = (replace(first, fix="turn it off and on again"), *rest)
    monkeypatch.setattr(troubleshooting, "RULES", changed)
    monkeypatch.setattr(log_diagnosis, "RULES", changed)
    assert "turn it off and on again" in troubleshooting.page()


def test_the_documents_name_every_attribute_of_endpoint_and_argument_of_ask() -> None:
    known = {field.name for field in dataclasses.fields(EndpointInfo)} | {"client"}
    section = (ROOT / "docs/profiles.md").read_text().partition("## Tests of your own")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `endpoint\.(\w+)` \|", section, re.M)) == known
    readme = (ROOT / "README.md").read_text().partition("`endpoint` has")[2].partition(".\n")[0]
    assert known <= set(re.findall(r"`(\w+)`", readme))
    (row,) = [line for line in section.splitlines() if line.startswith("| `ask(")]
    arguments = set(inspect.signature(Asker.__call__).parameters) - {"self", "prompt"}
    assert arguments <= set(re.findall(r"`(\w+)`", row))
