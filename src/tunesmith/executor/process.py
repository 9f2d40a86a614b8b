"""Who a process is: pid, start time and boot id, because a pid alone is taken over by others.

Linux's /proc is the source. Standard library only, and named tuples because importing dataclasses
takes 12 ms: the supervisor imports it and must start fast.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class Process(NamedTuple):
    """One process of this machine, past or present, and no other one of the same pid."""

    pid: int
    start_time: int
    """Clock ticks from the boot to the process's start (field 22 of /proc/<pid>/stat)."""
    boot_id: str

    def alive(self) -> bool:
        """Whether it runs. A zombie does not: it only waits for its parent to look."""
        now = read_stat(self.pid)
        return (
            now is not None
            and now.start_time == self.start_time
            and now.state not in "ZX"
            and self.boot_id == boot_id()
        )

    def send(self, signal_number: int) -> bool:
        """Send a signal if it is alive; return whether it was.

        The kernel gives pids out in turn, so nobody takes this one over between look and kill.
        """
        if not self.alive():
            return False
        try:
            os.kill(self.pid, signal_number)
        except ProcessLookupError:
            return False
        return True

    def send_group(self, signal_number: int) -> bool:
        """Send a signal to the group that it leads if it is alive; return whether it was."""
        if not self.alive():
            return False
        try:
            os.killpg(self.pid, signal_number)
        except ProcessLookupError:
            return False
        return True


class Stat(NamedTuple):
    """The part of /proc/<pid>/stat that says who a process is."""

    pid: int
    state: str
    """One letter: R, S, D, Z (zombie), X (dead), T ..."""
    parent: int
    start_time: int


def identify(pid: int) -> Process:
    """Return who `pid` is now, zombies included; raise ProcessLookupError if there is none."""
    stat = read_stat(pid)
    if stat is None:
        raise ProcessLookupError(pid)
    return Process(pid, stat.start_time, boot_id())


def boot_id() -> str:
    """Return the random id that the kernel chose at its start."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def read_stat(pid: int) -> Stat | None:
    """Return the state of `pid`, or None if there is no such process."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # PermissionError: another user's, where /proc is mounted with hidepid
    # The second field is the program's name in parentheses and may hold anything, `) Z 1` too.
    fields = text.rpartition(b")")[2].split()
    return Stat(pid, fields[0].decode(), parent=int(fields[1]), start_time=int(fields[19]))


def children(pid: int) -> list[int]:
    """Return the pids of the direct children of `pid`, zombies included."""
    stats = (read_stat(other) for other in _pids())
    return [stat.pid for stat in stats if stat is not None and stat.parent == pid]


def marked(variable: str, value: str) -> list[Process]:
    """Return the live processes whose environment held `variable` = `value` when they started.

    Children inherit it, also those that made a session of their own. Processes of other users
    cannot be looked into and are not found.
    """
    entry = os.fsencode(f"{variable}={value}")
    found = []
    for pid in _pids():
        with suppress(OSError):
            if entry in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                found.append(identify(pid))
    return [process for process in found if process.alive()]


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
