"""Checks every row of every split, or as many as fit in a time limit."""

import time
from dataclasses import dataclass

from tunesmith.dataset.samples import read_samples
from tunesmith.dataset.splits import Splits
from tunesmith.errors import RunFailure


@dataclass(frozen=True)
class CheckResult:
    """Rows read per split; `complete` is False when the time ran out first."""

    train: int
    valid: int
    test: int
    complete: bool


def check(splits: Splits, seconds: float | None = None) -> CheckResult:
    """Read all rows, for `seconds` at most. Raises RunFailure `bad_row` or `dataset_empty`."""
    deadline = None if seconds is None else time.monotonic() + seconds
    counts = {"train": 0, "valid": 0, "test": 0}
    for name in counts:
        file = getattr(splits, name)
        if file is None:
            continue
        for _ in read_samples(file):
            counts[name] += 1
            if deadline and time.monotonic() > deadline:
                return CheckResult(**counts, complete=False)
        if name != "test" and not counts[name]:
            raise RunFailure("dataset_empty", file=file.name)
    return CheckResult(**counts, complete=True)
