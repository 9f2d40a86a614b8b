"""getTaskEvents: what happened to a task, in sentences."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.queries import EmptyIsNone, TaskId
from tunesmith.api.state import State

router = APIRouter()


@router.get(
    "/getTaskEvents", operation_id="getTaskEvents", response_model=Envelope[wire.TaskEvents]
)
def get_task_events(
    id: TaskId,
    state: State,
    language: RequestLanguage,
    after: Annotated[
        Annotated[int, Field(ge=0)] | None, EmptyIsNone, Query(description="Id of an event")
    ] = None,
) -> Response:
    """Return the events after `after`, at most 1000, without metrics and evaluations."""
    raise NotImplementedError
