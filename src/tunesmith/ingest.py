"""Copies what trainers report into the store, and keeps the live values of their tasks."""

from collections.abc import Sequence
from typing import Any

from tunesmith.events import (
    READ_AT_MOST,
    Download,
    Evaluation,
    Event,
    Finished,
    MemoryPlanned,
    Metrics,
    PhaseChanged,
    Planned,
    Progress,
    Started,
    parse,
)
from tunesmith.executor import Executor
from tunesmith.memory_plan.history import MemoryRun
from tunesmith.run_directory import EVENTS
from tunesmith.store import Store, TaskRecord


def take_events(store: Store, executor: Executor, task: TaskRecord) -> list[Event]:
    """Store the new events of the task's current attempt and return them.

    Can be repeated and interrupted at any point: the offset moves together with the events.
    """
    attempt = store.attempt(task.id, task.attempt)
    if attempt.handle is None:
        return []
    taken: list[Event] = []
    metrics, offset = task.metrics, attempt.events_offset
    while True:
        events, used = parse(executor.read(attempt.handle, EVENTS, offset, READ_AT_MOST))
        if not used:
            return taken
        offset += used
        changes = live_values(events, metrics)
        metrics = changes.get("metrics", metrics)
        store.record(task.id, attempt.number, events, offset, **changes)
        taken += events


def memory_run(
    events: Sequence[Event], task_id: int, attempt: int, base_model: str
) -> MemoryRun | None:
    """Return what an ended attempt planned and took; None if it did not get so far."""
    planned = next((each for each in events if isinstance(each, MemoryPlanned)), None)
    finished = next((each for each in events if isinstance(each, Finished)), None)
    if planned is None or finished is None or not finished.step:
        return None
    if not finished.measured_memory_bytes or finished.measured_memory_bytes < 0:
        return None
    return MemoryRun(
        task_id=task_id,
        attempt=attempt,
        ended_at=finished.at,
        base_model=base_model,
        family=planned.family,
        method=planned.method,
        device_type=planned.device_type,
        mode=planned.mode,
        gradient_checkpointing=planned.gradient_checkpointing,
        planned=planned.planned_bytes,
        ratio=planned.ratio,
        measured=finished.measured_memory_bytes,
    )


def live_values(events: Sequence[Event], metrics: dict[str, float]) -> dict[str, Any]:
    """Return the task columns that `events` change; `metrics` are the latest values before them."""
    changes: dict[str, Any] = {}
    latest = dict(metrics)
    for event in events:
        match event:
            case Started():
                changes["pid"] = event.pid
            case PhaseChanged():
                changes |= {"phase": event.phase.value, "download": None}
            case Download():
                changes["download"] = event.model_dump(exclude={"v", "seq", "at", "type"})
            case Planned():
                changes["total_steps"] = event.total_steps
            case Progress() | Metrics():
                changes |= {
                    "step": event.step,
                    "epoch": event.epoch,
                    "tokens_per_second": event.tokens_per_second,
                    "eta_seconds": event.eta_seconds,
                    "reported_at": event.at,
                }
                if isinstance(event, Metrics):
                    latest |= {
                        "loss": event.loss,
                        "learning_rate": event.learning_rate,
                        "grad_norm": event.grad_norm,
                    }
            case Evaluation():
                latest |= {"eval_loss": event.eval_loss, "token_accuracy": event.token_accuracy}
            case Finished():
                changes["step"] = event.step
                latest |= event.final
            case _:
                pass
    if latest != metrics:
        changes["metrics"] = latest
    return changes
