"""getTaskEvents: what happened to a task, in sentences."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.event_words import event_data
from tunesmith.api.language import RequestLanguage
from tunesmith.api.queries import EmptyIsNone, TaskId
from tunesmith.api.state import State

AT_MOST = 1000
TYPES = (
    "status",
    "started",
    "phase",
    "plan",
    "memory_plan",
    "checkpoint",
    "warning",
    "error",
    "finished",
    "exited",
)

router = APIRouter()


@router.get(
    "/getTaskEvents", operation_id="getTaskEvents", response_model=Envelope[wire.TaskEvents]
)
def get_task_events(
    id: TaskId,
    state: State,
    language: RequestLanguage,
    after: Annotated[
        Annotated[int, Field(ge=0, lt=2**63)] | None,
        EmptyIsNone,
        Query(description="Id of an event"),
    ] = None,
) -> Response:
    """Return the events after `after`, at most 1000, without metrics and evaluations."""
    task = state.store.task(id)
    found = state.store.events_of_types(id, TYPES, after=after or 0, limit=AT_MOST + 1)
    events = []
    for stored in found[:AT_MOST]:
        data = event_data(stored, task, language)
        events.append(
            wire.TaskEvent(
                id=stored.id,
                attempt=stored.attempt,
                at=stored.at,
                type=stored.type,
                message=data["message"],
                data=data,
            )
        )
    return answer(wire.TaskEvents(events=events, truncated=len(found) > AT_MOST), language)
