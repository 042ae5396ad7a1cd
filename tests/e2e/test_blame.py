"""`annie-eval blame`, from the command line to the sentence, at a stand-in for vLLM with a planted cause."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.serving.conftest import write_safetensors

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = ROOT / "tests" / "servers" / "blamed_vllm.py"

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
Blame = Callable[..., tuple[int, dict[str, Any]]]


def checkpoint(folder: Path, *, quantised: bool, template: str = "{{ messages }}") -> Path:
    """A directory that passes every check; its weights are never read."""
    folder.mkdir()
    config: dict[str, Any] = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "tie_word_embeddings": True,
    }
    if quantised:
        config["quantization_config"] = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text(template)
    write_safetensors(folder / "model.safetensors")
    return folder


def stand_in(folder: Path) -> Path:
    """An executable that behaves as an interpreter with vLLM; see blamed_vllm.py."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    python.chmod(0o755)
    return python


@pytest.fixture
def blame(tmp_path: Path) -> Blame:
    python = stand_in(tmp_path)
    model = checkpoint(tmp_path / "model", quantised=True)
    reference = checkpoint(tmp_path / "reference", quantised=False)

    def run(
        cause: str, *arguments: str, damaged: bool = False, template: str | None = None, referenced: bool = True
    ) -> tuple[int, dict[str, Any]]:
        if damaged:
            (model / "damaged").touch()
        if template is not None:
            (model / "chat_template.jinja").write_text(template)
        command = [sys.executable, "-m", "annie_eval.cli", "blame", "--model-dir", str(model), "--json"]
        command += ["--reference", str(reference)] if referenced else []
        command += ["--vllm-python", str(python), "--profile", "annie"]
        command += ["--run-dir", str(tmp_path / "search"), *arguments]
        environment = {
            **ENVIRONMENT,
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "BLAMED": cause,
            "BLAMED_STARTS": str(tmp_path / "starts"),
        }
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


def results(answer: Mapping[str, Any]) -> dict[str, str]:
    return {row["name"]: row["result"] for row in answer["finding"]["rows"]}


TOOLS = ("--gate", "tool_calling")


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ({"cause": "weights", "damaged": True}, ["weights"]),
        ({"cause": "template", "template": "WRONG {{ messages }}"}, ["template=reference"]),
        ({"cause": "cache"}, ["no_prefix_cache"]),
        ({"cause": "kernel"}, ["linear_backend=emulation"]),
        ({"cause": "batch"}, ["batch=1"]),
        ({"cause": "parser"}, ["parser"]),
        ({"cause": "cache+batch"}, ["no_prefix_cache", "batch=1"]),
    ],
    ids=lambda value: value["cause"] if isinstance(value, dict) else "",
)
def test_a_planted_cause_is_named(blame: Blame, planted: dict[str, Any], named: list[str]) -> None:
    status, answer = blame(planted.pop("cause"), *TOOLS, **planted)
    assert (status, answer["finding"]["causes"]) == (0, named), answer
    assert "did it" in answer["finding"]["sentence"]


def test_nothing_is_named_where_every_configuration_misses(blame: Blame) -> None:
    status, answer = blame("model", *TOOLS)
    assert (status, answer["finding"]["causes"]) == (1, [])
    assert answer["finding"]["sentence"].startswith("Nothing that was tried did it: of the 10 prompts that missed")


def test_a_search_that_was_interrupted_serves_no_finished_run_again(blame: Blame, tmp_path: Path) -> None:
    status, answer = blame("cache", *TOOLS)
    assert status == 0
    starts = (tmp_path / "starts").read_text().splitlines()
    (tmp_path / "search" / "no_prefix_cache").rename(tmp_path / "lost")
    again_status, again = blame("cache", *TOOLS, "--resume")
    assert (again_status, again["finding"]) == (status, answer["finding"])
    assert len((tmp_path / "starts").read_text().splitlines()) == len(starts) + 1


def test_without_a_reference_the_weights_are_left(blame: Blame) -> None:
    status, answer = blame("model", *TOOLS, referenced=False)
    assert status == 1
    assert answer["finding"]["sentence"].endswith("each change made none better. The weights were not tried.")


def test_a_gate_that_holds_has_nothing_to_blame(blame: Blame) -> None:
    status, answer = blame("", *TOOLS)
    assert status == 1
    assert answer["finding"]["sentence"] == "No gate fails: there is no cause to search for."


