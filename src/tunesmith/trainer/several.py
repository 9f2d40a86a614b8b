"""Several devices: one process (a rank) each, started by torch's elastic launcher (torchrun's).

The tree below the supervisor: this process, and the ranks as its children, each in a session of its
own. It passes a stop on, ends the rest when one rank has ended, and says what ended the run: with
several ranks none of them writes the `error` event, because all fail when one does.
"""

import logging
import os
import signal
import sys
import tempfile
import threading
import time
import uuid

import psutil

from tunesmith import events
from tunesmith.events import EventWriter, Finished, Phase
from tunesmith.run_directory import RunDirectory, read_json
from tunesmith.trainer import environment
from tunesmith.trainer.rank_failures import (
    Ending,
    Failure,
    first_cause,
    forget_failures,
    next_room,
    read_failures,
)
from tunesmith.trainer.ranks import RANK
from tunesmith.trainer.report import Report
from tunesmith.trainer.run import stopped_before_training
from tunesmith.trainer.stop import Stop

LOOK_EVERY = 0.1  # seconds
# From the first rank's end to that of the others, which end together or wait for what never
# comes: in a collective of NCCL no signal but SIGKILL reaches them.
STRAGGLE = 5.0  # seconds


def launch(directory: RunDirectory, ranks: int, stop: Stop) -> int:
    """Run `ranks` trainers over `directory` and return the exit code.

    Where a divided model's rehearsal found too little memory all begin again, with fewer tokens at
    once: nothing is learnt yet, and a rank cannot leave a pass that the others are in.
    """
    environment.prepare()
    # Each rank would take all cores.
    share = max(1, len(os.sched_getaffinity(0)) // ranks)
    os.environ.setdefault("OMP_NUM_THREADS", str(share))
    arguments: list[str] = []
    while True:
        forget_failures(directory)
        with _Children(stop) as children:
            codes = _run(directory, ranks, arguments)
        endings = [
            Ending(rank, code, children.has_killed(pid))
            for rank, (pid, code) in sorted(codes.items())
        ]
        failures = read_failures(directory, ranks)
        smaller = next_room(endings, failures, ranks)
        if smaller is None or stop.requested:
            return _conclude(directory, endings, failures, ranks, stop)
        Report(EventWriter.append_to(directory.events)).warning("smaller_batches", **smaller)
        arguments = [str(smaller["now"])]


def _run(directory: RunDirectory, ranks: int, arguments: list[str]) -> dict[int, tuple[int, int]]:
    """Return pid and exit code of each rank that did not end well: none if all went well."""
    # The launcher makes a place for notes of its own, and leaves it behind.
    with tempfile.TemporaryDirectory(prefix="launcher-", dir=directory.path) as notes:
        return _launch(directory, ranks, arguments, notes)


def _launch(
    directory: RunDirectory, ranks: int, arguments: list[str], notes: str
) -> dict[int, tuple[int, int]]:
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # It has a word on every signal and exit; ours are told by events.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=str(uuid.uuid4()),
        # What `torchrun --standalone` does: a free port of this machine, nothing shared.
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="127.0.0.1",
        # A rank that failed goes on from a checkpoint as a new attempt, never in the middle.
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(notes),
        monitor_interval=LOOK_EVERY,
        # A stop is passed on by `_Children`, and waited for: the launcher's own way kills ranks
        # that take longer than 30 s to write a checkpoint.
        signals_to_handle="SIGQUIT",
    )
    command = ["-P", "-m", "tunesmith.trainer", str(directory.path), RANK, *arguments]
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        return {
            failed.local_rank: (failed.pid, failed.exitcode) for failed in error.failures.values()
        }
    return {}


class _Children:
    """Watches the ranks from a thread: passes a stop on, and kills who outlives another."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._told: set[int] = set()
        self._killed: set[int] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ranks", daemon=True)

    def __enter__(self) -> "_Children":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._done.set()
        self._thread.join()

    def has_killed(self, pid: int) -> bool:
        return pid in self._killed

    def _watch(self) -> None:
        me, known = psutil.Process(), set[int]()
        first_end: float | None = None
        while not self._done.wait(LOOK_EVERY):
            alive = {child.pid for child in me.children() if _runs(child)}
            known |= alive
            if known - alive and first_end is None:
                first_end = time.monotonic()
            if self._stop.requested:
                for pid in alive - self._told:
                    self._send(pid, signal.SIGTERM, self._told)
            if first_end is not None and time.monotonic() - first_end > STRAGGLE:
                for pid in alive - self._killed:
                    self._send(pid, signal.SIGKILL, self._killed)

    def _send(self, pid: int, number: int, sent: set[int]) -> None:
        # A child's pid is nobody else's until the launcher has reaped it; that it does so between
        # our look and this call, and the kernel gives the pid away again, takes a full round of
        # pids.
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        sent.add(pid)


def _runs(child: psutil.Process) -> bool:
    try:
        return bool(child.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _conclude(
    directory: RunDirectory, endings: list[Ending], failures: list[Failure], ranks: int, stop: Stop
) -> int:
    """Report how the run ended, unless the first rank has, and return the exit code."""
    if any(isinstance(event, Finished) for event in events.read_all(directory.events)):
        return 0
    report = Report(EventWriter.append_to(directory.events))
    if stop.requested and all(failure.lost_peer for failure in failures):
        report.phase(Phase.STOPPING)
        output = str((read_json(directory.spec) or {}).get("output_path", ""))
        report.finished(stopped_before_training(output))
        return 0
    report.failed(*first_cause(endings, failures, ranks))
    return 1
