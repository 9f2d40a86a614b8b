"""What happened to a task, in words."""

from typing import Any

from tunesmith.wire.answer import Answer


class TaskEvent(Answer):
    """Something that happened to a task, in words."""

    id: int
    attempt: int
    at: float
    type: str
    """started, phase, plan, memory_plan, checkpoint, warning, error, finished, exited or status"""
    message: str
    data: dict[str, Any]
    """As `streamTask` tells it."""


class TaskEvents(Answer):
    """What happened to a task, in the order it came, without metrics and evaluations."""

    events: list[TaskEvent]
    truncated: bool
    """There are more: ask again with `after`, the last event's id."""
