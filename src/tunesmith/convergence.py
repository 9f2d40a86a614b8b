"""What the curves of a training say: still falling, settled, overfitting, diverging. Pure.

A judgement by rules of thumb, for people who look at curves seldom; it decides nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pvariance
from typing import Any, Literal

LEAST_POINTS = 10
LEAST_EVALUATIONS = 3
PART = 0.2  # of the curve, at its end, that is compared with as much before it
RISEN = 1.3  # a loss that much above its lowest is far from it,
RISEN_OF_FALL = 0.05  # unless all data is learnt by heart: then that is next to nothing
EVAL_RISEN = 1.02
STILL_FALLING = 0.02  # of the whole fall so far
NOTICEABLE = 0.005  # of the loss itself

Code = Literal["too_short", "falling", "settled", "overfitting", "diverging"]


@dataclass(frozen=True)
class Point:
    """A loss at a step; None for one that was not finite."""

    step: int
    loss: float | None


@dataclass(frozen=True)
class Verdict:
    """`params` fill the sentence `convergence.<key>`."""

    code: Code
    key: str
    params: dict[str, Any]


def judge(training: Sequence[Point], evaluation: Sequence[Point]) -> Verdict | None:
    """Return what the curves of one attempt say, None before there are any points.

    Points are in the order of their steps.
    """
    if not training:
        return None
    last = training[-1]
    if last.loss is None:
        return Verdict("diverging", "not_finite", {"step": last.step})
    losses = [point.loss for point in training if point.loss is not None]
    if len(losses) < LEAST_POINTS:
        return Verdict("too_short", "too_short", {"points": len(losses)})
    part = max(3, round(len(losses) * PART))
    latest, earlier = losses[-part:], losses[-2 * part : -part]
    now, before = fmean(latest), fmean(earlier)
    lowest = _lowest_mean(losses, part)
    # Two standard errors of the difference between the means.
    noise = 2 * math.sqrt((pvariance(latest) + pvariance(earlier)) / part)
    begun = fmean(losses[:part])
    # Twice the noise: the lowest was chosen among many.
    least_rise = max((RISEN - 1) * lowest, RISEN_OF_FALL * (begun - lowest), 2 * noise)
    if now > before and now - lowest > least_rise:
        return Verdict("diverging", "diverging", {"best": _short(lowest), "now": _short(now)})
    if overfitted := _overfitting(evaluation):
        return overfitted
    least = max(STILL_FALLING * (begun - now), NOTICEABLE * abs(now), noise)
    if before - now > least:
        return Verdict("falling", "falling", {"before": _short(before), "now": _short(now)})
    return Verdict("settled", "settled", {"now": _short(now)})


def _lowest_mean(losses: Sequence[float], part: int) -> float:
    """Return the lowest mean of `part` losses side by side."""
    total = lowest = math.fsum(losses[:part])
    for leaving, coming in zip(losses, losses[part:], strict=False):
        total += coming - leaving
        lowest = min(lowest, total)
    return lowest / part


def _overfitting(evaluation: Sequence[Point]) -> Verdict | None:
    """Return that the validation loss rises for good: two evaluations or more above the best."""
    known = [(point.step, point.loss) for point in evaluation if point.loss is not None]
    if len(known) < LEAST_EVALUATIONS:
        return None
    best_step, best = min(known, key=lambda each: each[1])
    after = [loss for step, loss in known if step > best_step]
    if len(after) < 2 or min(after[-2:]) < EVAL_RISEN * best:
        return None
    params = {"best_step": best_step, "best": _short(best), "now": _short(after[-1])}
    return Verdict("overfitting", "overfitting", params)


def _short(value: float) -> float:
    """Return four digits of `value`: more would say nothing."""
    return float(f"{value:.4g}")
