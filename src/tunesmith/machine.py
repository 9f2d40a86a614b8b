"""What this machine has and how much of it is used: processors, memory, disk."""

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from tunesmith.memory_plan.available import CGROUP, cpu_memory

CPU_SECONDS = 0.2  # over which the processors are watched


@dataclass(frozen=True)
class Machine:
    """Sizes are bytes."""

    hostname: str
    cpu_count: int
    cpu_percent: float
    """Of all processors together."""
    memory_total_bytes: int
    """The machine's, or the container's limit if that is less."""
    memory_used_bytes: int
    disk_total_bytes: int
    disk_free_bytes: int
    """For this user, on the disk of the directory that was asked for."""


def look_at_machine(directory: Path, cgroup: Path = CGROUP) -> Machine:
    """Return how the machine stands; takes CPU_SECONDS."""
    import psutil  # 20 ms, which no start of a server should wait for

    memory = psutil.virtual_memory()
    total = min(memory.total, _limit(cgroup) or memory.total)
    available = cpu_memory(cgroup=cgroup)
    disk = shutil.disk_usage(directory)
    return Machine(
        hostname=socket.gethostname(),
        cpu_count=psutil.cpu_count() or 1,
        cpu_percent=psutil.cpu_percent(CPU_SECONDS),
        memory_total_bytes=total,
        memory_used_bytes=max(0, total - (memory.available if available is None else available)),
        disk_total_bytes=disk.total,
        disk_free_bytes=disk.free,
    )


def _limit(cgroup: Path) -> int | None:
    try:
        return int((cgroup / "memory.max").read_text())
    except (OSError, ValueError):  # no cgroup of version 2, or "max"
        return None
