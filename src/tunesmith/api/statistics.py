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
from tunesmith.errors import FieldProblem, InvalidInput

POINTS = 30
IDS_AT_MOST = 100

router = APIRouter()


@router.get(
    "/getTaskStatistics",
    operation_id="getTaskStatistics",
    response_model=Envelope[wire.TaskStatistics],
)
def get_task_statistics(state: State, language: RequestLanguage) -> Response:
    """Return how many tasks have each status, and which base models they use."""
    counts = state.store.counts()
    statistics = wire.TaskStatistics(
        total=sum(counts.values()),
        by_status=wire.StatusCounts(**{status.value: n for status, n in counts.items()}),
        base_models=state.store.base_models(),
    )
    return answer(statistics, language)


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
    count = POINTS if points is None else points
    found = state.store.curves(_ids(ids), count)
    lines = [
        wire.Sparkline(id=id, loss=curves.loss, eval_loss=curves.eval_loss)
        for id, curves in found.items()
    ]
    return answer(lines, language)


def _ids(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise InvalidInput(FieldProblem("ids", "field.int_parsing"))
    if len(parts) > IDS_AT_MOST:
        raise InvalidInput(FieldProblem("ids", "field.too_many", {"at_most": IDS_AT_MOST}))
    return list(dict.fromkeys(map(int, parts)))
