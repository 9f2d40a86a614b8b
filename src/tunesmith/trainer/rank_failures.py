"""Why a run on several devices failed: what each rank leaves behind, and which was the first cause.

When one rank fails all do, for their collectives end. So each leaves word in the run directory
(`failure-<rank>.json`), and the process that started them tells the one cause.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.run_directory import RunDirectory, read_json, write_json
from tunesmith.trainer.ranks import Place, is_lost_peer


class Ending(NamedTuple):
    """How a rank's process ended that did not end well."""

    rank: int
    exit_code: int
    """Negative: the number of the signal."""
    ended_here: bool
    """It was this process that killed it."""


@dataclass(frozen=True)
class Failure:
    """What a rank says about its own end."""

    rank: int
    at: float
    code: str
    params: Mapping[str, Any]
    lost_peer: bool
    """It only noticed that another rank was gone."""


def leave_failure(
    directory: RunDirectory, place: Place, error: BaseException, code: str, params: dict[str, Any]
) -> None:
    """Leave word of what ended this rank, for the process that started it, and in the log."""
    lost = is_lost_peer(error)
    value = {"at": time.time(), "code": code, "params": params, "lost_peer": lost}
    with suppress(OSError):  # a full disk
        write_json(_failure_file(directory, place.rank), value)
    trace = "" if lost else "".join(traceback.format_exception(error))
    told = f"rank {place.rank} of {place.world_size}: {params.get('reason') or code}\n{trace}"
    # One write: lines of two ranks must not mix.
    os.write(sys.stderr.fileno(), told.encode("utf-8", "backslashreplace"))


def forget_failures(directory: RunDirectory) -> None:
    for path in directory.path.glob("failure-*.json"):
        path.unlink()


def read_failures(directory: RunDirectory, ranks: int) -> list[Failure]:
    """Return what the ranks of a run that has ended have left."""
    found = []
    for rank in range(ranks):
        if (value := read_json(_failure_file(directory, rank))) is not None:
            found.append(Failure(rank, **value))
    return found


def first_cause(
    endings: Iterable[Ending], failures: Iterable[Failure], ranks: int
) -> tuple[str, dict[str, Any]]:
    """Return code and parameters of what ended the run. Pure.

    A rank that was killed cannot say so, and the others notice only that it is gone. NCCL's
    watchdog aborts a process that waits for a dead one, so an abort counts less than a word.
    """
    signals = {ending.rank: -ending.exit_code for ending in endings if ending.exit_code < 0}
    mine = {ending.rank for ending in endings if ending.ended_here}
    dead = {r: s for r, s in signals.items() if r not in mine and s != signal.SIGTERM}
    for rank, number in dead.items():
        if number == signal.SIGKILL:
            return _killed(rank, number, ranks)
    known = sorted(failures, key=lambda failure: (failure.lost_peer, failure.at, failure.rank))
    if known and not known[0].lost_peer:
        return known[0].code, dict(known[0].params)
    for rank, number in dead.items():
        return _killed(rank, number, ranks)
    said = {failure.rank for failure in known}
    for ending in endings:
        if ending.exit_code > 0 and ending.rank not in said:
            reason = f"rank {ending.rank} of {ranks} ended with exit code {ending.exit_code}"
            return "trainer_crashed", {"reason": reason}
    if known:
        return known[0].code, dict(known[0].params)
    return "trainer_crashed", {"reason": f"the {ranks} ranks did not end together"}


def next_room(
    endings: Iterable[Ending], failures: Iterable[Failure], ranks: int
) -> dict[str, Any] | None:
    """Return `before`, `now` (tokens at once) and `reason` where fewer may fit, else None. Pure."""
    code, params = first_cause(endings, failures, ranks)
    return params["smaller"] if code == "out_of_memory" and params.get("smaller") else None


def _killed(rank: int, number: int, ranks: int) -> tuple[str, dict[str, Any]]:
    return "rank_killed", {"rank": rank, "ranks": ranks, "signal": signal.Signals(number).name}


def _failure_file(directory: RunDirectory, rank: int) -> Path:
    return directory.path / f"failure-{rank}.json"
