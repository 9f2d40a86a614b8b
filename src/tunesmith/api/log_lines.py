"""readTaskLog and searchTaskLog: a log by the numbers of its lines, as a terminal shows them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.queries import EmptyIsNone, TaskId
from tunesmith.api.state import State

LineNumber = Annotated[int, Field(ge=-(2**62), le=2**62)]

router = APIRouter()


@router.get("/readTaskLog", operation_id="readTaskLog", response_model=Envelope[wire.LogLines])
def read_task_log(
    id: TaskId,
    state: State,
    language: RequestLanguage,
    line: Annotated[
        LineNumber | None,
        EmptyIsNone,
        Query(description="First line, from 0; a negative one counts from the end"),
    ] = None,
    lines: Annotated[Annotated[int, Field(ge=1, le=2000)] | None, EmptyIsNone] = None,
) -> Response:
    """Return `lines` lines (200) from number `line` on; without it the last ones."""
    raise NotImplementedError


@router.get(
    "/searchTaskLog", operation_id="searchTaskLog", response_model=Envelope[wire.LogMatches]
)
def search_task_log(
    id: TaskId,
    state: State,
    language: RequestLanguage,
    query: Annotated[str, Query(max_length=1000, description="Text; not needed for errors")] = "",
    begin: Annotated[
        LineNumber | None, EmptyIsNone, Query(alias="from", description="First line looked at")
    ] = None,
    limit: Annotated[Annotated[int, Field(ge=1, le=1000)] | None, EmptyIsNone] = None,
    ignore_case: Annotated[bool, Query(alias="ignoreCase")] = False,
    kind: Annotated[
        Literal["text", "error"] | None, EmptyIsNone, Query(description="error: what went wrong")
    ] = None,
) -> Response:
    """Return lines that hold `query`, or tell of an error, from line `from` on.

    A part of a large log is looked at: go on from `next` until that is null.
    """
    raise NotImplementedError
