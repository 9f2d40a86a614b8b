"""What a trainer reports: event types, and how they are written to and read from events.jsonl.

One JSON object a line, one `write` a line, so that a reader never sees half an event before a
newline. Times are Unix seconds, durations seconds, memory bytes.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

VERSION = 1
READ_AT_MOST = 4 << 20  # bytes a call of `read`: a long history is taken in slices

log = logging.getLogger(__name__)


class Phase(StrEnum):
    """What an attempt is doing. A pending task may be `checking` too: its data, by the server."""

    STARTING = "starting"
    CHECKING = "checking"
    DOWNLOADING = "downloading"
    LOADING = "loading"
    PREPARING = "preparing"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING = "saving"
    STOPPING = "stopping"


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    v: int = VERSION
    seq: int = 0
    at: float = 0.0


class Started(_Event):
    type: Literal["started"] = "started"
    pid: int
    versions: dict[str, str]


class PhaseChanged(_Event):
    type: Literal["phase"] = "phase"
    phase: Phase


class Planned(_Event):
    """What will be done, known once data and model are read."""

    type: Literal["plan"] = "plan"
    total_steps: int
    warmup_steps: int
    samples: int
    eval_samples: int
    tokens_per_epoch: int
    trainable_parameters: int
    total_parameters: int
    device: str
    dtype: str
    packed: bool
    """Samples are laid end to end, without padding."""
    way: str = ""
    """How batches go through the model: layers, attention, packed or padded (docs/training.md)."""
    devices: int = 1
    """Processes that train together, one a device."""
    sharded: bool = False
    """The weights are divided over the devices."""


class MemoryPlanned(_Event):
    """What the largest micro-batch of this run's data will take on each device (docs/memory.md)."""

    type: Literal["memory_plan"] = "memory_plan"
    mode: Literal["formula", "trace"]
    family: str
    method: str
    device_type: Literal["cpu", "cuda"]
    gradient_checkpointing: bool
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    planned_bytes: int
    """What is comparable with `measured_memory_bytes` of `finished`, uncorrected."""
    ratio: float
    """By which past runs correct it."""
    available_bytes: int | None
    """Free on the device before the base model was read."""


class Progress(_Event):
    """At most one a second, between metrics; a snapshot that the store keeps no history of."""

    type: Literal["progress"] = "progress"
    step: int
    epoch: float
    tokens_per_second: float
    eta_seconds: float


class Download(_Event):
    """Of the base model, at most one a second; a snapshot as progress is."""

    type: Literal["download"] = "download"
    downloaded_bytes: int
    total_bytes: int
    bytes_per_second: float
    eta_seconds: float | None


class Metrics(_Event):
    type: Literal["metrics"] = "metrics"
    step: int
    epoch: float
    loss: float
    """Mean over the answer tokens since the last metrics event."""
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    eta_seconds: float


class Evaluation(_Event):
    type: Literal["evaluation"] = "evaluation"
    step: int
    epoch: float
    eval_loss: float
    token_accuracy: float
    """Part of the answer tokens that the model finds most likely, 0-1."""
    seconds: float


class Checkpoint(_Event):
    type: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str


class Warned(_Event):
    """Something the user should know; its text is the message catalogue's `warning.<code>`."""

    type: Literal["warning"] = "warning"
    code: str
    params: dict[str, Any] = Field(default_factory=dict)


class Failed(_Event):
    """The run cannot go on; `code` is a key of the message catalogue."""

    type: Literal["error"] = "error"
    code: str
    params: dict[str, Any] = Field(default_factory=dict)


class Finished(_Event):
    type: Literal["finished"] = "finished"
    outcome: Literal["completed", "stopped"]
    output_path: str
    step: int
    total_steps: int
    train_seconds: float
    peak_memory_bytes: int
    """GPU allocator's peak, or the process's resident high water on a CPU; of several devices
    the largest."""
    measured_memory_bytes: int | None = None
    """What the plan is compared with: on a CPU without what was resident before the base model."""
    final: dict[str, float] = Field(default_factory=dict)
    """Last values: loss, eval_loss, token_accuracy."""


Event = (
    Started
    | PhaseChanged
    | Planned
    | MemoryPlanned
    | Progress
    | Download
    | Metrics
    | Evaluation
    | Checkpoint
    | Warned
    | Failed
    | Finished
)
_decoder: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


class EventWriter:
    """Appends events to a file, numbering them and stamping the time."""

    _flags: ClassVar[int] = os.O_WRONLY | os.O_CREAT | os.O_APPEND

    def __init__(self, path: Path, after: int = 0) -> None:
        """`after` is the number of the last event that the file holds."""
        self._file = os.open(path, self._flags, 0o644)
        self._seq = after
        self._torn = False

    @classmethod
    def append_to(cls, path: Path) -> "EventWriter":
        """Return a writer that goes on after the events that `path` holds, if any."""
        written = read_all(path)
        return cls(path, after=written[-1].seq if written else 0)

    def write(self, event: Event) -> None:
        self._seq += 1
        stamped = event.model_copy(update={"seq": self._seq, "at": time.time()})
        # Not model_dump_json: NaN must arrive as a value that can be read back.
        line = json.dumps(stamped.model_dump(mode="json"), ensure_ascii=False) + "\n"
        self._append(line.encode("utf-8", "backslashreplace"))

    def _append(self, line: bytes) -> None:
        # A full disk takes a part of a line: the rest of it must not swallow the next event.
        rest = b"\n" + line if self._torn else line
        self._torn = True
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._torn = False


def read(path: Path, offset: int) -> tuple[list[Event], int]:
    """Return the events after byte `offset` and the offset after the last whole line.

    A missing file holds no events. At most READ_AT_MOST bytes are read: call again until
    the offset stays.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(READ_AT_MOST)
    except FileNotFoundError:
        return [], offset
    events, used = parse(data)
    return events, offset + used


def read_all(path: Path) -> list[Event]:
    """Return all events of `path`; a missing file holds none."""
    found: list[Event] = []
    before, offset = -1, 0
    while offset != before:
        before = offset
        more, offset = read(path, before)
        found += more
    return found


def parse(data: bytes) -> tuple[list[Event], int]:
    """Return the events in the whole lines of `data`, and how many bytes those lines are.

    A line that is no event is logged and skipped: one bad line must not hide the rest. So is
    what fills READ_AT_MOST bytes without a newline.
    """
    whole = data.rfind(b"\n") + 1
    if not whole and len(data) >= READ_AT_MOST:
        log.warning("skipped %d bytes that hold no event: %.200r", len(data), data)
        return [], len(data)
    return list(_decode(data[:whole])), whole


def decode(value: dict[str, Any]) -> Event:
    """Return the event in a parsed JSON object; raise pydantic's ValidationError if it is none."""
    return _decoder.validate_python(value)


def _decode(lines: bytes) -> Iterator[Event]:
    for line in lines.splitlines():
        try:
            yield decode(json.loads(line))
        except ValueError as error:  # pydantic's ValidationError is one
            log.warning("skipped a line that is no event (%s): %.200r", error, line)
