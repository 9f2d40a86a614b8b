"""The shapes of answers on the wire: what the API sends and the client reads.

Names are the wire contract's; fields that contract does not name are camelCase.
"""

from tunesmith.wire.directory import DirectoryEntry, DirectoryList
from tunesmith.wire.events import TaskEvent, TaskEvents
from tunesmith.wire.logs import LogLines, LogMatch, LogMatches
from tunesmith.wire.machine import Device, Health, Machine
from tunesmith.wire.memory import CataloguePlan, MemoryChange, MemoryPlan, MemoryRun
from tunesmith.wire.metrics import Convergence, MetricPoint, Metrics, Sparkline
from tunesmith.wire.models import (
    CatalogueModel,
    InspectedModel,
    ModelList,
    ModelProblem,
    ModelVariant,
)
from tunesmith.wire.preview import Preview, PreviewToken
from tunesmith.wire.sign_in import Me
from tunesmith.wire.tasks import (
    Advice,
    CheckedTask,
    Download,
    QueueReason,
    StatusCounts,
    Task,
    TaskError,
    TaskPage,
    TaskStatistics,
)
from tunesmith.wire.training import Argument, TrainingPreset

__all__ = [
    "Advice",
    "Argument",
    "CatalogueModel",
    "CataloguePlan",
    "CheckedTask",
    "Convergence",
    "Device",
    "DirectoryEntry",
    "DirectoryList",
    "Download",
    "Health",
    "InspectedModel",
    "LogLines",
    "LogMatch",
    "LogMatches",
    "Machine",
    "Me",
    "MemoryChange",
    "MemoryPlan",
    "MemoryRun",
    "MetricPoint",
    "Metrics",
    "ModelList",
    "ModelProblem",
    "ModelVariant",
    "Preview",
    "PreviewToken",
    "QueueReason",
    "Sparkline",
    "StatusCounts",
    "Task",
    "TaskError",
    "TaskEvent",
    "TaskEvents",
    "TaskPage",
    "TaskStatistics",
    "TrainingPreset",
]
