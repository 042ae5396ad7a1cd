"""Runs the study: makes each candidate, serves it with vLLM, judges it with the gate, and writes a small result file.

    .venv/bin/python -m research.annie_smol.study.run --base models/smollm2-135m-instruct-bf16 --work WORK
        --results RESULTS [--only PATTERN ...] [--gpus 4] [--servers 2] [--samples 200] [--seed N]
        [--vllm-python PYTHON]

The candidates are in `plan.py`. Each is made by one `python -m quant` command, checked by preflight, served, and
judged by `pytest --profile` with a held-out profile of --samples per gate. RESULTS/NAME.json has counts, intervals,
the samples that missed (so that candidates can be compared in pairs), and values from `quant_run.json`. Candidates
that have a result are skipped, unless it is an error, so the same command continues an interrupted study. `report.py`
writes docs/results.md from the results. --gpus spreads the jobs over that many devices, with --servers concurrent jobs
on each.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annie_eval.run.verdict import outcomes
from research.annie_smol.study import plan, spoken

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Places:
    """A pool of devices with a number of job slots each."""

    devices: int
    jobs: int
    _free: list[int] = field(init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._free = [self.jobs] * max(1, self.devices)

    def take(self) -> int:
        """Wait for a free slot and take it. Returns the index of the device, the one with the most free slots."""
        with self._changed:
            while not any(self._free):
                self._changed.wait()
            place = max(range(len(self._free)), key=lambda i: self._free[i])
            self._free[place] -= 1
            return place

    def give(self, place: int) -> None:
        with self._changed:
            self._free[place] += 1
            self._changed.notify()


class Study:
    """Makes and judges the candidates. `options` are those of the command line."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.work, self.results = options.work.resolve(), options.results.resolve()
        self.logs = self.work / "logs"
        for directory in (self.work, self.results, self.logs):
            directory.mkdir(parents=True, exist_ok=True)
        self.places = Places(options.gpus, options.servers)
        self._made: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def data(self, name: str) -> Path:
        """The path of a data file of `plan.DATA`, which is made if it does not exist."""
        kind, *rest = plan.DATA[name]
        if kind == "file":
            return ROOT / rest[0]
        path: Path = self.work / "data" / (f"{name}.txt" if kind == "text" else f"{name}.jsonl")
        parts = [self.data(part) for part in rest] if kind == "join" else []
        with self._lock:
            path.parent.mkdir(exist_ok=True)
            if path.exists():
                return path
            if kind == "join":
                path.write_text("".join(part.read_text(encoding="utf-8") for part in parts), encoding="utf-8")
            elif kind in {"spoken", "frames"}:
                path.write_text(spoken.text(ROOT / rest[0], kind), encoding="utf-8")
            elif kind == "lines":
                lines = (ROOT / rest[0]).read_text(encoding="utf-8").splitlines(keepends=True)
                path.write_text("".join(lines[int(rest[1]) : int(rest[2])]), encoding="utf-8")
            elif kind == "text":
                from pydoc_data import topics  # text that comes with Python and is unlike an assistant's answers

                path.write_text("\n\n".join(topics.topics.values()), encoding="utf-8")
            else:
                command = [sys.executable, "-m", "research.annie_smol.generator", kind, *rest, "--out", str(path)]
                self._run(f"data-{name}", command, None)
        return path

    def held_out(self, samples: int) -> Path:
        """The path of the held-out profile with `samples` per gate, which is made if it does not exist."""
        second = self.options.second_samples
        directory: Path = self.work / f"held-out-{self.options.seed}-{samples}-{second}"
        path = directory / "annie-smol-heldout.toml"
        if path.exists():
            return path
        free = "free" if self.options.seed == plan.HELD_OUT_SEED else "free-dev"
        trained = [self.data(name) for name in ("sft", "430", "4300")]
        with self._lock:
            if not path.exists():
                script = [sys.executable, "-m", "research.annie_smol.study.heldout_profile"]
                script += [part for file in trained for part in ("--training", str(file))]
                script += ["--free", str(Path(__file__).parent / free)]
                numbers = ["--seed", str(self.options.seed), "--samples", str(samples)]
                if second:
                    numbers += ["--second-seed", str(plan.SECOND_SEED), "--second-samples", str(second)]
                    numbers += ["--second-free", str(Path(__file__).parent / plan.SECOND_FREE)]
                self._run(f"held-out-{samples}", [*script, *numbers, "--out", str(directory)], None)
        return path

    def checkpoint(self, name: str) -> Path:
        base: Path = self.options.base.resolve()
        return base if name == plan.UNTUNED.name else self.work / "checkpoints" / name

    def filled(self, arguments: Sequence[str]) -> list[str]:
        """A candidate's arguments, with paths in place of `{NAME}` and `{data:NAME}`."""
        filled = []
        for argument in arguments:
            if argument.startswith("{data:"):
                argument = str(self.data(argument[6:-1]))
            elif argument.startswith("{"):
                argument = str(self.checkpoint(argument[1:-1]))
            filled.append(argument)
        return filled

    def candidate(self, one: plan.Candidate) -> str:
        """Make, preflight and judge one candidate. Returns its result in one line."""
        result_file = self.results / f"{one.name}.json"
        held = json.loads(result_file.read_text(encoding="utf-8")) if result_file.exists() else {}
        judged = "gates" in held
        if (judged or "refused" in held) and not (judged and one.matrix and "matrix" not in held):
            self._made[one.name].set()
            return f"{one.name}: skipped, it has a result"
        if one.start in self._made:
            self._made[one.start].wait()
        place = self.places.take()
        try:
            result: dict[str, Any] = {"name": one.name, "about": one.about, "group": one.group}
            made = self._make(one, place, result)
            self._made[one.name].set()
            if made:
                result = held if judged else result | self._judge(one, place)
            if made and one.matrix:
                self._write(result_file, result)  # the matrix takes long
                result["matrix"] = self._matrix(one, place)
        except Exception as error:
            result = {
                "name": one.name,
                "about": one.about,
                "group": one.group,
                "broke": f"{type(error).__name__}: {error}",
            }
        finally:
            self._made[one.name].set()
            self.places.give(place)
        self._write(result_file, result)
        return f"{one.name}: interrupted" if self._stopped.is_set() else _line(result)

    def _write(self, file: Path, result: dict[str, Any]) -> None:
        if self._stopped.is_set():  # Ctrl-C also ended the command, so its output may be incomplete
            return
        result |= {"machine": _machine(), "date": time.strftime("%Y-%m-%d")}
        whole = file.with_suffix(".part")
        whole.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        whole.replace(file)

    def _make(self, one: plan.Candidate, place: int, result: dict[str, Any]) -> bool:
        directory = self.checkpoint(one.name)
        image = ("--for", self.options.image) if one.quantised else ()
        command = [sys.executable, "-m", "quant", *self.filled(one.make), *image]
        if one.name == "ptq":  # this one becomes an embedded model
            command += ["--keep", str(self.work / "kept" / one.name)]
        result["command"] = " ".join(["python", "-m", "quant", *one.make, *image])
        if one.make and not directory.exists():
            directory.parent.mkdir(exist_ok=True)
            status = self._run(f"make-{one.name}", [*command, "--out", str(directory)], place, check=False)
            if status != 0:
                result["refused"] = self._last_line(f"make-{one.name}")
                return False
        if (provenance := directory / "quant_run.json").is_file():
            facts = json.loads(provenance.read_text(encoding="utf-8"))
            result["provenance"] = {
                key: facts[key]
                for key in ("seconds", "quality", "training", "peak_bytes", "versions", "device")
                if key in facts
            }
            shutil.copyfile(provenance, self.results / f"{one.name}.quant_run.json")
        if one.group == "recipes":
            command = [sys.executable, "-m", "quant", "diff", str(self.checkpoint(one.start)), str(directory)]
            command += ["--data", str(self.data("kl")), "--samples", "64", "--positions", "8192", "--json"]
            found = self._json(f"diff-{one.name}", command, place)
            result["agreement"] = {key: found[key] for key in ("kl", "top1", "positions")}
        preflight = [sys.executable, "-m", "quant", "preflight", str(directory), "--for", self.options.image, "--json"]
        if one.quantised:
            status = self._run(f"preflight-{one.name}", preflight, place, check=False)
            result["preflight"] = {"image": self.options.image, "status": status}
            return status == 0
        return True

    def _judge(self, one: plan.Candidate, place: int) -> dict[str, Any]:
        profile = self.held_out(self.options.samples)
        run_dir = self.work / "runs" / f"{one.name}-{self.options.seed}"
        shutil.rmtree(run_dir, ignore_errors=True)
        start = time.monotonic()
        command = [sys.executable, "-m", "pytest", "tests/behavior", "-q", "-p", "no:cacheprovider"]  # not tests/perf
        self._run(
            f"judge-{one.name}", [*command, *self._target(one, profile), f"--run-dir={run_dir}"], place, check=False
        )
        verdict = json.loads((run_dir / "verdict.json").read_text(encoding="utf-8"))
        judged = outcomes(run_dir)
        missed = {gate: sorted(key for key, passed in of.items() if not passed) for gate, of in judged.items()}
        free = {gate: sum(key.startswith("free-") for key in of) for gate, of in judged.items()}
        second = {gate: sum(key.startswith("new-") for key in of) for gate, of in judged.items()}
        gates = {
            gate["name"]: {key: gate[key] for key in ("verdict", "passed", "n", "required", "interval")}
            | {"free": free.get(gate["name"], 0), "missed": missed.get(gate["name"], [])}
            | ({"second": second.get(gate["name"], 0)} if self.options.second_samples else {})
            for gate in verdict["gates"]
        }
        found: dict[str, Any] = {
            "verdict": verdict["verdict"], "gates": gates, "errors": len(verdict["errors"]),
            "fingerprint": verdict["fingerprint"], "judging_seconds": round(time.monotonic() - start, 1),
            "samples": self.options.samples, "seed": self.options.seed,
        }  # fmt: skip
        return found

    def _matrix(self, one: plan.Candidate, place: int) -> Any:
        """The gates' results with each of eight hardened system prompts, on fewer samples."""
        profile = self.held_out(min(plan.MATRIX_SAMPLES, self.options.samples))
        directory = self.work / "runs" / f"{one.name}-{self.options.seed}-matrix"
        shutil.rmtree(directory, ignore_errors=True)
        prompts = ["--system-prompts", str(Path(__file__).parent / "prompts"), "--run-dir", str(directory)]
        command = [sys.executable, "-m", "annie_eval.cli", "matrix", *self._target(one, profile), *prompts]
        self._run(f"matrix-{one.name}", command, place, check=False)
        rows = json.loads((directory / "matrix.json").read_text(encoding="utf-8"))["rows"]
        return [{key: value for key, value in row.items() if key != "run_dir"} for row in rows]

    def _target(self, one: plan.Candidate, profile: Path) -> list[str]:
        # Written with `=`, because pytest needs that if the package and so its entry point are not installed.
        target = [f"--model-dir={self.checkpoint(one.name)}", f"--profile={profile}"]
        if self.options.vllm_python is not None:
            target += [f"--vllm-python={self.options.vllm_python}"]
        if self.options.gpus:
            # A KV cache of fixed size: otherwise vLLM measures free memory, and stops if another process frees some
            # meanwhile.
            memory = ["--gpu-memory-utilization=0.08", f"--kv-cache-memory-bytes={4 << 30}"]
            arguments = [*memory, "--enforce-eager", *self.options.vllm_arg]
            arguments += self.options.w4a4_arg if one.w4a4 else []
            target += [f"--concurrency={self.options.concurrency}"]
        else:
            arguments = list(self.options.vllm_arg)
        return [*target, *(f"--vllm-arg={argument}" for argument in arguments)]

    def _run(self, name: str, command: Sequence[str], place: int | None, check: bool = True) -> int:
        """Run a command with its output in the log file `name`. Returns its exit status.

        Raises:
            RuntimeError: after Ctrl-C, or if `check` is set and the command fails.
        """
        if self._stopped.is_set():
            raise RuntimeError(f"{name} was not started")
        environment = {**os.environ, "VLLM_USE_FLASHINFER_SAMPLER": "0", "PYTHONUNBUFFERED": "1"}
        if place is not None and self.options.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(self.options.first_gpu + place)
        with (self.logs / f"{name}.log").open("w", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n")
            log.flush()
            status = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False).returncode
        if check and status != 0:
            raise RuntimeError(f"{name} ended with status {status}: {self._last_line(name)}")
        return status

    def _json(self, name: str, command: Sequence[str], place: int | None) -> Any:
        """The JSON object at the end of a command's output."""
        self._run(name, command, place)
        text = (self.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return json.loads(text[text.index("\n{") :])

    def _last_line(self, name: str) -> str:
        lines = (self.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip()[-300:] for line in reversed(lines) if line.strip()), "")

    def run(self) -> int:
        """Make and judge the chosen candidates. Returns the exit status: 0 if each was judged or refused, 1 after an
        error, 2 for wrong options, 130 after Ctrl-C."""
        wanted = {
            one.name: one
            for pattern in self.options.only
            for one in plan.CANDIDATES
            if fnmatch.fnmatchcase(one.name, pattern)
        }
        chosen = list(wanted.values())
        if not chosen:
            names = ", ".join(one.name for one in plan.CANDIDATES)
            print(
                f"run.py: --only {' '.join(self.options.only)}: no such candidate; there are {names}", file=sys.stderr
            )
            return 2
        self._made = {one.name: threading.Event() for one in chosen}
        for one in chosen:
            if one.start and one.start not in self._made and not self.checkpoint(one.start).exists():
                print(
                    f"run.py: {one.name} starts from {one.start}, which is not made; add --only {one.start}",
                    file=sys.stderr,
                )
                return 2
        broke = 0
        with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
            try:
                for line in pool.map(self.candidate, chosen):
                    print(line, flush=True)
                    broke += ": broke" in line
            except KeyboardInterrupt:
                self._stopped.set()
                print("run.py: interrupted; the same command continues", file=sys.stderr)
                return 130
        return 1 if broke else 0


