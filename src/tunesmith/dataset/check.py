"""Checks every row of every split, or as many as fit in a time limit."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.dataset.dataset import Dataset
from tunesmith.dataset.row_problem import BadRow
from tunesmith.dataset.rows import read_rows
from tunesmith.dataset.source import TimeOver
from tunesmith.dataset.split import Keys
from tunesmith.errors import RunFailure

MOST_LISTED = 100  # skipped rows


@dataclass(frozen=True)
class CheckResult:
    """What was read."""

    counts: Mapping[str, int]
    """Samples per split, without skipped rows."""
    skipped: int
    skipped_rows: tuple[BadRow, ...]
    """The first of them."""
    complete: bool
    """Whether that was all; False when the time ran out first."""


def check(
    dataset: Dataset,
    on_bad_rows: Literal["error", "skip"] = "error",
    seconds: float | None = None,
    on_bad: Callable[[BadRow], None] | None = None,
) -> CheckResult:
    """Read all rows, for `seconds` at most; `on_bad` is told each row that is skipped.

    A file that is to be divided is divided at the end. Raises RunFailure: `bad_row`,
    `dataset_empty`, `dataset_all_bad`, `split_impossible`, or that a file cannot be read.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    counts: dict[str, int] = {}
    skipped: list[BadRow] = []
    count_skipped = 0
    keys = Keys() if dataset.fractions is not None else None
    for name, file in dataset.files.items():
        counts[name] = bad_here = 0
        first_bad: BadRow | None = None
        try:
            for row in read_rows(file, deadline=deadline):
                if isinstance(row, BadRow):
                    if on_bad_rows == "error" or row.ends_file:
                        raise row.failure()
                    first_bad = first_bad or row
                    bad_here += 1
                    if len(skipped) < MOST_LISTED:
                        skipped.append(row)
                    if on_bad is not None:
                        on_bad(row)
                    if keys is not None:
                        keys.add_bad()
                    continue
                counts[name] += 1
                if keys is not None:
                    keys.add(row)
        except TimeOver:
            return CheckResult(counts, count_skipped + bad_here, tuple(skipped), complete=False)
        count_skipped += bad_here
        if not counts[name] and first_bad is not None:
            raise RunFailure("dataset_all_bad", count=bad_here, **first_bad.place())
        if not counts[name] and name != "test":
            raise RunFailure("dataset_empty", file=file.name)
    if keys is not None:
        dataset.divide(keys)
        counts = {name: _length(split) for name, split in dataset.splits.items()}
    return CheckResult(counts, count_skipped, tuple(skipped), complete=True)


def _length(split: Any) -> int:
    return 0 if split.rows is None else len(split.rows)
