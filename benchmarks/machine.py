"""What timing reads of this machine: its GPUs' clocks, power, temperature and throttling, the CPU's governor and load.

    python -m benchmarks.machine [--seconds 10]

Reads as a timed run does: before, every two seconds for the seconds given, and after. Put work on the GPU meanwhile,
and its clock, its temperature and its throttle reasons show.
"""

from __future__ import annotations

import argparse
import time

from annie_eval.timing.machine import Watch, lines


def main() -> None:
    """Print each reading, what it took to read one, and what would make timings inconclusive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    began = time.perf_counter()
    with Watch() as watch:
        took = (time.perf_counter() - began) / len(watch.readings)
        time.sleep(options.seconds)
    for reading in watch.readings:
        print("\n".join(lines(reading)))
    print(f"one reading took {1e3 * took:.0f} ms")
    print("doubts:", "; ".join(watch.doubts()) or "none")


if __name__ == "__main__":
    main()
