"""A task, a page of tasks, and what a request for one would become."""

from datetime import datetime
from typing import Any

from pydantic import Field

from tunesmith.status import Status
from tunesmith.wire.answer import Answer


class TaskError(Answer):
    """Why a task failed, and what to do."""

    code: str
    message: str
    hint: str | None
    log_lines: list[str]
    """The lines of the log that show it."""
    suggested_change: dict[str, Any]
    """Training arguments that would likely help; {} where none would."""


class QueueReason(Answer):
    """Why a pending task waits."""

    code: str
    message: str


class Download(Answer):
    """How far the download of a base model is."""

    downloaded_bytes: int
    total_bytes: int
    bytes_per_second: float
    eta_seconds: float | None


class Task(Answer):
    """A fine-tuning task."""

    id: int = Field(alias="ID")
    created_at: datetime = Field(alias="CreatedAt")
    updated_at: datetime = Field(alias="UpdatedAt")
    name: str
    description: str | None
    user_id: int | None = Field(alias="userID")
    status: Status
    progress: float
    """0-100: steps done of steps planned."""
    base_model: str
    dataset_path: str
    output_path: str
    training_args: dict[str, Any]
    given_args: list[str] = Field([])
    """Those of `trainingArgs` that were asked for; the others are defaults."""
    gpu_config: dict[str, Any]
    command: str
    log_path: str
    error_message: str | None
    started_at: int | None
    finished_at: int | None
    pid: int | None
    metrics: dict[str, float]
    attempt: int
    phase: str | None
    step: int
    total_steps: int | None
    epoch: float
    elapsed_seconds: float | None
    eta_seconds: float | None
    tokens_per_second: float | None
    download: Download | None = None
    """While the base model is downloaded (`phase` downloading)."""
    queue_reason: QueueReason | None
    error: TaskError | None
    devices: list[int]
    """GPU indices the task holds or held; [] means CPU."""
    simulated: bool
    """The devices are simulated: the run is on the CPU."""
    last_event_id: int
    """Where `streamTask` goes on without gap or repeat (`Last-Event-ID`)."""


class TaskPage(Answer):
    """A page of tasks."""

    items: list[Task] = Field(alias="list")
    total: int
    page: int
    page_size: int


class StatusCounts(Answer):
    """Tasks of each status."""

    pending: int
    running: int
    completed: int
    failed: int
    stopped: int


class TaskStatistics(Answer):
    """How many tasks there are."""

    total: int
    by_status: StatusCounts
    base_models: list[str]
    """Those that tasks use, the latest first; at most 100."""


class Advice(Answer):
    """What is unusual about a field that is allowed."""

    field: str
    message: str


class CheckedTask(Answer):
    """What a request would become: nothing was created."""

    command: str
    """The shell line that would create it."""
    request: dict[str, Any]
    """The body of `createTask`, without what was not given."""
    training_args: dict[str, Any]
    """All of them, defaults resolved."""
    warnings: list[Advice]
