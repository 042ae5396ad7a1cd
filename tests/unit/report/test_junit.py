"""--junitxml has the gate and the reason of each test, and the verdict of the run."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import RunVerdict
from annie_eval.gates.judgement import Judgement
from annie_eval.report import junit


def test_a_miss_names_gate_sample_and_every_reason() -> None:
    findings = (Finding("markdown", "a bullet list", "- milk"), Finding("markdown", "bold text"))
    assert junit.case_properties(Judgement("no_markdown", "m-1.stream.off", findings)) == [
        ("gate", "no_markdown"),
        ("sample", "m-1.stream.off"),
        ("reason", "markdown: a bullet list: - milk"),
        ("reason", "markdown: bold text"),
    ]


def test_a_broken_sample_names_its_error_and_a_good_one_has_no_reason() -> None:
    assert junit.case_properties(Judgement("g", "s", error="HTTP 500")) == [
        ("gate", "g"),
        ("sample", "s"),
        ("error", "HTTP 500"),
    ]
    assert junit.case_properties(Judgement("g", "s")) == [("gate", "g"), ("sample", "s")]


def test_suite_has_the_verdict_and_every_gate_and_timing(failed: RunVerdict) -> None:
    properties = dict(junit.suite_properties(failed))
    assert properties["verdict"] == "FAIL"
    assert properties["summary"] == "FAIL (1 of 7 gates failed: no_markdown 7/15, needs 12)"
    assert properties["gate.no_markdown"] == "FAIL: 7/15 passed, needs 12/15, interval 21-73%"
    assert properties["gate.wire_integrity"].endswith(", 3 broke")
    assert properties["timing.decode"] == "INCONCLUSIVE: no usage"


@pytest.mark.parametrize("extra", [[], ["-n", "1"]])
def test_they_arrive_in_the_file(
    extra: list[str], failed: RunVerdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a real pytest, with text that XML cannot hold."""
    hostile = "\x1b[31m\x00 <b>&\udc80"
    (tmp_path / "conftest.py").write_text(
        f"""
import pytest
from annie_eval.gates.decide import RunVerdict
from annie_eval.plugin.session import add_to_junit
from annie_eval.report import junit
from annie_eval.detectors.finding import Finding
from annie_eval.gates.judgement import Judgement

def pytest_runtest_makereport(item, call):
    if call.when == "call":
        item.user_properties += junit.case_properties(Judgement("g", "s", (Finding("d", {hostile!r}),)))

@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        add_to_junit(session.config, junit.suite_properties(RunVerdict("FAIL", run_dir={hostile!r})))
"""
    )
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "--junitxml=out.xml"]
    done = subprocess.run([*command, *extra], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    suite = ET.parse(tmp_path / "out.xml").getroot().find("testsuite")
    assert suite is not None
    of_suite = {each.get("name"): each.get("value") for each in suite.findall("properties/property")}
    of_case = {each.get("name"): each.get("value") for each in suite.findall("testcase/properties/property")}
    assert of_suite["verdict"] == "FAIL"
    assert of_suite["run"] == r"\x1b[31m\x00 <b>&\udc80"
    assert of_case["gate"] == "g"
    assert of_case["reason"] == r"d: \x1b[31m\x00 <b>&\udc80"
