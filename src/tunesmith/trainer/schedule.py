"""How many steps, and the learning rate of each. Pure."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from tunesmith.spec import TrainingArguments, samples_per_step


@dataclass(frozen=True)
class Plan:
    """The optimiser steps of a run, numbered from 1. An epoch's last step may be smaller."""

    steps_per_epoch: int
    total_steps: int
    warmup_steps: int
    warmup_refused: int | None
    """What the user gave as warmup_steps, if it was too long to be used."""
    evaluation_every: int
    """Steps from one evaluation to the next."""

    def epoch_after(self, step: int) -> float:
        return step / self.steps_per_epoch

    def evaluates_after(self, step: int) -> bool:
        return step % self.evaluation_every == 0 or step == self.total_steps

    def evaluations_after(self, step: int) -> int:
        """Return how many evaluations are still to come when `step` and its own are done."""
        return math.ceil(self.total_steps / self.evaluation_every) - step // self.evaluation_every


def make_plan(
    samples: int, training: TrainingArguments, given: Collection[str], devices: int = 1
) -> Plan:
    """Plan a run over `samples` samples; `given` names the arguments that are no defaults."""
    steps_per_epoch = math.ceil(samples / samples_per_step(training, devices))
    # Rounded first: 0.1 * 30 is a little more than 3.
    total = max(1, math.ceil(round(training.num_train_epochs * steps_per_epoch, 6)))
    if training.max_steps > 0:
        total = min(total, training.max_steps)
    warmup, refused = _warmup(total, training, given)
    return Plan(steps_per_epoch, total, warmup, refused, training.eval_steps or steps_per_epoch)


def learning_rate(step: int, plan: Plan, training: TrainingArguments) -> float:
    """Return the learning rate of `step` (from 1).

    It rises linearly over the warm-up steps, is at its peak in the step after them, and falls
    towards 0, which it would reach one step after the last.
    """
    done = step - 1
    if done < plan.warmup_steps:
        return training.learning_rate * step / (plan.warmup_steps + 1)
    if training.lr_scheduler_type == "constant":
        return training.learning_rate
    gone = (done - plan.warmup_steps) / (plan.total_steps - plan.warmup_steps)
    if training.lr_scheduler_type == "linear":
        return training.learning_rate * (1 - gone)
    return training.learning_rate * 0.5 * (1 + math.cos(math.pi * gone))


def _warmup(
    total: int, training: TrainingArguments, given: Collection[str]
) -> tuple[int, int | None]:
    if training.warmup_ratio is not None:
        return math.ceil(round(training.warmup_ratio * total, 6)), None
    if "warmup_steps" not in given:
        return min(training.warmup_steps, total // 10), None
    if training.warmup_steps >= total:
        return total // 10, training.warmup_steps
    return training.warmup_steps, None
