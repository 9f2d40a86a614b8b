"""Measures the log endpoints on a log of 1 GiB: time, and the server's memory.

    python -m benchmarks.logs [--gib 1]

From the root of the repository. The log is real text in a temporary directory.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.running_server import MIB, RunningServer, running_server, verdict
from benchmarks.stored_task import begun_task
from tunesmith.status import Status
from tunesmith.store import Store

TIME_LIMIT = 50.0  # milliseconds
MEMORY_LIMIT = 32.0  # MiB
REPEAT = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gib", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        data_dir = Path(directory) / "data"
        data_dir.mkdir()
        log = data_dir / "train.log"
        lines = write_log(log, int(options.gib * 2**30))
        task_id = ended_task(data_dir, log)
        print(f"     a log of {log.stat().st_size / MIB:.0f} MiB, {lines} lines")
        with running_server(data_dir) as server:
            kept = measure(server, task_id, lines)
    sys.exit(0 if kept else 1)


def measure(server: RunningServer, task_id: int, lines: int) -> bool:
    server.get("getTaskList")  # what any first request loads
    before = server.memory()
    server.forget_peak()
    first = timed(server, task_id, lines=1000)
    usual = statistics.median(timed(server, task_id, lines=1000) for _ in range(REPEAT))
    kept = verdict("getTaskLog, 1000 lines, first", first, TIME_LIMIT, "ms", 1)
    kept &= verdict("getTaskLog, 1000 lines, median", usual, TIME_LIMIT, "ms", 1)
    kept &= verdict("its extra memory", server.memory("VmHWM") - before, MEMORY_LIMIT, "MiB", 1)
    server.forget_peak()
    print(f"     10,000 lines: {timed(server, task_id, lines=10_000):.1f} ms")
    deep = timed(server, task_id, lines=1000, offset=lines - 1000)
    print(f"     1000 lines after the first {lines - 1000}: {deep:.0f} ms")
    print(f"     the whole log by downloadTaskLog: {download(server, task_id):.1f} s")
    measure_lines(server, task_id, lines)
    peak = server.memory("VmHWM") - before
    print(f"     extra memory at most, for these: {peak:.1f} MiB")
    return kept


def measure_lines(server: RunningServer, task_id: int, lines: int) -> None:
    """Print the times of readTaskLog and searchTaskLog, which count the lines first."""

    def ask(name: str, **query: int | str) -> tuple[float, Any]:
        began = time.perf_counter()
        data = server.get(name, id=task_id, **query).json()["data"]
        return (time.perf_counter() - began) * 1000, data

    first, data = ask("readTaskLog", lines=1000)
    assert data["total"] == lines
    end = statistics.median(ask("readTaskLog", lines=1000)[0] for _ in range(REPEAT))
    middle, _ = ask("readTaskLog", line=lines // 2, lines=1000)
    print(f"     readTaskLog, 1000 lines: {end:.1f} ms, the first time {first:.0f} ms")
    print(f"     readTaskLog, 1000 lines in the middle: {middle:.1f} ms")
    for what, query in (("a text", {"query": "nowhere"}), ("errors", {"kind": "error"})):
        calls, took, begin = 0, 0.0, 0
        while begin is not None:
            one, data = ask("searchTaskLog", **query, **{"from": begin})
            calls, took, begin = calls + 1, took + one, data["next"]
        print(f"     searchTaskLog for {what}: {took:.0f} ms in {calls} calls")


def timed(server: RunningServer, task_id: int, **query: int) -> float:
    """Return the milliseconds of a request."""
    began = time.perf_counter()
    text = server.get("getTaskLog", id=task_id, **query).json()["data"]
    took = (time.perf_counter() - began) * 1000
    assert text.count("\n") == query["lines"]
    return took


def download(server: RunningServer, task_id: int) -> float:
    """Return the seconds of a whole download."""
    began = time.perf_counter()
    query = {"id": task_id}
    with server.client.stream("GET", "/finetuning/downloadTaskLog", params=query) as response:
        for _ in response.iter_raw():
            pass
    return time.perf_counter() - began


def write_log(path: Path, size: int) -> int:
    """Write about `size` bytes of lines as a trainer writes them; return how many lines."""
    block = "".join(
        f"2026-11-24 04:16:43 step {n} 训练 loss {2.5 - n / 10_000:.4f} lr 1.9e-04 grad_norm 0.71\n"
        for n in range(10_000)
    ).encode()
    count = max(1, size // len(block))
    with path.open("wb") as file:
        for _ in range(count):
            file.write(block)
    return count * 10_000


def ended_task(data_dir: Path, log: Path) -> int:
    """Store a completed task whose log is `log`; return its id."""
    store = Store.open(f"sqlite:///{data_dir / 'tunesmith.db'}")
    task = begun_task(store, data_dir, run_directory=data_dir, log=log)
    store.set_status(task, Status.COMPLETED, finished_at=time.time())
    store.close()
    return task.id


if __name__ == "__main__":
    main()
