"""readTaskLog and searchTaskLog: a log by the numbers of its lines, as a terminal shows them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.indexed_log import open_log
from tunesmith.api.language import RequestLanguage
from tunesmith.api.log_search import for_errors, for_text, search
from tunesmith.api.logs import log_of
from tunesmith.api.queries import EmptyIsNone, OptionalSwitch, TaskId
from tunesmith.api.state import State
from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.messages import sentence
from tunesmith.status import TERMINAL

LINES = 200
MATCHES = 100
LARGEST = 2**53  # a number that JavaScript can say
LineNumber = Annotated[int, Field(ge=0, le=LARGEST)]

router = APIRouter()


@router.get("/readTaskLog", operation_id="readTaskLog", response_model=Envelope[wire.LogLines])
def read_task_log(
    id: TaskId,
    state: State,
    language: RequestLanguage,
    line: Annotated[
        Annotated[int, Field(ge=-LARGEST, le=LARGEST)] | None,
        EmptyIsNone,
        Query(description="First line, from 0; a negative one counts from the end"),
    ] = None,
    lines: Annotated[Annotated[int, Field(ge=1, le=2000)] | None, EmptyIsNone] = None,
) -> Response:
    """Return `lines` lines (200) from number `line` on; without it the last ones."""
    task = state.store.task(id)  # before the log: an ended task has written all of it
    count = LINES if lines is None else lines
    with open_log(log_of(task), state.lines) as log:
        first = log.total - count if line is None else line + (log.total if line < 0 else 0)
        first = min(max(0, first), log.total)
        shown = wire.LogLines(
            lines=log.lines(first, count, lambda size: sentence("log_cut", language, _kib(size))),
            first=first,
            total=log.total,
            whole=log.whole,
            offset=log.offset,
            size=log.size,
            attempt=task.attempt,
            complete=task.status in TERMINAL,
        )
    return answer(shown, language)


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
    ignore_case: Annotated[OptionalSwitch, Query(alias="ignoreCase")] = None,
    kind: Annotated[
        Literal["text", "error"] | None, EmptyIsNone, Query(description="error: what went wrong")
    ] = None,
) -> Response:
    """Return lines that hold `query`, or tell of an error, from line `from` on; at most `limit`
    (100). A part of a large log is looked at: go on from `next` until that is null.
    """
    task = state.store.task(id)
    if kind == "error":
        pattern = for_errors()
    elif query:
        pattern = for_text(query, bool(ignore_case))
    else:
        raise InvalidInput(FieldProblem("query", "field.missing"))
    with open_log(log_of(task), state.lines) as log:
        first = min(begin or 0, log.total)
        found = search(log, pattern, first, MATCHES if limit is None else limit)
        matches = wire.LogMatches(
            matches=[wire.LogMatch(line=line, text=text) for line, text in found.lines],
            next=found.next if found.next < log.total else None,
            total=found.next - first,
        )
    return answer(matches, language)


def _kib(size: int) -> dict[str, str]:
    return {"kib": f"{size / 1024:,.0f}"}
