"""The shapes of answers on the wire: what the API sends and the client reads.

Names are the wire contract's; fields that contract does not name are camelCase.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tunesmith.status import Status


class _Answer(BaseModel):
    # Built when first used: all together they would be a part of each start of the server.
    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True
    )


class TaskError(_Answer):
    """Why a task failed, and what to do."""

    code: str
    message: str
    hint: str | None
    log_lines: list[str]
    """The lines of the log that show it."""
    suggested_change: dict[str, Any]
    """Training arguments that would likely help; {} where none would."""


class QueueReason(_Answer):
    """Why a pending task waits."""

    code: str
    message: str


class Download(_Answer):
    """How far the download of a base model is."""

    downloaded_bytes: int
    total_bytes: int
    bytes_per_second: float
    eta_seconds: float | None


class Task(_Answer):
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
    given_args: list[str] = []
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


class TaskPage(_Answer):
    """A page of tasks."""

    items: list[Task] = Field(alias="list")
    total: int
    page: int
    page_size: int


class MetricPoint(_Answer):
    """Values at a step; a training point has no evaluation values and the other way round."""

    attempt: int
    step: int
    at: float
    epoch: float
    loss: float | None = None
    learning_rate: float | None = Field(None, alias="learning_rate")
    grad_norm: float | None = Field(None, alias="grad_norm")
    tokens_per_second: float | None = Field(None, alias="tokens_per_second")
    eval_loss: float | None = Field(None, alias="eval_loss")
    token_accuracy: float | None = Field(None, alias="token_accuracy")


class Convergence(_Answer):
    """What the curves say of a training, in a sentence."""

    code: Literal["too_short", "falling", "settled", "overfitting", "diverging"]
    message: str
    params: dict[str, Any]


class StatusCounts(_Answer):
    """Tasks of each status."""

    pending: int
    running: int
    completed: int
    failed: int
    stopped: int


class Metrics(_Answer):
    """The series of a task, by step."""

    training: list[MetricPoint]
    evaluation: list[MetricPoint]
    total: int
    """Training points there are; `training` holds fewer when `maxPoints` was given."""
    convergence: Convergence | None = None
    """What the curves of the last attempt say; null before they say anything."""
    last_event_id: int


class Sparkline(_Answer):
    """The course of a task's losses in few points, evenly spaced, the last one included."""

    id: int
    loss: list[float]
    eval_loss: list[float]


class TaskStatistics(_Answer):
    """How many tasks there are."""

    total: int
    by_status: StatusCounts
    base_models: list[str]
    """Those that tasks use, the latest first; at most 100."""


class TaskEvent(_Answer):
    """Something that happened to a task, in words."""

    id: int
    attempt: int
    at: float
    type: str
    """started, phase, plan, memory_plan, checkpoint, warning, error, finished, exited or status"""
    message: str
    data: dict[str, Any]
    """As `streamTask` tells it."""


class TaskEvents(_Answer):
    """What happened to a task, in the order it came, without metrics and evaluations."""

    events: list[TaskEvent]
    truncated: bool
    """There are more: ask again with `after`, the last event's id."""


class LogLines(_Answer):
    """Lines of a log as a terminal would show them: what a carriage return overwrote is gone.

    Colours (ANSI escapes) are left in; a very long line is cut and says so.
    """

    lines: list[str]
    first: int
    """Number of the first of `lines`, from 0."""
    total: int
    """Lines there are, an unfinished last one among them."""
    whole: int
    """Lines that have ended. `streamTaskLog` goes on at `offset` with line number `whole`."""
    offset: int
    """The byte after the last whole line."""
    size: int
    """Bytes of the log now."""
    attempt: int
    """Each attempt has a log of its own; 0 before the first."""
    complete: bool
    """The task has ended: no more will come."""


class LogMatch(_Answer):
    """A line that was found."""

    line: int
    """Its number, from 0."""
    text: str
    """The line, or the part of a long one around what was found."""


class LogMatches(_Answer):
    """What a search found in a part of a log."""

    matches: list[LogMatch]
    next: int | None
    """The line to go on from; null when the end was reached."""
    total: int
    """Lines that were looked at."""


class Device(_Answer):
    """A GPU and who holds it."""

    index: int
    name: str
    memory_total_bytes: int
    memory_used_bytes: int | None
    utilization_percent: float | None
    temperature_celsius: float | None
    simulated: bool
    task_id: int | None
    """The running task that holds it."""


class PreviewToken(_Answer):
    """A token of a sample."""

    id: int
    text: str
    """"" for a part of a character that ends with a later token."""
    learnt: bool
    control: bool


class Preview(_Answer):
    """A sample as a model will see it."""

    text: str
    family: str
    prompt_format: str
    """The family's, "plain", or "template" for the tokenizer's own chat template."""
    tokens: list[PreviewToken]
    learnt_tokens: int
    total_tokens: int
    """Before the sample was cut."""
    truncated: bool


class ModelVariant(_Answer):
    """A published set of weights of a base model in the catalogue."""

    kind: str
    """base or chat"""
    huggingface: str
    modelscope: str
    gated: bool
    """Hugging Face asks for an accepted licence and a token."""
    local: str | None
    """The directory that holds it, if one does."""
    base_model: str
    """What a task takes: that directory, else the id on the server's hub."""


class CatalogueModel(_Answer):
    """A base model of the specification, or a usual successor of one."""

    name: str
    series: str
    family: str
    size: str
    parameters: int
    memory: str | None
    """GPU memory that the specification states; null for a model that it does not name."""
    remark: str
    specified: bool
    successors: list[str]
    """Names of newer models of this list."""
    variants: list[ModelVariant]


