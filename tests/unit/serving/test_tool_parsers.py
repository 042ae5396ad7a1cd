"""A profile with tools and no tool parser is refused before a server starts, with the value that is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from annie_eval.cli import main
from annie_eval.errors import UsageError
from annie_eval.profile.load import load
from annie_eval.profile.types import Profile, Serving
from annie_eval.resources import DOCS
from annie_eval.serving import TargetSpec, check
from annie_eval.serving.tool_parsers import MARKS
from quant.export.serve_md import TOOL_PARSERS
from tests.servers.fault_server import FaultServer
from tests.servers.faults.transport import _error, _status

REFUSES = r"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"
BOTH = ("--enable-auto-tool-choice", "--tool-call-parser=pythonic")


@pytest.fixture
def bare(profile: Profile) -> Profile:
    """A profile with a tool and no parser."""
    return replace(profile, serving=Serving())


@pytest.fixture
def good(checkpoint: Path, fake_python: Path) -> TargetSpec:
    return TargetSpec(model_dir=checkpoint, vllm_python=fake_python)


def refused(spec: TargetSpec, profile: Profile) -> str:
    with pytest.raises(UsageError) as caught:
        check(spec, profile)
    message = str(caught.value)
    assert message.startswith(f"{profile.path}: has tools, and no serving.tool_parser")
    assert "\n" not in message
    return message


def test_the_quantiser_and_the_document_name_the_same_parsers() -> None:
    assert MARKS == TOOL_PARSERS
    table = (DOCS / "profiles.md").read_text().partition("### The tool parser")[2].partition("### Gates")[0]
    for mark, parser in MARKS:
        rows = [row for row in table.splitlines() if f"| `{parser}` |" in row]
        assert len(rows) == 1
        assert f"`{mark}`".replace("|", r"\|") in rows[0]


@pytest.mark.parametrize(
    ("template", "parser"),
    [
        ('<tool_call>\n{"name": ...}\n</tool_call>', "hermes"),
        ("<tool_call>\n<function=NAME>\n</function>\n</tool_call>", "qwen3_coder"),
        ("[AVAILABLE_TOOLS] ... [TOOL_CALLS]", "mistral"),
        ("<|start_header_id|> Environment: ipython <|python_tag|>", "llama3_json"),
    ],
)
def test_the_parser_is_told_from_the_template(
    template: str, parser: str, good: TargetSpec, bare: Profile, checkpoint: Path
) -> None:
    (checkpoint / "chat_template.jinja").write_text(template)
    assert f'under [serving], write tool_parser = "{parser}"' in refused(good, bare)
    check(good, replace(bare, serving=Serving(tool_parser=parser)))


def test_the_template_of_the_arguments_counts(good: TargetSpec, bare: Profile, tmp_path: Path) -> None:
    (tmp_path / "other.jinja").write_text("[TOOL_CALLS]")
    for given in (["--chat-template", str(tmp_path / "other.jinja")], ["--chat_template=[TOOL_CALLS]"]):
        assert '"mistral"' in refused(replace(good, vllm_args=tuple(given)), bare)


def test_an_unknown_template_says_where_the_list_is(good: TargetSpec, bare: Profile) -> None:
    message = refused(good, bare)
    assert "no parser is known for this checkpoint's chat template" in message
    assert "annie-eval docs profiles" in message


def test_only_tools_without_any_parser_are_refused(good: TargetSpec, bare: Profile) -> None:
    check(good, replace(bare, tools={}))
    check(replace(good, vllm_args=BOTH), bare)
    for half in BOTH:
        refused(replace(good, vllm_args=(half,)), bare)


@pytest.fixture
def starter(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The profile that `annie-eval init` writes, in the working directory with a checkpoint that hermes fits."""
    (checkpoint / "chat_template.jinja").write_text("<tool_call>")
    monkeypatch.chdir(tmp_path)
    assert main.main(["init"]) == 0
    return tmp_path / "assistant" / "assistant.toml"


@pytest.mark.parametrize("command", ["doctor", "serve", "perf"])
def test_a_command_says_so_in_one_line_and_starts_nothing(
    command: str,
    starter: Path,
    checkpoint: Path,
    fake_python: Path,
    pids: Callable[[], list[int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    target = [str(checkpoint)] if command == "serve" else ["--model-dir", str(checkpoint)]
    assert main.main([command, *target, "--vllm-python", str(fake_python)]) == 2
    printed = capsys.readouterr()
    (line,) = (printed.out + printed.err).splitlines()
    assert f"{starter}: has tools, and no serving.tool_parser" in line
    assert 'under [serving], write tool_parser = "hermes"' in line
    assert pids() == []
    assert not Path("runs").exists()


def test_the_gate_ends_with_status_4(
    starter: Path, checkpoint: Path, fake_python: Path, pids: Callable[[], list[int]]
) -> None:
    command = [sys.executable, "-m", "annie_eval.cli", "gate", str(checkpoint), "--vllm-python", str(fake_python)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    (line,) = [line for line in (done.stdout + done.stderr).splitlines() if line]
    assert "no serving.tool_parser" in line
    assert pids() == []


def test_the_line_of_the_starter_is_the_fix(
    starter: Path, good: TargetSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main.main(["profile", "check", str(starter)]) == 0
    assert "warning: tools and no serving.tool_parser" in capsys.readouterr().out
    refused(good, load(starter))
    starter.write_text(starter.read_text().replace("# serving.tool_parser", "serving.tool_parser"))
    check(good, load(starter))
    assert main.main(["profile", "check", str(starter)]) == 0
    assert "warning" not in capsys.readouterr().out


def test_a_server_at_a_url_without_a_parser_is_told_with_its_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = FaultServer(load("annie-smol"))
    server.fault = replace(_error("http-400", "no tool parser", _status(400, REFUSES)), strangers=True)
    fix = "start vLLM with --enable-auto-tool-choice and the --tool-call-parser of this model"
    with server as url:
        assert main.main(["doctor", "--base-url", url, "--profile", "annie-smol"]) == 1
        line = capsys.readouterr().out.splitlines()[-1]
        assert line.startswith("FAIL  answer: a streamed chat request failed: the server has no tool call parser")
        assert fix in line
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--base-url", url]
        command += ["--profile", "annie-smol", "-k", "restraint and not server_state", f"--rootdir={tmp_path}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    verdict = next(line for line in done.stdout.splitlines() if line.startswith("verdict: ERROR"))
    assert "samples broke: the server has no tool call parser" in verdict
    assert fix in verdict
