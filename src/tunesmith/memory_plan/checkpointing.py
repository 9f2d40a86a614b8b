"""`gradient_checkpointing: auto`: on only where the plan says that memory needs it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tunesmith.memory_plan.formula import plan
from tunesmith.memory_plan.records import MemoryPlan, Workload

# The plan's own error, and what else comes and goes on a device that is nobody's alone.
MARGIN = 1.1


@dataclass(frozen=True)
class Decision:
    """Whether to recompute activations, and the plan of what was chosen."""

    gradient_checkpointing: bool
    plan: MemoryPlan
    without: int
    """Bytes needed without, margin not included."""
    available: int | None


def decide(
    config: Mapping[str, Any],
    workload: Workload,
    wanted: bool | Literal["auto"],
    available: int | None,
    ratio: float = 1.0,
) -> Decision:
    """Choose for `workload`; `available` are the device's free bytes, None if nobody knows.

    Raises InvalidInput for a model that the formula does not know.
    """
    off = replace(workload, gradient_checkpointing=False)
    without = plan(config, off).corrected(ratio)
    if wanted == "auto":
        on = available is not None and without.needed * MARGIN > available
    else:
        on = wanted
    chosen = (
        plan(config, replace(workload, gradient_checkpointing=True)) if on else plan(config, off)
    )
    return Decision(on, chosen.corrected(ratio), without.needed, available)
