"""How much memory this machine has free for a training. Bytes."""

import os
from pathlib import Path

NATIVE_BF16 = {"avx512_bf16", "amx_bf16"}  # flags in /proc/cpuinfo
PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def cpu_memory(proc: Path = PROC, cgroup: Path = CGROUP) -> int | None:
    """Return what may be taken before the machine, or the container, is out of it.

    None where the system does not tell.
    """
    found = [size for size in (_available(proc), _left_in_container(cgroup)) if size is not None]
    return min(found, default=None)


def installed_memory() -> int:
    """Return what the machine has, free or not."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def cpu_multiplies_bf16(proc: Path = PROC) -> bool:
    """Whether the processor multiplies bf16 itself; without that fp32 is far faster."""
    try:
        for line in (proc / "cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return bool(NATIVE_BF16 & set(line.split()))
    except OSError:
        pass
    return False


def _available(proc: Path) -> int | None:
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _left_in_container(cgroup: Path) -> int | None:
    """Return what a cgroup (version 2) leaves; None without a limit."""
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        cached = 0
        for line in (cgroup / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "active_file"):  # the kernel gives these up first
                cached += int(value)
    except (OSError, ValueError):  # "max"
        return None
    return max(0, limit - used + cached)