def _machine() -> str:
    try:
        asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        name = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        name = ""
    return name or f"{platform.machine()}, {os.cpu_count()} cores"


def _line(result: dict[str, Any]) -> str:
    if "broke" in result:
        return f"{result['name']}: broke: {result['broke']}"
    if "gates" not in result:
        return f"{result['name']}: refused: {result.get('refused', 'by preflight')}"
    gates = "  ".join(f"{name} {gate['passed']}/{gate['n']}" for name, gate in result["gates"].items())
    seconds = sum((result.get("provenance", {}).get("seconds") or {}).values())
    took = f"made in {seconds:.0f} s, judged in {result['judging_seconds']:.0f} s"
    return f"{result['name']}: {result['verdict']}  {gates}  ({took})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, metavar="DIR", help="the untuned model")
    parser.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="directory for checkpoints, data, runs and logs"
    )
    parser.add_argument("--results", type=Path, required=True, metavar="DIR", help="directory for the result files")
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help="only these, in this order; may be repeated"
    )
    parser.add_argument("--gpus", type=int, default=0, help="number of GPUs; 0 runs on the CPU")
    parser.add_argument("--first-gpu", type=int, default=0, help="index of the first GPU")
    parser.add_argument("--servers", type=int, default=1, help="concurrent jobs on each device")
    parser.add_argument("--concurrency", type=int, default=64, help="requests in flight at each server on a GPU")
    parser.add_argument("--samples", type=int, default=200, help="samples per gate")
    parser.add_argument("--seed", type=int, default=plan.DEVELOPMENT_SEED, help="seed of the held-out set")
    parser.add_argument("--second-samples", type=int, default=0, help="samples per gate of a second held-out set")
    parser.add_argument("--image", default="vllm-0.32", help="server image that preflight checks the checkpoint for")
    parser.add_argument("--vllm-python", type=Path, metavar="PATH", help="interpreter of the server's environment")
    parser.add_argument("--vllm-arg", action="append", default=[], metavar="ARG", help="one more argument for vLLM")
    parser.add_argument(
        "--w4a4-arg", action="append", default=[], metavar="ARG",
        help="one more argument for models with four-bit activations; a GPU without FP4 units needs "
        "--linear-backend=emulation",
    )  # fmt: skip
    options = parser.parse_args()
    options.only = options.only or ["*"]
    if not (options.base / "config.json").is_file():
        print(f"run.py: --base {options.base}: no checkpoint there; `make model` builds it", file=sys.stderr)
        return 2
    return Study(options).run()


if __name__ == "__main__":
    sys.exit(main())
