"""Memory: a cap on it, and how much a run took. Bytes. Imports torch only when it is used."""

import ctypes
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.memory_plan.available import cpu_memory, installed_memory

if TYPE_CHECKING:
    import torch

GIB = 2**30


# glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
KEPT, PADDING = 2**31 - 1, 64 * 2**20
ALL_ARENAS_PURGE = b"arena.4096.purge"  # MALLCTL_ARENAS_ALL of jemalloc 5


def keep_freed() -> None:
    """Let this process keep the memory that it frees, for its next tensors.

    glibc gives large tensors pages of their own and gives these back at once: the system clears
    each page anew, in every layer. That was 13 % of a step on a CPU. Nothing happens with another
    C library.
    """
    mallopt = _libc("mallopt")
    if mallopt is None:
        return
    for name, value in (
        (M_MMAP_THRESHOLD, KEPT),
        (M_TRIM_THRESHOLD, KEPT),
        (M_TOP_PAD, PADDING),
    ):
        mallopt(name, value)


def give_back(device: "torch.device") -> None:
    """Return freed memory to the device: not all who allocate ask the cache that holds it.

    oneDNN maps pages of its own for the code that it makes.
    """
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif (malloc_trim := _libc("malloc_trim")) is not None:
        malloc_trim(0)


def compact() -> None:
    """Give the free pages between tensors back, where the process's heap is jemalloc's.

    Called where a step is about to take most, they do not add to its peak; all else finds them
    kept. Elsewhere nothing happens.
    """
    if (mallctl := _libc("mallctl")) is not None:
        mallctl(ALL_ARENAS_PURGE, None, None, None, ctypes.c_size_t(0))


def _libc(name: str) -> Any:
    """Return a function of the C library in use, None where it has none of this name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None


def cap(gib: float, device: "torch.device") -> None:
    """Make allocations of more than `gib` GiB fail, beyond what the libraries hold already."""
    import torch

    limit = int(gib * GIB)
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)
        return
    # Threads that cannot get their stacks end the process instead of raising: start them first.
    torch.ones(1 << 20).sum()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _status("VmData") + limit
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def lift_cap() -> None:
    """Let a run that met its cap allocate what it takes to say so. Needs no torch."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def held_by(device: "torch.device", processes: int) -> int:
    """Return the memory of a GPU, or a process's share of this machine's."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return installed_memory() // processes


@contextmanager
def reserved(size: int, device: "torch.device") -> Iterator[None]:
    """Hold `size` bytes meanwhile: for what will be there later."""
    import torch

    held = torch.empty(size, dtype=torch.uint8, device=device)
    try:
        yield
    finally:
        del held


@dataclass(frozen=True)
class Baseline:
    """How a process stood before the base model was read."""

    resident: int
    peak: int


def baseline() -> Baseline:
    """Note how the process stands, and begin its high water anew where the kernel allows it."""
    noted = Baseline(resident(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return noted


def peak(device: "torch.device", before: Baseline) -> int:
    """Return the GPU allocator's peak, or the process's resident high water on a CPU."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return max(before.peak, resident_peak())


def taken(device: "torch.device", before: Baseline) -> int:
    """Return what a memory plan is compared with: what base model and training took."""
    return peak(device, before) if device.type == "cuda" else resident_peak() - before.resident


def available(device: "torch.device", at_most_gib: float | None) -> int | None:
    """Return the free bytes of a device, or the user's cap where that is less."""
    import torch

    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else cpu_memory()
    if at_most_gib is None:
        return free
    cap = int(at_most_gib * GIB)
    return cap if free is None else min(free, cap)


def resident() -> int:
    """Return what of this process lies in the machine's memory now."""
    return _status("VmRSS")


def resident_peak() -> int:
    """Return the most of it since the start, or since `baseline`."""
    return _status("VmHWM")


def _status(name: str) -> int:
    """Return a size in /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")
