"""Scans a file, a large one with all cores: each process reads it whole and judges its part."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tunesmith.check.quality import finder
from tunesmith.check.scan import MOST_CHARACTERS, Scan, merged, scan
from tunesmith.dataset import read_rows
from tunesmith.errors import TunesmithError

# Bytes from which more processes are worth their start. Reading is a sixth of the work, so more
# than a few gain nothing.
LARGE = 64 << 20
MOST_PROCESSES = 4


@dataclass(frozen=True)
class FileToScan:
    """A file, and how it is scanned."""

    path: Path
    sample_size: int
    seed: int
    controls: tuple[str, ...]
    """Control tokens to be looked for."""
    deadline: float | None
    """Of `time.monotonic`, which all processes of a machine share."""


def scan_file(
    file: FileToScan, progress: Callable[[int], None] = lambda rows: None, large: int = LARGE
) -> Scan:
    """Return what is in `file`; from `large` bytes on by several processes.

    Raises RunFailure for one that cannot be read, and TunesmithError where a process was killed,
    as the kernel does when memory runs out.
    """
    parts = 1
    if file.path.stat().st_size >= large:
        parts = min(len(os.sched_getaffinity(0)), MOST_PROCESSES)
    if parts == 1:
        return _part(file, (0, 1), progress)
    # Not fork: the tokenizer's threads would not live on in the child.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(parts - 1, mp_context=context) as pool:
        others = [pool.submit(_part, file, (which, parts)) for which in range(1, parts)]
        own = _part(file, (0, parts), progress)
        try:
            return merged([own, *(each.result() for each in others)])
        except BrokenProcessPool as error:
            raise TunesmithError("side_process_failed", reason=str(error)) from None


def _part(
    file: FileToScan, part: tuple[int, int], progress: Callable[[int], None] = lambda rows: None
) -> Scan:
    return scan(
        read_rows(file.path),
        sample_size=file.sample_size // part[1],
        seed=file.seed + part[0],
        has_control=finder(file.controls),
        deadline=file.deadline,
        progress=progress,
        part=part,
        most_characters=MOST_CHARACTERS // part[1],
    )
