"""A running task that the benchmark's own process plays: events and log lines, as a trainer's."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stored_task import begun_task
from tunesmith.events import EventWriter, Metrics, Progress
from tunesmith.executor.process import identify
from tunesmith.run_directory import RunDirectory, write_json
from tunesmith.store import Store

EVENTS_A_SECOND, LINES_A_SECOND = 5, 20


@contextmanager
def played_task(data_dir: Path, history: int, log_bytes: int = 0) -> Iterator[None]:
    """Have task 1 of a new store run: `history` metrics and about `log_bytes` of log are there."""
    run = _running_task(data_dir)
    writer = EventWriter(run.events)
    for step in range(history):
        writer.write(_metrics(step))
    with run.log.open("w", encoding="utf-8") as log:
        number = 0
        while log.tell() < log_bytes:
            log.write("".join(_line(number + more) for more in range(10_000)))
            number += 10_000
    ended = threading.Event()
    threading.Thread(target=_play, args=(run, history, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _running_task(data_dir: Path) -> RunDirectory:
    """Store a task that this process runs; return its run directory."""
    run = RunDirectory(data_dir / "tasks" / "1" / "1")
    run.path.mkdir(parents=True)
    me = identify(os.getpid())
    introduction = {"pid": me.pid, "start_time": me.start_time}
    write_json(
        run.supervisor,
        {"supervisor": introduction, "trainer": introduction, "boot_id": me.boot_id},
    )
    store = Store.open(f"sqlite:///{data_dir / 'tunesmith.db'}")
    begun_task(store, data_dir, run_directory=run.path, log=run.log, handle=str(run.path))
    store.close()
    return run


def _play(run: RunDirectory, history: int, ended: threading.Event) -> None:
    """Write events and log lines until `ended`."""
    writer = EventWriter(run.events, after=history)
    step = history
    with run.log.open("a", buffering=1) as log:
        while not ended.wait(1 / LINES_A_SECOND):
            step += 1
            log.write(_line(step))
            if step % (LINES_A_SECOND // EVENTS_A_SECOND) == 0:
                writer.write(_metrics(step))
            if step % LINES_A_SECOND == 0:
                rest = {"tokens_per_second": 180.0, "eta_seconds": 1e4 - step}
                writer.write(Progress(step=step, epoch=step / 1000, **rest))


def _line(step: int) -> str:
    return f"2026-11-24 04:16:43 step {step} 训练 loss {2.5 / (step + 1):.4f}\n"


def _metrics(step: int) -> Metrics:
    return Metrics(
        step=step,
        epoch=step / 1000,
        loss=2.5 / (step + 1),
        learning_rate=1e-4,
        grad_norm=0.7,
        tokens_per_second=180.0,
        eta_seconds=1e4 - step,
    )
