"""getTaskStatistics and getTaskSparklines: what a list of tasks shows beside them."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.queries import EmptyIsNone
from tunesmith.api.state import State

router = APIRouter()


@router.get(
    "/getTaskStatistics",
    operation_id="getTaskStatistics",
    response_model=Envelope[wire.TaskStatistics],
)
def get_task_statistics(state: State, language: RequestLanguage) -> Response:
    """Return how many tasks have each status, and which base models they use."""
    raise NotImplementedError


@router.get(
    "/getTaskSparklines",
    operation_id="getTaskSparklines",
    response_model=Envelope[list[wire.Sparkline]],
)
def get_task_sparklines(
    state: State,
    language: RequestLanguage,
    ids: Annotated[str, Query(description="Task ids: 1,2,3; at most 100")] = "",
    points: Annotated[Annotated[int, Field(ge=2, le=60)] | None, EmptyIsNone] = None,
) -> Response:
    """Return the losses of some tasks in at most `points` points (30) each."""
    raise NotImplementedError
