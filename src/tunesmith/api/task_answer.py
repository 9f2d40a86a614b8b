"""A task as the wire shows it: a record, the clock and a language in, `wire.Task` out. Pure."""

from collections.abc import Mapping
from typing import Any

from tunesmith import wire
from tunesmith.messages import Language, hint, sentence
from tunesmith.status import Status
from tunesmith.store import TaskRecord


def task_answer(task: TaskRecord, language: Language, *, now: float) -> wire.Task:
    """Return what a client sees of `task` at `now` (Unix seconds)."""
    error = error_answer(task.error, language)
    return wire.Task(
        id=task.id,
        created_at=task.created_at,
        updated_at=task.updated_at,
        name=task.name,
        description=task.description,
        user_id=task.user_id,
        status=task.status,
        progress=task.progress,
        base_model=task.base_model,
        dataset_path=task.dataset_path,
        output_path=task.output_path,
        training_args=task.spec.training.model_dump(mode="json"),
        given_args=list(task.spec.given),
        gpu_config=task.spec.gpu.model_dump(mode="json"),
        command=task.command,
        log_path=task.log_path,
        error_message=error.message if error else None,
        started_at=_whole(task.started_at),
        finished_at=_whole(task.finished_at),
        pid=task.pid,
        metrics=task.metrics,
        attempt=task.attempt,
        phase=task.phase,
        step=task.step,
        total_steps=task.total_steps,
        epoch=task.epoch,
        elapsed_seconds=elapsed_seconds(task, now),
        eta_seconds=eta_seconds(task, now),
        tokens_per_second=task.tokens_per_second,
        download=download_answer(task),
        queue_reason=queue_reason(task, language),
        error=error,
        devices=list(task.devices),
        simulated=task.spec.simulated,
        last_event_id=task.last_event_id,
    )


def elapsed_seconds(task: TaskRecord, now: float) -> float | None:
    """Return how long the task has run, or ran; None before the start."""
    if task.started_at is None or task.status is Status.PENDING:
        return None
    end = now if task.finished_at is None else task.finished_at
    return max(0.0, end - task.started_at)


def eta_seconds(task: TaskRecord, now: float) -> float | None:
    """Return what remains: the trainer's estimate less the time since; None where there is none."""
    if task.status is not Status.RUNNING or task.eta_seconds is None:
        return None
    since = now - task.reported_at if task.reported_at is not None else 0.0
    return max(0.0, task.eta_seconds - max(0.0, since))


def download_answer(task: TaskRecord) -> wire.Download | None:
    """Return how far the download of the base model is, None when there is none."""
    if task.status is not Status.RUNNING or not task.download:
        return None
    return wire.Download(**task.download)


def queue_reason(task: TaskRecord, language: Language) -> wire.QueueReason | None:
    """Return why a pending task waits."""
    reason = task.queue_reason
    if task.status is not Status.PENDING or not reason:
        return None
    message = sentence(reason["code"], language, reason.get("params"))
    return wire.QueueReason(code=reason["code"].removeprefix("queue."), message=message)


def error_answer(error: Mapping[str, Any] | None, language: Language) -> wire.TaskError | None:
    """Return why a task failed as sentences; `error` is a record's, or an `error` event's data."""
    if not error:
        return None
    code, params = error["code"], error.get("params")
    return wire.TaskError(
        code=code,
        message=sentence(code, language, params),
        hint=hint(code, language, params),
        log_lines=error.get("log_lines") or [],
        suggested_change=error.get("suggested_change") or {},
    )


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
