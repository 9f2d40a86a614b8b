"""Results of runs -> medians, ratios, and whether the peers did the same work. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean, median
from typing import Any, TypeVar

from benchmarks.peers.job import Measured

Number = TypeVar("Number", int, float)

OURS = "tunesmith"
SAME_LOSS = 1e-3
# Modes in which a step holds other samples than without.
REORDERING = ("packing",)


@dataclass(frozen=True)
class Cell:
    """What is compared: runs of one cell differ in their round only."""

    workload: str
    method: str
    peer: str
    mode: str


@dataclass(frozen=True)
class Run:
    """One run: what was measured, or why it failed."""

    cell: Cell
    round: int
    limit: float
    """FLOPs/s that the machine can do on this model."""
    flops: list[float]
    """That each step needs."""
    others: float
    """CPU seconds per second that other processes took meanwhile."""
    measured: Measured | None
    failed: str | None = None


@dataclass(frozen=True)
class Summary:
    """Medians over the rounds of a cell. The first step, which warms up, is not counted."""

    tokens_per_second: float
    seconds_per_step: float
    share_of_limit: float
    peak_mib: float
    above_mib: float
    """Peak less what was resident before the model was loaded."""
    first_step_seconds: float
    """From the start of the process to the end of the first step."""
    loss: float
    """Mean over the steps of the first round."""
    rounds: int
    others: float


def summary(runs: Iterable[Run]) -> Summary | None:
    """Return the medians of a cell's runs; None if all have failed."""
    good = [(run, run.measured) for run in runs if run.measured is not None]
    if not good:
        return None
    peaks = [found.peak_bytes / 2**20 for _, found in good]
    above = [(found.peak_bytes - found.before_model_bytes) / 2**20 for _, found in good]
    return Summary(
        median(sum(warm(found.tokens)) / sum(warm(found.seconds)) for _, found in good),
        median(mean(warm(found.seconds)) for _, found in good),
        median(sum(warm(run.flops)) / sum(warm(found.seconds)) / run.limit for run, found in good),
        median(peaks),
        median(above),
        median(found.first_step_seconds for _, found in good),
        mean(good[0][1].losses),
        len(good),
        max(run.others for run, _ in good),
    )


def warm(steps: list[Number]) -> list[Number]:
    return steps[1:] or steps


def by_cell(runs: Iterable[Run]) -> dict[Cell, list[Run]]:
    found: dict[Cell, list[Run]] = {}
    for run in runs:
        found.setdefault(run.cell, []).append(run)
    return found


def summaries(runs: Iterable[Run]) -> dict[Cell, Summary]:
    """Return the medians of every cell that has a run which did not fail."""
    made = {cell: summary(same) for cell, same in by_cell(runs).items()}
    return {cell: each for cell, each in made.items() if each is not None}


def ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}"


def differences(runs: Iterable[Run]) -> list[str]:
    """Return, in words, where a run of a workload and method did other work than Tunesmith's."""
    found = []
    cells = {cell: same for cell, same in by_cell(runs).items() if cell.mode not in REORDERING}
    for cell, same in cells.items():
        ours = next(
            (
                each.measured
                for our, all_ours in cells.items()
                if our == Cell(cell.workload, cell.method, OURS, "plain")
                for each in all_ours
                if each.measured
            ),
            None,
        )
        for theirs in (each.measured for each in same if each.measured):
            if ours is not None and (words := _difference(ours, theirs)):
                found.append(f"{cell.workload}, {cell.method}: {cell.peer} {cell.mode}: {words}")
    return list(dict.fromkeys(found))


def _difference(ours: Measured, theirs: Measured) -> str:
    if sorted(ours.first_batch) != sorted(theirs.first_batch):
        return "other samples in the first step"
    if (ours.tokens, ours.labels) != (theirs.tokens, theirs.labels):
        return f"{theirs.tokens} tokens, {theirs.labels} labels; {ours.tokens}, {ours.labels}"
    if abs(mean(ours.losses) / mean(theirs.losses) - 1) > SAME_LOSS:
        return f"mean loss {mean(theirs.losses):.5f}, not {mean(ours.losses):.5f}"
    return ""


def merged(old: Iterable[Run], new: Iterable[Run]) -> list[Run]:
    """Return `new`, and those of `old` whose cell was not run again."""
    new = list(new)
    again = {run.cell for run in new}
    return [*(run for run in old if run.cell not in again), *new]


def to_json(run: Run) -> dict[str, Any]:
    return {**vars(run), "cell": vars(run.cell), "measured": run.measured and vars(run.measured)}


def from_json(value: Mapping[str, Any]) -> Run:
    measured = value["measured"] and Measured(**value["measured"])
    return Run(**{**value, "cell": Cell(**value["cell"]), "measured": measured})
