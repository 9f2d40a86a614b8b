"""What the store remembers, as frozen records. Pure; tables and queries are beside this file."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tunesmith.spec import Spec
from tunesmith.status import Status


@dataclass(frozen=True)
class NewTask:
    """A task about to be created. `spec` has task_id 0, attempt 0 and no devices yet."""

    spec: Spec
    default_outputs: str
    """Where the output goes when the spec's output_path is "": into a directory named by the id."""
    base_model: str
    """As the user gave it; the spec has the resolved path."""
    user_id: int | None
    checked: bool
    """The whole data set was read at creation."""


@dataclass(frozen=True)
class TaskRecord:
    """A row of `tasks`, with the spec from the table beside it."""

    id: int
    version: int
    created_at: datetime
    updated_at: datetime
    name: str
    description: str | None
    user_id: int | None
    status: Status
    progress: float
    """0-100: steps done of steps planned."""
    base_model: str
    dataset_path: str
    output_path: str
    spec: Spec
    checked: bool
    command: str
    log_path: str
    attempt: int
    """The current attempt's number; 0 before the first."""
    devices: tuple[int, ...]
    pid: int | None
    started_at: float | None
    finished_at: float | None
    stop_requested_at: float | None
    delete_requested_at: float | None
    queue_reason: dict[str, Any] | None
    """{"code", "params"}: a key of the message catalogue under `queue.`"""
    error: dict[str, Any] | None
    """{"code", "params", "log_lines", "suggested_change"}"""
    # What the trainer reported last:
    phase: str | None
    step: int
    total_steps: int | None
    epoch: float
    tokens_per_second: float | None
    eta_seconds: float | None
    reported_at: float | None
    """When the trainer said so: the remaining time shrinks from there."""
    metrics: dict[str, float]
    download: dict[str, Any] | None
    """{"downloaded_bytes", "total_bytes", "bytes_per_second", "eta_seconds"} while it lasts."""
    last_event_id: int
    """Of the task's newest event when the row was read; 0 before the first."""


@dataclass(frozen=True)
class AttemptRecord:
    """A row of `attempts`: one execution of a task."""

    task_id: int
    number: int
    run_directory: str
    handle: str | None
    """The executor's; None before the start."""
    devices: tuple[int, ...]
    events_offset: int
    last_seq: int
    ended_at: float | None


@dataclass(frozen=True)
class StoredEvent:
    """A row of `events`. `id` grows with each event of the whole store."""

    id: int
    task_id: int
    attempt: int
    at: float
    type: str
    """A type of `events`, or `status`, or `exited` (what the supervisor saw)."""
    data: dict[str, Any]


@dataclass(frozen=True)
class TaskQuery:
    """Filters, order and page of a task list. None means no filter."""

    page: int = 1
    page_size: int = 10
    keyword: str | None = None
    name: str | None = None
    status: Status | None = None
    base_model: str | None = None
    order_key: str | None = None
    desc: bool | None = None
