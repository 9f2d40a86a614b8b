"""Tells how the run goes: an event for programs, a line for people (stdout is train.log)."""

import contextlib
import os
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tunesmith.events import (
    Checkpoint,
    Download,
    Evaluation,
    Event,
    EventWriter,
    Failed,
    Finished,
    MemoryPlanned,
    Metrics,
    Phase,
    PhaseChanged,
    Planned,
    Progress,
    Started,
    Warned,
)
from tunesmith.messages import sentence

PROGRESS_EVERY = 1.0  # seconds at least between two progress events
NAMED = ("tunesmith", "torch", "transformers", "peft", "tokenizers", "safetensors")


class Report:
    """Writes the events of one run, in the order they happen."""

    def __init__(self, events: EventWriter | None) -> None:
        """With no `events` it tells nobody anything: of several ranks one reports."""
        self._events = events
        self._phase: Phase | None = None
        self._progressed = 0.0
        self._tenth = -1

    def started(self) -> None:
        versions = {name: found for name in NAMED if (found := _version(name))}
        self._write(Started(pid=os.getpid(), versions=versions))
        self._say("started: " + ", ".join(f"{name} {number}" for name, number in versions.items()))

    def phase(self, phase: Phase) -> None:
        if phase != self._phase:
            self._phase = phase
            self._write(PhaseChanged(phase=phase))
            self._say(str(phase))

    def planned(self, plan: Planned) -> None:
        self._write(plan)
        self._say(
            f"plan: {plan.total_steps} steps ({plan.warmup_steps} warm-up) over {plan.samples} "
            f"samples, {plan.tokens_per_epoch} tokens an epoch; {plan.trainable_parameters:,} of "
            f"{plan.total_parameters:,} parameters trained on {plan.device} in {plan.dtype}"
        )

    def memory_planned(self, plan: MemoryPlanned) -> None:
        self._write(plan)
        told = plan.planned_bytes * plan.ratio / 2**30
        free = "unknown" if plan.available_bytes is None else f"{plan.available_bytes / 2**30:.2f}"
        saving = "on" if plan.gradient_checkpointing else "off"
        self._say(
            f"memory: {told:.2f} GiB planned, {free} GiB free; gradient checkpointing {saving}"
        )

    def progress(self, progress: Progress) -> None:
        """Write `progress` unless one was written within the last second."""
        now = time.monotonic()
        if now - self._progressed >= PROGRESS_EVERY:
            self._progressed = now
            self._write(progress)

    def download(self, download: Download) -> None:
        """Write how far the download is; the sender sees to it that it is at most once a second."""
        self._write(download)
        tenth = 10 * download.downloaded_bytes // max(1, download.total_bytes)
        if tenth != self._tenth:
            self._tenth = tenth
            self._say(
                f"downloaded {download.downloaded_bytes / 1e9:.2f} of "
                f"{download.total_bytes / 1e9:.2f} GB, {download.bytes_per_second / 1e6:.1f} MB/s"
            )

    def metrics(self, metrics: Metrics, total_steps: int) -> None:
        self._progressed = time.monotonic()
        self._write(metrics)
        self._say(
            f"step {metrics.step}/{total_steps}  epoch {metrics.epoch:.2f}  "
            f"loss {metrics.loss:.4f}  lr {metrics.learning_rate:.2e}  "
            f"grad norm {metrics.grad_norm:.3f}  {metrics.tokens_per_second:.0f} tokens/s  "
            f"{_duration(metrics.eta_seconds)} left"
        )

    def evaluation(self, evaluation: Evaluation) -> None:
        self._write(evaluation)
        self._say(
            f"step {evaluation.step}  eval loss {evaluation.eval_loss:.4f}  "
            f"token accuracy {evaluation.token_accuracy:.3f}  ({evaluation.seconds:.1f} s)"
        )

    def checkpoint(self, step: int, path: str) -> None:
        self._write(Checkpoint(step=step, path=path))
        self._say(f"step {step}  checkpoint {path}")

    def warning(self, code: str, **params: Any) -> None:
        self._write(Warned(code=code, params=params))
        self._say("warning: " + sentence(f"warning.{code}", "en", params))

    def failed(self, code: str, params: dict[str, Any]) -> None:
        self._write(Failed(code=code, params=params))
        self._say("error: " + sentence(code, "en", params))

    def finished(self, finished: Finished) -> None:
        self._write(finished)
        self._say(
            f"{finished.outcome} after step {finished.step} of {finished.total_steps}, "
            f"{_duration(finished.train_seconds)} of training; output {finished.output_path}"
        )

    def _write(self, event: Event) -> None:
        if self._events is not None:
            self._events.write(event)

    def _say(self, line: str) -> None:
        if self._events is None:
            return
        # Surrogates of odd file names must not end a run.
        text = line.encode("utf-8", "backslashreplace").decode("utf-8")
        # Nor may a log that cannot grow: events tell programs all there is to know.
        with contextlib.suppress(OSError):
            sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            sys.stdout.flush()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
