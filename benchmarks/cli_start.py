"""Measures how long `tunesmith --help` takes: median of fresh processes.

    python benchmarks/cli_start.py [RUNS]

Budget: 0.3 s. Other processes on the machine make it slower; the load is printed beside it.
"""

import os
import statistics
import subprocess
import sys
import time

BUDGET = 0.3  # seconds


def measure(command: list[str], runs: int) -> list[float]:
    """Return the seconds of each run; one before them fills the file cache."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return times[1:]


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    bare = statistics.median(measure([sys.executable, "-c", "pass"], runs))
    times = measure([sys.executable, "-m", "tunesmith", "--help"], runs)
    median = statistics.median(times)
    print(f"tunesmith --help: median {median:.3f} s of {runs} runs (budget {BUDGET} s)")
    print(f"  fastest {min(times):.3f} s, slowest {max(times):.3f} s")
    print(f"  Python itself {bare:.3f} s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    sys.exit(0 if median <= BUDGET else 1)


if __name__ == "__main__":
    main()
