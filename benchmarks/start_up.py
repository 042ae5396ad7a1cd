"""Measures CPU time of start-up: imports, profiles, collection, and each detector on an ordinary answer.

    .venv/bin/python benchmarks/start_up.py [--runs 5]
    .venv/bin/python benchmarks/start_up.py --plugin-budget 20    # milliseconds; exits 1 where the plugin costs more

Values are CPU seconds of processes, medians of interleaved runs, and the ratio to a reference row of the same run:
Python alone, or pytest with sixty empty tests. Detectors are compared with parsing the answer from its bytes
(`wire.parse`), which is needed for every sample.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def cpu(command: list[str], folder: Path = ROOT) -> float:
    """User and system seconds of a process and its children. Exits if the process fails."""
    before = os.times()
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def processes(runs: int) -> None:
    # Collection needs a server that takes connections, and sends it nothing.
    with tempfile.TemporaryDirectory() as temporary, socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        empty = Path(temporary) / "test_empty.py"
        empty.write_text("".join(f"def test_{i}():\n    pass\n\n" for i in range(60)))
        python, pytest = [sys.executable, "-c"], [sys.executable, "-m", "pytest", "--collect-only", "-q"]
        load = "from annie_eval.profile.load import load; load('{}')"
        alone = "pytest, 60 empty tests"
        rows: list[tuple[str, list[str], str]] = [
            ("python", [*python, "pass"], "python"),
            ("import annie_eval", [*python, "import annie_eval"], "python"),
            *(
                (f"load {name}", [*python, load.format(name)], "python")
                for name in ("annie", "annie-smol", "annie-strict")
            ),
            ("import detectors", [*python, "import annie_eval.detectors"], "python"),
            (alone, [*pytest, "-p", "no:cacheprovider", "-c", os.devnull, str(empty)], ""),
            (
                "pytest, annie, collected",
                [*pytest, "-p", "no:cacheprovider", "--base-url", url],
                "pytest, 60 empty tests",
            ),
        ]
        spent: dict[str, list[float]] = {name: [] for name, _, _ in rows}
        for _ in range(runs):
            for name, command, _ in rows:
                spent[name].append(cpu(command))
        medians = {name: statistics.median(values) for name, values in spent.items()}
        print(f"{'process':<26} {'CPU s':>6}  ratio")
        for name, _, reference in rows:
            ratio = f"{medians[name] / medians[reference]:.2f} of {reference}" if reference else ""
            print(f"{name:<26} {medians[name]:>6.2f}  {ratio}")


def plugin_cost(runs: int) -> float:
    """Milliseconds of CPU time that the plugin adds to an unrelated test suite: the median of paired differences."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "test_empty.py").write_text("".join(f"def test_{i}():\n    pass\n\n" for i in range(60)))
        (folder / "pyproject.toml").write_text('[project]\nname = "theirs"\nversion = "1"\n')
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        without = [*command, "-p", "no:annie-eval"]
        cpu(command, folder)  # pytest caches rewritten modules
        cpu(without, folder)
        pairs = [(cpu(command, folder), cpu(without, folder)) for _ in range(runs)]
    return 1e3 * statistics.median(with_it - without_it for with_it, without_it in pairs)


def detectors(runs: int) -> None:
    from fixed_server import STREAM  # type: ignore[import-not-found]  # beside this script

    from annie_eval.detectors import detect
    from annie_eval.profile.types import DETECTORS
    from annie_eval.wire import parse as wire
    from tests.support.make_sample import reply
    from tests.support.make_sample import sample as made

    sample = made(replace(reply(), request={"stream": True}, body=STREAM, answer=wire.parse(STREAM, streamed=True)))

    def best(work: object) -> float:
        assert callable(work)
        for _ in range(3):
            work()
        times = []
        for _ in range(20 * runs):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    parse = best(lambda: wire.parse(STREAM, streamed=True))
    print(f"\n{'detector':<26} {'us':>6}  ratio to wire.parse ({parse * 1e6:.0f} us)")
    for name in DETECTORS:
        spent = best(lambda name=name: detect(name, sample))
        print(f"{name:<26} {spent * 1e6:>6.0f}  {spent / parse:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--plugin-budget", type=float, metavar="MS", help="measure only what the plugin adds")
    options = parser.parse_args()
    runs: int = options.runs
    cost = plugin_cost(max(runs, 15))
    print(f"an unrelated suite, with the plugin minus without it: {cost:.0f} ms\n")
    if options.plugin_budget is not None:
        sys.exit(0 if cost <= options.plugin_budget else f"more than {options.plugin_budget:g} ms")
    processes(runs)
    detectors(runs)


if __name__ == "__main__":
    main()
