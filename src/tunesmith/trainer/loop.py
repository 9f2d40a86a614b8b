"""The training loop: optimiser steps, and what is reported, evaluated and saved between them."""

import math
import time
from dataclasses import dataclass

import torch
from torch.nn import functional

from tunesmith.errors import RunFailure
from tunesmith.events import Evaluation, Metrics, Phase, Progress
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.spec import Spec
from tunesmith.trainer.adapter import trained_parameters
from tunesmith.trainer.batches import Step, steps
from tunesmith.trainer.checkpoint import Checkpoints, TrainerState, rng_state
from tunesmith.trainer.evaluate import evaluate
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.pace import Pace
from tunesmith.trainer.report import Report
from tunesmith.trainer.schedule import Plan, learning_rate
from tunesmith.trainer.stop import Stop


@dataclass(frozen=True)
class Outcome:
    """How training ended."""

    step: int
    """The last optimiser step that was done."""
    stopped: bool
    seconds: float
    final: dict[str, float]
    """Last values: loss, eval_loss, token_accuracy."""


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
    ) -> None:
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

    def train(self) -> Outcome:
        """Take all steps of the plan, or as many as a stop leaves time for."""
        began = time.monotonic()
        arguments, plan = self._arguments, self._plan
        self._forward.model.train()
        # The base model's dropout must not be what decides over equal losses of equal runs.
        torch.manual_seed(arguments.seed)
        for step in steps(
            len(self._samples),
            plan.total_steps,
            arguments.per_device_train_batch_size,
            arguments.gradient_accumulation_steps,
            arguments.seed,
        ):
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
            if self._stop.requested:
                break
        stopped = self._stop.requested
        if stopped:
            self._report.phase(Phase.STOPPING)
            if self._labels:
                self._report_metrics()
            if self._step:
                self._save()
        return Outcome(self._step, stopped, time.monotonic() - began, self._final)

    def _optimiser_step(self, step: Step) -> bool:
        """Learn from the samples of `step`; return False if a stop came before its end.

        The loss is the mean over all answer tokens of the step, so that it does not matter how
        its samples are cut into micro-batches.
        """
        labels = self._samples.count_labels(step.indices)
        loss_sum = torch.zeros((), device=self._forward.device)
        for indices in step.micro_batches:
            if self._stop.requested:
                return False
            logits, targets = self._forward.logits(self._samples, indices)
            loss = functional.cross_entropy(logits.float(), targets, reduction="sum")
            torch.autograd.backward(loss / labels)
            loss_sum += loss.detach()  # stays on the device: one wait for it a step, not more
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
        if self._valid is not None and plan.evaluates_after(step) and not self._stop.requested:
            self._evaluate(self._valid)
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

    def _evaluate(self, valid: EncodedSamples) -> None:
        began = time.monotonic()
        self._report.phase(Phase.EVALUATING)
        batch_size = self._arguments.per_device_train_batch_size
        scores = evaluate(self._forward, valid, batch_size, self._stop)
        if scores is None:
            return
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
        if self._step < self._plan.total_steps:
            self._report.phase(Phase.TRAINING)

    def _save(self) -> None:
        if self._checkpoints.last_step == self._step:
            return
        step_in_epoch = (self._step - 1) % self._plan.steps_per_epoch + 1
        state = TrainerState(
            step=self._step,
            total_steps=self._plan.total_steps,
            epoch=self._plan.epoch_after(self._step),
            micro_batch=step_in_epoch * self._arguments.gradient_accumulation_steps,
            seed=self._arguments.seed,
            samples=len(self._samples),
            base_model=self._spec.base_model,
        )
        path = self._checkpoints.save(self._forward.model, self._optimizer, self._rng, state)
        self._report.checkpoint(self._step, str(path))

    def _eta(self) -> float:
        evaluations = self._plan.evaluations_after(self._step) if self._valid is not None else 0
        return self._pace.eta(self._plan.total_steps - self._step, evaluations)