def test_a_change_that_does_not_start_is_told_and_passed_over(blame: Blame) -> None:
    status, answer = blame("model,backend-dies", *TOOLS)
    assert status == 1
    rows = {row["name"]: row for row in answer["finding"]["rows"]}
    assert rows["linear_backend=emulation"]["result"] == "not started"
    assert "no such kernel" in rows["linear_backend=emulation"]["note"]
    assert rows["no_prefix_cache"]["result"] == "no effect"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: --model-dir"),
        (["--model-dir", "nowhere"], "--model-dir nowhere: no such directory"),
        (["--model-dir", "MODEL", "--reference", "nowhere"], "--reference nowhere: no such directory"),
        (["--model-dir", "MODEL", "--gate", "nope"], "--gate nope: profile annie has thinking_leak"),
        (["--model-dir", "MODEL", "--referee"], "--referee: needs --reference"),
        (["--model-dir", "MODEL", "--resume"], "--resume needs --run-dir"),
        (["--model-dir", "MODEL", "--run-dir", "."], "not empty; add --resume"),
        (["--model-dir", "MODEL", "--concurrency", "0"], "--concurrency 0: must be at least 1"),
    ],
)
def test_bad_input_is_one_line_and_status_two(arguments: list[str], said: str, tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "MODEL", quantised=False)
    command = [sys.executable, "-m", "annie_eval.cli", "blame", *arguments]
    command += ["--vllm-python", str(stand_in(tmp_path))] if arguments else []
    done = subprocess.run(
        command, cwd=model.parent, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_too_few_misses_are_said_before_any_server_is_started(tmp_path: Path) -> None:
    """Three of 83 prompts miss. The last run has shown it; without that run, one server does."""
    model = checkpoint(tmp_path / "model", quantised=True)
    reference = checkpoint(tmp_path / "reference", quantised=False)
    python, starts = stand_in(tmp_path), tmp_path / "starts"
    environment = {**ENVIRONMENT, "XDG_STATE_HOME": str(tmp_path / "state")}
    environment |= {"BLAMED": "rare", "BLAMED_STARTS": str(starts)}

    def run(*arguments: str) -> tuple[int, list[str], int]:
        command = [sys.executable, "-m", "annie_eval.cli", *arguments, "--vllm-python", str(python)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        return done.returncode, done.stderr.splitlines(), len(starts.read_text().splitlines())

    search = ("blame", "--model-dir", str(model), "--reference", str(reference), "--gate", "every_answer")
    status, told, started = run(*search)
    said = "every_answer misses 3 of 83 prompts, and a search for the cause needs at least 8 that miss; to see the"
    command = f"run annie-eval gate {reference} --profile annie --baseline runs/"
    assert (status, started) == (2, 1)
    assert said in told[-1]
    assert command in told[-1]
    status, _, started = run("gate", str(model), "--profile", "annie", "-k", "test_every_answer")
    assert (status, started) == (1, 2)
    kept = sorted(path.name for path in (tmp_path / "runs").iterdir())
    status, told, started = run(*search)
    assert (status, started) == (2, 2)
    assert "the last run of this checkpoint" in told[0]
    assert said in told[-1]
    assert command in told[-1]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == kept
    status, told, started = run(*search, "--vllm-arg=--max-num-seqs=4")
    assert (status, started) == (2, 3), "that run had a server with other arguments"
    words = shlex.split(told[-1].partition("run annie-eval ")[2])[:-2]
    status, _, started = run(*words, "-k", "test_every_answer", "--run-dir", "both")
    assert started == 4
    found = json.loads((tmp_path / "both" / "verdict.json").read_text())["regression"]
    assert {change["direction"] for change in found["changes"]} == {"better"}, "both answers are shown"


def test_another_search_is_not_gone_on_with(blame: Blame, tmp_path: Path) -> None:
    blame("", *TOOLS)
    with pytest.raises(AssertionError, match="another search, with another gate"):
        blame("", "--gate", "no_markdown", "--resume")


def test_a_server_that_does_not_start_cannot_be_measured(blame: Blame) -> None:
    status, answer = blame("dies", *TOOLS)
    assert status == 3
    assert "Nothing could be measured" in answer["finding"]["sentence"]
