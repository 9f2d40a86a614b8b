"""Parent of one trainer: starts it, passes a stop on, leaves no process behind, says how it ended.

    python -m tunesmith.executor.supervisor RUN_DIR [-- COMMAND...]

COMMAND runs in the trainer's place. Standard output is closed once supervisor.json is there, so
whoever started the supervisor need not poll. Standard library only: one lives beside each trainer.
"""

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.executor import process
from tunesmith.run_directory import RunDirectory, read_json, write_json

DEFAULT_GRACE = 30.0  # seconds, where SIGTERM comes without a stop.json
LONGEST_GRACE = 86_400.0  # seconds
TEARDOWN = 30.0  # seconds that SIGKILL may take on what the trainer left
COULD_NOT_START = 127  # a shell's exit code for it
ROOM = bytes(8192)  # more than exit.json needs

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
# These stay blocked and are taken from the queue one at a time, so nothing interrupts. The last
# two are for programs of a terminal and are never taken.
_WATCHED = (signal.SIGTERM, signal.SIGCHLD)
_BLOCKED = (*_WATCHED, signal.SIGINT, signal.SIGHUP)


class _Ending(NamedTuple):
    stop_requested: bool
    killed_after_grace: bool


def main(arguments: list[str]) -> None:
    if not arguments or arguments[1:2] not in ([], ["--"]):
        sys.exit("usage: python -m tunesmith.executor.supervisor RUN_DIR [-- COMMAND...]")
    directory = Path(arguments[0]).absolute()
    supervise(RunDirectory(directory), arguments[2:] or trainer_command(directory))


def trainer_command(run_directory: Path) -> list[str]:
    """Return the trainer's command. `-P`: no module comes from the current directory."""
    return [sys.executable, "-P", "-m", "tunesmith.trainer", str(run_directory)]


def supervise(run: RunDirectory, command: list[str]) -> None:
    """Run `command`, end what it leaves behind, then write exit.json."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take the exit code with it
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    oom_kills = count_oom_kills()
    # A full disk is a common end of a training: what exit.json needs is taken now.
    room = run.path / ".room"
    try:
        room.write_bytes(ROOM)
        trainer = _start(run, command)
    except (OSError, subprocess.SubprocessError) as error:
        room.unlink(missing_ok=True)
        write_json(run.exit, _not_started(error))
        return
    _close_stdout()
    try:
        ending = _wait(run, trainer.pid)
    finally:
        # It is not reaped yet, so the number of its group cannot be anybody else's.
        _kill_group(trainer.pid)
        _, status, usage = os.wait4(trainer.pid, 0)
        trainer.returncode = code = os.waitstatus_to_exitcode(status)
        ended_at = time.time()
        _end_children()
    unasked_kill = code == -signal.SIGKILL and not ending.killed_after_grace
    outcome = {
        "exit_code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
        "ended_at": ended_at,
        "stop_requested": ending.stop_requested,
        "killed_after_grace": ending.killed_after_grace,
        "oom_killed": unasked_kill and count_oom_kills() > oom_kills,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
    }
    room.unlink()
    write_json(run.exit, outcome)


def count_oom_kills() -> int:
    """Return how many processes the kernel killed for memory since the boot.

    Of this control group where it counts them (cgroup v2), else of the whole machine.
    """
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                group = Path("/sys/fs/cgroup") / line.removeprefix("0::/")
                return _counter(group / "memory.events", "oom_kill")
    with suppress(OSError):
        return _counter(Path("/proc/vmstat"), "oom_kill")
    return 0


def _counter(path: Path, name: str) -> int:
    counters = dict(line.split() for line in path.read_text().splitlines())
    return int(counters.get(name, 0))


def _start(run: RunDirectory, command: list[str]) -> "subprocess.Popen[bytes]":
    """Start the trainer and write supervisor.json; OSError means that nothing runs."""
    supervisor = os.getpid()

    def become_trainer() -> None:
        # A trainer without a supervisor could not be stopped any more, so it is asked to end.
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if os.getppid() != supervisor:  # died before the prctl
            signal.raise_signal(signal.SIGTERM)

    with run.log.open("ab") as log:
        trainer = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            preexec_fn=become_trainer,  # safe: there is one thread only
        )
    try:
        write_json(run.supervisor, _who_runs(trainer.pid))
    except OSError:
        # Nobody could find it again.
        _kill_group(trainer.pid)
        trainer.wait()
        _end_children()
        raise
    return trainer


def _who_runs(trainer: int) -> dict[str, Any]:
    supervisor, trainer_process = process.identify(os.getpid()), process.identify(trainer)
    return {
        "boot_id": supervisor.boot_id,
        "supervisor": {"pid": supervisor.pid, "start_time": supervisor.start_time},
        "trainer": {"pid": trainer, "start_time": trainer_process.start_time},
    }


def _not_started(error: Exception) -> dict[str, Any]:
    return {
        "exit_code": COULD_NOT_START,
        "signal": None,
        "ended_at": time.time(),
        "stop_requested": False,
        "killed_after_grace": False,
        "oom_killed": False,
        "peak_rss_bytes": 0,
        "error": str(error),
    }


def _wait(run: RunDirectory, trainer: int) -> _Ending:
    """Return when the trainer has ended, by itself or by a stop. It is not reaped."""
    stop_requested = killed = False
    deadline = math.inf
    if run.stop.exists():  # asked before supervisor.json told whom to send the signal
        signal.raise_signal(signal.SIGTERM)
    while not _has_ended(trainer):
        left = deadline - time.monotonic()
        if left <= 0:
            _kill_group(trainer)
            killed, deadline = True, math.inf
        elif _next_signal(left) == signal.SIGTERM and not killed:
            if not stop_requested:
                os.kill(trainer, signal.SIGTERM)
            stop_requested = True
            deadline = min(deadline, time.monotonic() + _grace(run))
    return _Ending(stop_requested, killed)


def _has_ended(trainer: int) -> bool:
    """Look without reaping the trainer; reap the orphans it has left to us so far."""
    while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if ended.si_pid == trainer:
            return True
        os.waitpid(ended.si_pid, 0)
    return False


def _next_signal(seconds: float) -> int | None:
    if seconds == math.inf:
        return signal.sigwaitinfo(_WATCHED).si_signo
    taken = signal.sigtimedwait(_WATCHED, seconds)
    return taken.si_signo if taken else None


def _grace(run: RunDirectory) -> float:
    try:
        seconds = float((read_json(run.stop) or {})["grace_seconds"])
    except (OSError, ValueError, TypeError, KeyError):
        return DEFAULT_GRACE
    return min(max(0.0, seconds), LONGEST_GRACE)


def _end_children() -> None:
    """Kill and reap all that the trainer left.

    Only our own children are killed: nobody else reaps them, so their pids cannot have been taken
    over. What they leave in turn becomes ours, a subreaper's, and comes next.
    """
    give_up = time.monotonic() + TEARDOWN
    while _reap_some_are_left():
        left = process.children(os.getpid())
        if time.monotonic() > give_up:
            sys.stderr.write(f"processes {left} did not end of SIGKILL in {TEARDOWN:.0f} s\n")
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        signal.sigtimedwait((signal.SIGCHLD,), 0.1)


def _reap_some_are_left() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _close_stdout() -> None:
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")


if __name__ == "__main__":
    main(sys.argv[1:])
