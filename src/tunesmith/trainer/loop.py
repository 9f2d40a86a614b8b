"""The training loop: optimiser steps, and what is reported, evaluated and saved between them."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tunesmith.errors import RunFailure
from tunesmith.events import Evaluation, Metrics, Phase, Progress
from tunesmith.prompt.encoded import EncodedSamples, Ints
from tunesmith.spec import Spec
from tunesmith.trainer.batches import Step, steps
from tunesmith.trainer.checkpoint import (
    Best,
    Checkpoints,
    Resume,
    TrainerState,
    data_hash,
    restore,
    rng_state,
    set_rng_state,
)
from tunesmith.trainer.evaluate import Scores, evaluate
from tunesmith.trainer.failures import is_out_of_memory, short_reason
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.memory import compact, give_back, reserved
from tunesmith.trainer.pace import Pace
from tunesmith.trainer.ranks import Alone, Ranks
from tunesmith.trainer.report import Report
from tunesmith.trainer.room import largest_batches, smaller_room
from tunesmith.trainer.schedule import Plan, learning_rate
from tunesmith.trainer.stop import Stop
from tunesmith.trainer.weights import bytes_here, load_weights, trained_parameters

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
        tokens_at_once: int | None = None,
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
        # What a padded micro-batch holds at most. Packed ones are filled up to it.
        self._tokens_at_once = tokens_at_once or (
            self._arguments.per_device_train_batch_size * self._arguments.max_seq_length
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
        compact()  # what reading the base model has left
        # The base model's dropout must not be what decides over equal losses of equal runs.
        # Nor may ranks drop the same.
        torch.manual_seed(arguments.seed + self._ranks.place.rank)
        if self._resume:
            self._go_on_from(self._resume)
            if self._evaluated != self._step:  # a stop left it out
                self._evaluate_if_due()
        if self._memory_is_bounded():
            self._rehearse()
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

    def _memory_is_bounded(self) -> bool:
        """Whether an allocation too many raises an exception, rather than ending the process."""
        return self._forward.device.type == "cuda" or self._spec.gpu.max_memory_gib is not None

    def _rehearse(self) -> None:
        """Compute the gradients of the largest micro-batches there can be, and forget them: memory
        runs out now or never."""
        arguments = self._arguments
        count = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
        state = rng_state(self._forward.device)
        moments = 0 if self._optimizer.state else 2 * sum(map(bytes_here, self._parameters))
        with reserved(moments, self._forward.device):
            packed = self._forward.packed
            longest, most_learnt = largest_batches(
                self._samples, count, self._tokens_at_once, packed=packed
            )
            self._try_gradients(longest)
            if not self._forward.by_kernels:  # it holds the logits of all that is learnt
                self._try_gradients(most_learnt)
        set_rng_state(state, self._forward.device)

    def _try_gradients(self, indices: Ints) -> None:
        try:
            self._gradients(indices, self._samples.count_labels(indices))
            self._finish_passes()
        except Exception as error:
            if self._sharded is None or not is_out_of_memory(error):
                raise
            raise self._begin_again(indices, short_reason(error)) from error
        self._optimizer.zero_grad(set_to_none=True)

    def _optimiser_step(self, step: Step) -> bool:
        """Learn from the samples of `step`; return False if a stop came before its end."""
        labels = self._samples.count_labels(step.indices)
        mine = self._ranks.share(step.indices, self._samples.lengths[step.indices])
        loss_sum = self._sum_over_ranks(self._gradients(mine, labels))
        if loss_sum is None:
            return False
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._arguments.max_grad_norm)
        total, self._grad_norm = float(loss_sum), float(norm)
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

    def _sum_over_ranks(self, loss_sum: torch.Tensor | None) -> torch.Tensor | None:
        """Make losses and gradients those of all ranks; None if one of them has to stop.

        Each rank has divided by the labels of the whole step, so the sums are its mean. One that
        was told to stop may have left its micro-batches halfway: then nobody learns from the step.
        """
        if self._ranks.place.world_size == 1:
            return loss_sum
        self._finish_passes()
        here = 0.0 if loss_sum is None else float(loss_sum)
        total, stops = self._ranks.total([here, float(loss_sum is None)])
        if stops:
            return None
        self._ranks.sum_gradients(self._parameters)
        return torch.tensor(total)

    def _finish_passes(self) -> None:
        """Where weights are divided, take part in the passes that other ranks still have."""
        if self._sharded is not None:
            self._sharded.finish()

    def _gradients(self, indices: Ints, labels: int) -> torch.Tensor | None:
        """Add up the gradients of the samples; return the sum of their losses, None after a stop.

        When memory runs out it begins again with smaller micro-batches: what is learnt does not
        hang on them. Raises RunFailure `sample_out_of_memory` when one sample alone is too much.
        """
        while True:
            try:
                return self._accumulate(indices, labels)
            except Exception as error:
                # Where weights are divided, the other ranks are in the middle of this pass: what
                # the rehearsal does not find ends the run.
                if not is_out_of_memory(error) or self._sharded is not None:
                    raise
                reason = short_reason(error)
            # Only out here has the error let go of what did not fit.
            self._optimizer.zero_grad(set_to_none=True)
            self._shrink(self._samples, indices, reason)

    def _accumulate(self, indices: Ints, labels: int) -> torch.Tensor | None:
        """The loss is the mean over all `labels` answer tokens of the step, so that it does not
        matter how its samples are cut into micro-batches."""
        # Stays on the device: one wait for it a step, not more.
        loss_sum = torch.zeros((), device=self._forward.device)
        for batch in self._forward.batches(self._samples, indices, self._tokens_at_once):
            if self._stop.requested:
                return None
            loss = self._forward.loss_sum(batch)
            torch.autograd.backward(loss / labels)
            loss_sum += loss.detach()
        return loss_sum

    def _shrink(self, samples: EncodedSamples, indices: Ints, reason: str) -> None:
        before, room = self._tokens_at_once, self._smaller_room(samples, indices, reason)
        self._tokens_at_once = room
        give_back(self._forward.device)
        self._report.warning("smaller_batches", before=before, now=room, reason=reason)

    def _begin_again(self, indices: Ints, reason: str) -> RunFailure:
        """Return what has `several.launch` start all ranks again, with fewer tokens at once."""
        room = self._smaller_room(self._samples, indices, reason)
        smaller = {"before": self._tokens_at_once, "now": room, "reason": reason}
        device = str(self._forward.device)
        return RunFailure("out_of_memory", device=device, reason=reason, smaller=smaller)

    def _smaller_room(self, samples: EncodedSamples, indices: Ints, reason: str) -> int:
        packed, before = self._forward.packed, self._tokens_at_once
        room = smaller_room(samples, indices, before, packed=packed)
        if room is None:
            longest = int(samples.lengths[indices].max())
            device = str(self._forward.device)
            raise RunFailure("sample_out_of_memory", tokens=longest, device=device, reason=reason)
        return room

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
        here: Scores | None = Scores(0.0, 0.0)
        if len(mine):
            part = valid if len(mine) == len(valid) else valid.only(mine)
            here = self._scores_of(part)
        with torch.no_grad():
            self._finish_passes()
        if self._ranks.place.world_size == 1:
            return here
        labels, all_labels = valid.count_labels(mine), int(valid.labels.sum())
        sums = (
            (0.0, 0.0) if here is None else (here.eval_loss * labels, here.token_accuracy * labels)
        )
        loss, right, stops = self._ranks.total([*sums, float(here is None)])
        return None if stops else Scores(loss / all_labels, right / all_labels)

    def _scores_of(self, samples: EncodedSamples) -> Scores | None:
        """Score `samples`; when memory runs out, again with smaller micro-batches."""
        while True:
            try:
                return evaluate(self._forward, samples, self._tokens_at_once, self._stop)
            except Exception as error:
                if not is_out_of_memory(error) or self._sharded is not None:
                    raise
                reason = short_reason(error)
            self._shrink(samples, np.arange(len(samples)), reason)

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