class ModelProblem(_Answer):
    """What is wrong with a base model's directory."""

    code: str
    message: str


class InspectedModel(_Answer):
    """What a base model tells of itself; null where it does not."""

    name: str
    path: str | None
    """Its directory; null: it is not on the disk, and the facts are the catalogue's."""
    base_model: str
    """What a task takes."""
    catalogue: str | None
    """Its name in the catalogue."""
    family: str
    family_title: str
    architecture: str | None = None
    model_type: str | None = None
    parameters: int | None
    parameters_estimated: bool = False
    layers: int | None = None
    hidden_size: int | None = None
    vocabulary: int | None = None
    max_positions: int | None = None
    dtype: str | None = None
    size_bytes: int | None = None
    chat_template: bool | None = None
    prompt_format: str | None = None
    """The family's, "plain", or "template" for the tokenizer's own chat template."""
    stop_tokens: list[str]
    lora_targets: list[str]
    quantization: str | None = None
    is_adapter: bool = False
    problems: list[ModelProblem]


class ModelList(_Answer):
    """The base models there are: the catalogue, and what lies in the models directory."""

    catalogue: list[CatalogueModel]
    local: list[InspectedModel]


class MemoryChange(_Answer):
    """Arguments that would make a training fit."""

    arguments: dict[str, Any]
    """Training arguments; `devices` is a number of devices."""
    peak: int


class MemoryPlan(_Answer):
    """What a training takes on each device. Bytes."""

    base_model: str
    family: str
    mode: str
    """formula, or trace of the real step"""
    method: str
    dtype: str
    device_type: str
    devices: int
    gradient_checkpointing: bool
    """As asked, or as `auto` decides with this memory."""
    peak: int
    overhead: int
    """What the libraries take beside it: code on a CPU, the CUDA context on a GPU."""
    needed: int
    """peak + overhead"""
    weights: int
    gradients: int
    optimizer: int
    activations: int
    parameters: int
    trainable_parameters: int
    ratio: float
    """By which past runs of the kind correct the peak."""
    available: int | None
    fits: bool | None
    """Null where the free memory is not known."""
    changes: list[MemoryChange]
    """Of what does not fit: what would, cheapest in time first."""


class CataloguePlan(_Answer):
    """What a model of the specification takes by each method, in bytes."""

    name: str
    size: str
    memory: str | None
    """The specification's own words."""
    lora: int
    qlora: int
    full: int


class MemoryRun(_Answer):
    """A run that has ended: planned and measured bytes."""

    task_id: int
    attempt: int
    ended_at: float
    base_model: str
    family: str
    method: str
    device_type: str
    mode: str
    gradient_checkpointing: bool
    planned: int
    measured: int
    ratio: float
    """By which the plan had been corrected."""
    error: float
    """planned / measured - 1"""


class Argument(_Answer):
    """A training argument, as a form needs it."""

    name: str
    type: str
    default: Any
    nullable: bool
    choices: list[Any] | None
    minimum: float | None
    minimum_exclusive: bool
    maximum: float | None
    maximum_exclusive: bool
    recommended: list[float] | None
    recommended_by_method: dict[str, list[float]]
    """The range for a `method` for which it is another one."""
    group: str
    section: Literal["basic", "advanced"]
    """Whether a form shows it at once."""
    unit: str
    """In the reader's language; "" for none."""
    aliases: list[str]
    label_zh: str
    label_en: str
    hint_zh: str
    hint_en: str
    advice_zh: str
    """What the specification advises; "" where it says nothing."""
    advice_en: str


class TrainingPreset(_Answer):
    """Training arguments that belong together, to begin with."""

    key: Literal["quick", "lora", "qlora", "full"]
    title: str
    description: str
    training_args: dict[str, Any]


class Advice(_Answer):
    """What is unusual about a field that is allowed."""

    field: str
    message: str


class CheckedTask(_Answer):
    """What a request would become: nothing was created."""

    command: str
    """The shell line that would create it."""
    request: dict[str, Any]
    """The body of `createTask`, without what was not given."""
    training_args: dict[str, Any]
    """All of them, defaults resolved."""
    warnings: list[Advice]


class Me(_Answer):
    """Who is signed in."""

    user_id: int | None = Field(alias="userID")
    """Null: with the server's own token."""
    name: str | None
    version: str


class DirectoryEntry(_Answer):
    """A directory or file of the server's machine."""

    name: str
    path: str
    kind: Literal["directory", "file"]
    size_bytes: int | None
    """Null for a directory."""
    modified_at: float
    base_model: bool
    """It looks like a base model's directory: config.json and weights."""
    dataset: bool
    """It looks like a data set: a directory with a train file, or a file of a known format."""


class DirectoryList(_Answer):
    """What is in a directory: directories first, by name."""

    path: str
    """"" for the list of the roots."""
    parent: str | None
    """Null for a root and for the list of the roots."""
    roots: list[str]
    entries: list[DirectoryEntry]
    total: int
    truncated: bool
    """`entries` holds the first thousand of `total`."""


class Machine(_Answer):
    """The machine that trains, and what it is doing."""

    hostname: str
    cpu_count: int
    cpu_percent: float
    """Of all processors together."""
    memory_total_bytes: int
    """The machine's, or its container's limit."""
    memory_used_bytes: int
    disk_total_bytes: int
    """Of the disk that the data directory is on."""
    disk_free_bytes: int
    data_dir: str
    version: str
    running: int
    pending: int


class Health(_Answer):
    """Whether the server is well. Needs no token."""

    status: str
    version: str
    running: int
    pending: int
