"""What past runs took beside what was planned, and what that says of the next plan. Pure."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from tunesmith.memory_plan.records import MemoryPlan

RUNS_AT_MOST = 20  # the newest of a kind that count
BOUNDS = (0.8, 1.5)  # further off is no allocator's slack: something else went on


@dataclass(frozen=True)
class MemoryRun:
    """A run that has ended: what was planned for its largest micro-batch, and what it took."""

    task_id: int
    attempt: int
    ended_at: float
    base_model: str
    family: str
    method: str
    device_type: str
    mode: str
    gradient_checkpointing: bool
    planned: int
    """Bytes by the plan as it is, uncorrected: peak and what the libraries take."""
    ratio: float
    """By which the plan that was told had been corrected."""
    measured: int
    """GPU: the allocator's peak. CPU: resident high water less that before the base model."""

    @property
    def told(self) -> int:
        return round(self.planned * self.ratio)

    @property
    def error(self) -> float:
        """Of the plan that was told, as a part of what was measured."""
        return self.told / self.measured - 1


def learnt_ratio(runs: Iterable[MemoryRun]) -> float:
    """Return the median of measured / planned of runs of one kind, the newest first; 1 of none."""
    return ratio_of(run.measured / run.planned for run in runs if run.planned > 0)


def ratio_of(parts: Iterable[float]) -> float:
    """Return the bounded median of measured / planned, the newest first."""
    newest = list(islice(parts, RUNS_AT_MOST))
    low, high = BOUNDS
    return min(high, max(low, statistics.median(newest))) if newest else 1.0


def comparable(plan: MemoryPlan, device_type: str) -> int:
    """Return the bytes of a plan that `MemoryRun.measured` measures.

    A GPU's allocator does not see the context; on a CPU libraries count as all else does.
    """
    return plan.peak if device_type == "cuda" else plan.needed
