"""Exceptions -> codes of the catalogue. Imports no torch: a run can fail before it is there."""

import errno
import sys
from typing import Any

from tunesmith.errors import TunesmithError

LONGEST_REASON = 400  # characters
# safetensors and torch say it in words of their own.
FULL_DISK = ("No space left on device", "StorageFull", "Disk quota exceeded")
NO_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "Cannot allocate memory",
    "ALLOC_FAILED",
    "bad_alloc",
    "can't start new thread",  # no room for its stack
    # oneDNN, which a CPU multiplies with, when there is no room for the code that it makes.
    "could not create a primitive",
)


def describe(error: BaseException, device: str, output_path: str) -> tuple[str, dict[str, Any]]:
    """Return code and parameters of the `error` event for what ended a run."""
    if isinstance(error, TunesmithError):
        return error.code, error.params
    if is_disk_full(error):
        path = getattr(error, "filename", None) or output_path
        return "disk_full", {"path": str(path)}
    if is_out_of_memory(error):
        return "out_of_memory", {"device": device, "reason": short_reason(error)}
    return "trainer_crashed", {"reason": short_reason(error)}


def is_out_of_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (
        torch is not None and isinstance(error, torch.OutOfMemoryError)
    ):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(part in str(error) for part in NO_MEMORY)


def is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(part in str(error) for part in FULL_DISK)


def short_reason(error: BaseException) -> str:
    """Return "Type: first line of the message"."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    return (f"{name}: {lines[0]}" if lines else name)[:LONGEST_REASON]
