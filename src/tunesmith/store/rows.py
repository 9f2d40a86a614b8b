"""Records to rows and back."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Select, func, select

from tunesmith.events import Event
from tunesmith.spec import Spec
from tunesmith.status import Status
from tunesmith.store.records import AttemptRecord, NewTask, StoredEvent, TaskRecord
from tunesmith.store.tables import attempts, events, specs, tasks

_ATTEMPT = [attempts.c[field.name] for field in fields(AttemptRecord)]
_EVENT = [events.c[field.name] for field in fields(StoredEvent)]
_TASK = [tasks.c[field.name] for field in fields(TaskRecord) if field.name in tasks.c]
_LAST_EVENT = (
    select(func.coalesce(func.max(events.c.id), 0))
    .where(events.c.task_id == tasks.c.id)
    .scalar_subquery()
    .label("last_event_id")
)


def select_tasks() -> Select[Any]:
    """Select what `task_record` needs."""
    return select(*_TASK, _LAST_EVENT, specs.c.spec).join(specs, specs.c.task_id == tasks.c.id)


def select_attempts() -> Select[Any]:
    """Select what `attempt_record` needs."""
    return select(*_ATTEMPT)


def select_events() -> Select[Any]:
    """Select what `stored_event` needs."""
    return select(*_EVENT)


def task_record(row: Row[Any]) -> TaskRecord:
    values = row._asdict()
    for name in ("created_at", "updated_at"):
        values[name] = datetime.fromtimestamp(values[name], UTC)
    values["status"] = Status(values["status"])
    values["devices"] = tuple(values["devices"])
    values["spec"] = _spec(values["spec"])
    return TaskRecord(**values)


def attempt_record(row: Row[Any]) -> AttemptRecord:
    values = row._asdict()
    values["devices"] = tuple(values["devices"])
    return AttemptRecord(**values)


def stored_event(row: Row[Any]) -> StoredEvent:
    # In the order of `_EVENT`; by name, long curves would take half as long again.
    return StoredEvent(*tuple(row))


# The live columns before the trainer has said anything.
UNREPORTED: Mapping[str, Any] = {
    "pid": None,
    "phase": None,
    "step": 0,
    "total_steps": None,
    "epoch": 0.0,
    "tokens_per_second": None,
    "eta_seconds": None,
    "reported_at": None,
    "metrics": {},
    "download": None,
}


def new_task_row(new: NewTask, at: float) -> dict[str, Any]:
    spec = new.spec
    return {
        "version": 1,
        "created_at": at,
        "updated_at": at,
        "status": Status.PENDING,
        "name": spec.name,
        "description": spec.description,
        "user_id": new.user_id,
        "base_model": new.base_model,
        "dataset_path": spec.dataset_path,
        "output_path": spec.output_path,
        "checked": new.checked,
        "command": "",
        "log_path": "",
        "attempt": 0,
        "devices": [],
        "search_name": spec.name.casefold(),
        "search_base_model": new.base_model.casefold(),
        "search_text": f"{spec.name}\n{spec.description or ''}".casefold(),
        **UNREPORTED,
    }


def event_row(task_id: int, number: int, event: Event) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "attempt": number,
        "seq": event.seq,
        "at": event.at,
        "type": event.type,
        "step": getattr(event, "step", None),
        "data": event.model_dump(mode="json", exclude={"v", "seq", "at", "type"}),
    }


# A waiting task's spec is read at every look of the scheduler; validating it takes longer than
# fetching its row. Specs are frozen, so that all readers may share one.
@lru_cache(maxsize=1024)
def _spec(text: str) -> Spec:
    return Spec.model_validate_json(text)
