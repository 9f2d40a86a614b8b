"""Runs attempts as supervised processes of this machine. The handle is the run directory's path."""

import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tunesmith.executor.process import Process, marked
from tunesmith.executor.supervisor import trainer_command
from tunesmith.run_directory import (
    EVENTS,
    EXIT,
    LOG,
    SPEC,
    STOP,
    SUPERVISOR,
    SUPERVISOR_LOG,
    RunDirectory,
    read_json,
    write_json,
)

START_TIMEOUT = 30.0  # seconds for the supervisor to say whom it started
KILL_TIMEOUT = 5.0  # seconds for SIGKILL to work on what a failed start left
READ_AT_MOST = 16 << 20  # bytes a call of `read`
# In the environment of everything an attempt starts: finds what outlived its parents.
MARK = "TUNESMITH_RUN_DIRECTORY"
READABLE = frozenset({SPEC, SUPERVISOR, LOG, EVENTS, STOP, EXIT, SUPERVISOR_LOG})


class LocalExecutor:
    """An `executor.Executor`. Its attempts outlive it, and a new one goes on with their handles."""

    def __init__(self, command: Callable[[Path], list[str]] = trainer_command) -> None:
        """`command` makes the trainer's argument list from the run directory."""
        self._command = command
        self._orphans: dict[str, float] = {}  # handle -> when what it left is killed (monotonic)
        self._lock = threading.Lock()

    def start(self, run_directory: Path, environment: dict[str, str]) -> str:
        """Start the attempt; supervisor.json is there on return.

        The server's own settings (TUNESMITH_*, the login token among them) are not handed on.
        """
        path = run_directory.absolute()
        if RunDirectory(path).supervisor.exists():
            raise FileExistsError(f"{path} was started before")
        own = {name: v for name, v in os.environ.items() if not name.startswith("TUNESMITH_")}
        with RunDirectory(path).supervisor_log.open("ab") as log:
            supervisor = subprocess.Popen(
                _supervisor_command(path, self._command(path)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=own | environment | {MARK: str(path)},
                start_new_session=True,
            )
        _wait_for_introduction(supervisor, RunDirectory(path))
        # So that no zombie stays; the thread waits for this pid and no other.
        threading.Thread(target=supervisor.wait, name=f"reaper of {path}", daemon=True).start()
        return str(path)

    def alive(self, handle: str) -> bool:
        """Whether supervisor or trainer still run.

        Where the supervisor was killed, nobody ended what the trainer left: that is done here,
        and the attempt counts as alive until it is gone.
        """
        run = RunDirectory(Path(handle))
        supervisor, trainer = _who_runs(run)
        if supervisor and trainer and (supervisor.alive() or trainer.alive()):
            return True
        if run.exit.exists():
            return False
        # Without supervisor.json the supervisor is just starting, and is the one that is left.
        return _kill_marked(handle) if trainer else bool(marked(MARK, handle))

    def stop(self, handle: str, grace: float) -> None:
        run = RunDirectory(Path(handle))
        if run.exit.exists():
            return
        # A full disk must not keep a training from being stopped; it has the default grace then.
        with suppress(OSError, ValueError), self._lock:
            asked_before = (read_json(run.stop) or {}).get("grace_seconds", grace)
            write_json(run.stop, {"grace_seconds": min(grace, asked_before)})
        if not run.path.exists():
            # Removed by hand, and with it the place where anything could be saved.
            _kill_marked(handle)
            return
        # A supervisor that has not said its pid yet looks for stop.json once it has.
        supervisor, trainer = _who_runs(run)
        if supervisor and trainer and not supervisor.send(signal.SIGTERM):
            self._stop_orphan(handle, trainer, grace)

    def read(self, handle: str, file: str, offset: int, size: int) -> bytes:
        """Return at most min(size, READ_AT_MOST) bytes. ValueError: no file of a run directory."""
        if file not in READABLE or size < 0:
            raise ValueError(f"not to be read: {size} bytes of {file!r} from {offset}")
        try:
            with (Path(handle) / file).open("rb", buffering=0) as opened:
                if offset < 0:
                    offset = max(0, os.fstat(opened.fileno()).st_size + offset)
                return os.pread(opened.fileno(), min(size, READ_AT_MOST), offset)
        except (FileNotFoundError, NotADirectoryError):
            return b""

    def _stop_orphan(self, handle: str, trainer: Process, grace: float) -> None:
        """Do for a trainer without a supervisor what that would have done."""
        due = time.monotonic() + grace
        with self._lock:
            if due >= self._orphans.get(handle, math.inf) or not trainer.send(signal.SIGTERM):
                return
            self._orphans[handle] = due
        if grace <= 0:
            trainer.send_group(signal.SIGKILL)
            return
        timer = threading.Timer(grace, trainer.send_group, (signal.SIGKILL,))
        timer.daemon = True
        timer.start()


def _supervisor_command(run_directory: Path, command: list[str]) -> list[str]:
    module = ["-P", "-m", "tunesmith.executor.supervisor"]
    return [sys.executable, *module, str(run_directory), "--", *command]


def _kill_marked(handle: str) -> bool:
    """Kill every process of the attempt; return whether there was one."""
    left = marked(MARK, handle)
    for process in left:
        process.send(signal.SIGKILL)
    return bool(left)


def _wait_for_introduction(supervisor: "subprocess.Popen[bytes]", run: RunDirectory) -> None:
    """Return when supervisor.json is there; else leave nothing running and raise OSError."""
    assert supervisor.stdout is not None
    with supervisor.stdout:
        closed = select.poll()
        closed.register(supervisor.stdout, select.POLLIN)
        in_time = closed.poll(START_TIMEOUT * 1000)
    if run.supervisor.exists():
        return
    if not in_time:
        supervisor.kill()
    supervisor.wait()
    give_up = time.monotonic() + KILL_TIMEOUT
    while _kill_marked(str(run.path)) and time.monotonic() < give_up:
        time.sleep(0.01)
    raise OSError(_why_not_started(run, in_time=bool(in_time)))


def _why_not_started(run: RunDirectory, *, in_time: bool) -> str:
    outcome = read_json(run.exit)
    if outcome is not None:
        return str(outcome.get("error"))
    if not in_time:
        return f"the supervisor did not start the trainer within {START_TIMEOUT:.0f} s"
    lines = run.supervisor_log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line), "the supervisor ended without a word")


def _who_runs(run: RunDirectory) -> tuple[Process, Process] | tuple[None, None]:
    """Return supervisor and trainer of an attempt, dead or alive, as far as it is known."""
    try:
        known = read_json(run.supervisor)
    except (OSError, ValueError):
        known = None
    if known is None:
        return None, None
    supervisor, trainer = (
        Process(known[name]["pid"], known[name]["start_time"], known["boot_id"])
        for name in ("supervisor", "trainer")
    )
    return supervisor, trainer
