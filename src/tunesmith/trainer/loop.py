"""The training loop: optimiser steps, and what is reported, evaluated and saved between them."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from tunesmith.errors import RunFailure
from tunesmith.events import Evaluation, Metrics, Phase, Progress
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.spec import Spec
from tunesmith.trainer.batches import Step, split, steps
from tunesmith.trainer.checkpoint import (
    Best,
    Checkpoints,
    Resume,
    TrainerState,
    data_hash,
    restore,
    rng_state,
)
from tunesmith.trainer.evaluate import Scores, evaluate
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.pace import Pace
from tunesmith.trainer.ranks import Alone, Ranks
from tunesmith.trainer.report import Report
from tunesmith.trainer.schedule import Plan, learning_rate
from tunesmith.trainer.stop import Stop
from tunesmith.trainer.weights import load_weights, trained_parameters

if TYPE_CHECKING:
    from tunesmith.trainer.sharding import Sharded


@dataclass(frozen=True)
class Outcome:
    """How training ended."""

    step: int
    """The last optimiser step that was done."""
    stopped: bool
    seconds: float
    final: dict[str, float]
    """Last values: loss; eval_loss and token_accuracy, those of `best_step` if there is one."""
    best_step: int | None = None
    """With early stopping: the step whose weights the model has now."""


class Training:
    """One run of the loop. `train` does it all."""

    def __init__(
        self,
        forward: Forward,
        samples: EncodedSamples,
        valid: EncodedSamples | None,
        *,
        plan: Plan,
        spec: Spec,
        checkpoints: Checkpoints,
        report: Report,
        stop: Stop,
        resume: Resume | None = None,
        ranks: Ranks | None = None,
        sharded: "Sharded | None" = None,
    ) -> None:
        self._ranks, self._sharded = ranks or Alone(), sharded
        self._forward, self._samples, self._valid = forward, samples, valid
        self._plan, self._spec, self._arguments = plan, spec, spec.training
        self._checkpoints, self._report, self._stop = checkpoints, report, stop
        self._parameters = trained_parameters(forward.model)
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=self._arguments.learning_rate,
            weight_decay=self._arguments.weight_decay,
            fused=True,
        )
        self._pace = Pace()
        self._step = 0
        self._grad_norm = 0.0
        self._rng: dict[str, torch.Tensor] = {}
        # Since the last metrics event:
        self._loss_sum, self._labels = 0.0, 0
        self._final: dict[str, float] = {}
        self._best: Best | None = None
        self._evaluated = 0
        self._resume = resume
        self._data = data_hash(samples)

    def train(self) -> Outcome:
        """Take all steps of the plan that are not done, or as many as a stop leaves time for."""
        began = time.monotonic()
        arguments, plan = self._arguments, self._plan
        self._forward.model.train()
        # The base model's dropout must not be what decides over equal losses of equal runs.
        # Nor may ranks drop the same.
        torch.manual_seed(arguments.seed + self._ranks.place.rank)
        if self._resume:
            self._go_on_from(self._resume)
            if self._evaluated != self._step:  # a stop left it out
                self._evaluate_if_due()
        for step in steps(
            len(self._samples),
            plan.total_steps,
            arguments.per_device_train_batch_size * self._ranks.place.world_size,
            arguments.gradient_accumulation_steps,
            arguments.seed,
        ):
            if step.number <= self._step:
                continue  # done before the checkpoint
            if self._must_stop() or self._patience_is_over():
                break
            started = time.perf_counter()
            if not self._optimiser_step(step):
                break
            self._step = step.number
            # A stop in the middle of the next step goes back to here.
            self._rng = rng_state(self._forward.device)
            self._pace.stepped(
                time.perf_counter() - started, self._samples.count_tokens(step.indices)
            )
            self._after_step()
        stopped = self._must_stop()
        if stopped:
            self._report.phase(Phase.STOPPING)
            # Saved first: a run that goes on from here fills the window of its next metrics.
            if self._step:
                self._save()
            if self._labels:
                self._report_metrics()
        best_step = None if stopped else self._take_best()
        seconds = time.monotonic() - began
        return Outcome(self._step, stopped, seconds, self._final, best_step)

    def _must_stop(self) -> bool:
        """Whether a stop was asked for: of any rank, and then all of them stop here."""
        return self._ranks.any(self._stop.requested)

    def _go_on_from(self, resume: Resume) -> None:
        state = resume.state
        load_weights(self._forward.model, resume.path)
        restore(resume, self._optimizer, self._forward.device, self._ranks.place)
        for group in self._optimizer.param_groups:
            group["weight_decay"] = self._arguments.weight_decay
        self._step, self._evaluated = state.step, state.evaluated
        if resume.path == self._checkpoints.path_of(state.step):
            self._checkpoints.last_step = state.step
        self._loss_sum, self._labels = state.loss_sum, state.labels
        self._final = dict(state.final)
        self._rng = rng_state(self._forward.device)
        if state.best and self._arguments.early_stopping_patience is not None:
            path = self._checkpoints.adopt(Path(state.best.path))
            self._best = replace(state.best, path=str(path))

    def _patience_is_over(self) -> bool:
        patience = self._arguments.early_stopping_patience
        if patience is None or self._best is None or self._best.worse < patience:
            return False
        best = {"best_step": self._best.step, "eval_loss": self._best.eval_loss}
        if self._labels:
            self._report_metrics()
        self._report.warning("early_stopped", step=self._step, patience=patience, **best)
        return True

    def _take_best(self) -> int | None:
        """With early stopping, go back to the weights of the best evaluation; return its step."""
        best = self._best
        if self._arguments.early_stopping_patience is None or best is None:
            return None
        if best.step != self._step:
            self._ranks.any(False)  # the first rank has written it by then
            load_weights(self._forward.model, Path(best.path))
        self._final |= {"eval_loss": best.eval_loss, "token_accuracy": best.token_accuracy}
        return best.step

    def _optimiser_step(self, step: Step) -> bool:
        """Learn from the samples of `step`; return False if a stop came before its end.

        The loss is the mean over all answer tokens of the step, so that it does not matter how
        its samples are cut into micro-batches.
        """
        labels = self._samples.count_labels(step.indices)
        loss_sum = torch.zeros((), device=self._forward.device)
        # All ranks' labels: the sum of their gradients is the gradient of the step's mean.
        mine = self._ranks.share(step.indices, self._samples.lengths[step.indices])
        for indices in split(mine, self._arguments.per_device_train_batch_size):
            if self._stop.requested:
                break
            logits, targets = self._forward.logits(self._samples, indices)
            loss = functional.cross_entropy(logits.float(), targets, reduction="sum")
            torch.autograd.backward(loss / labels)
            loss_sum += loss.detach()  # stays on the device: one wait for it a step, not more
        total = self._sum_over_ranks(float(loss_sum))
        if total is None:
            return False
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._arguments.max_grad_norm)
        self._grad_norm = float(norm)
        for value in (total, self._grad_norm):
            if not math.isfinite(value):
                raise RunFailure("nan_loss", value=str(value), step=step.number)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(step.number, self._plan, self._arguments)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._loss_sum += total
        self._labels += labels
        return True

    def _sum_over_ranks(self, loss_sum: float) -> float | None:
        """Make losses and gradients those of all ranks; None if one of them has to stop.

        A rank that was told to stop may have left its micro-batches halfway: nobody then uses
        what was learnt in this step.
        """
        if self._sharded is not None:
            self._sharded.finish()
        total, stops = self._ranks.total([loss_sum, float(self._stop.requested)])
        if stops:
            return None
        self._ranks.sum_gradients(self._parameters)
        return total

    def _after_step(self) -> None:
        step, plan = self._step, self._plan
        last = step == plan.total_steps
        if step % self._arguments.logging_steps == 0 or last:
            self._report_metrics()
        else:
            self._report.progress(
                Progress(
                    step=step,
                    epoch=plan.epoch_after(step),
                    tokens_per_second=self._pace.tokens_per_second,
                    eta_seconds=self._eta(),
                )
            )
        self._evaluate_if_due()
        # After the last step comes the final adapter itself.
        if step % self._arguments.save_steps == 0 and not last:
            self._save()

    def _report_metrics(self) -> None:
        self._final["loss"] = self._loss_sum / self._labels
        self._report.metrics(
            Metrics(
                step=self._step,
                epoch=self._plan.epoch_after(self._step),
                loss=self._final["loss"],
                learning_rate=learning_rate(self._step, self._plan, self._arguments),
                grad_norm=self._grad_norm,
                tokens_per_second=self._pace.tokens_per_second,
                eta_seconds=self._eta(),
            ),
            self._plan.total_steps,
        )
        self._loss_sum, self._labels = 0.0, 0
        self._pace.next_window()

    def _evaluate_if_due(self) -> None:
        due = self._valid is not None and self._plan.evaluates_after(self._step)
        if self._valid is not None and due and not self._must_stop():
            self._evaluate(self._valid)

    def _evaluate(self, valid: EncodedSamples) -> None:
        began = time.monotonic()
        self._report.phase(Phase.EVALUATING)
        scores = self._scores(valid)
        if scores is None:
            return
        if not math.isfinite(scores.eval_loss):
            raise RunFailure("nan_loss", value=str(scores.eval_loss), step=self._step)
        self._evaluated = self._step
        seconds = time.monotonic() - began
        self._pace.evaluated(seconds)
        self._final |= {"eval_loss": scores.eval_loss, "token_accuracy": scores.token_accuracy}
        self._report.evaluation(
            Evaluation(
                step=self._step,
                epoch=self._plan.epoch_after(self._step),
                eval_loss=scores.eval_loss,
                token_accuracy=scores.token_accuracy,
                seconds=seconds,
            )
        )
        if self._arguments.early_stopping_patience is not None:
            self._compare_with_best(scores)
        if self._step < self._plan.total_steps:
            self._report.phase(Phase.TRAINING)

    def _scores(self, valid: EncodedSamples) -> Scores | None:
        """Score `valid`, a part on each rank; None if a stop came in between."""
        mine = self._ranks.share(np.arange(len(valid)), valid.lengths)
        batch_size = self._arguments.per_device_train_batch_size
        here: Scores | None = Scores(0.0, 0.0)
        if len(mine):
            part = valid if len(mine) == len(valid) else valid.only(mine)
            here = evaluate(self._forward, part, batch_size, self._stop)
        if self._sharded is not None:
            with torch.no_grad():
                self._sharded.finish()
        labels = valid.count_labels(mine)
        sums = (0.0, 0.0) if here is None else (here.eval_loss, here.token_accuracy)
        loss, right, stops = self._ranks.total(
            [sums[0] * labels, sums[1] * labels, float(here is None)]
        )
        if stops:
            return None
        return Scores(loss / valid.labels.sum(), right / valid.labels.sum())

    def _compare_with_best(self, scores: Scores) -> None:
        """Keep the checkpoint of the lowest eval_loss; count the evaluations since then."""
        best = self._best
        if best is not None and not scores.eval_loss < best.eval_loss:
            self._best = replace(best, worse=best.worse + 1)
            return
        path = self._checkpoints.path_of(self._step)
        self._best = Best(self._step, scores.eval_loss, scores.token_accuracy, str(path))
        self._checkpoints.best = path
        if self._step < self._plan.total_steps:
            self._save()

    def _save(self) -> None:
        if self._checkpoints.last_step == self._step:
            return
        state = TrainerState(
            step=self._step,
            total_steps=self._plan.total_steps,
            samples=len(self._samples),
            data=self._data,
            base_model=self._spec.base_model,
            arguments=self._arguments.model_dump(mode="json"),
            loss_sum=self._loss_sum,
            labels=self._labels,
            final=self._final,
            best=self._best,
            evaluated=self._evaluated,
            devices=self._ranks.place.world_size,
        )
        rng = self._ranks.gather(self._rng)
        path = self._checkpoints.save(self._forward.model, self._optimizer, rng, state)
        self._report.checkpoint(self._step, str(path))

    def _eta(self) -> float:
        evaluations = self._plan.evaluations_after(self._step) if self._valid is not None else 0
        return self._pace.eta(self._plan.total_steps - self._step, evaluations)
