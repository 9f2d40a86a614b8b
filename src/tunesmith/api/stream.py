"""streamTask: what happens to a task, as Server-Sent Events without gap or repeat."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tunesmith.api.event_stream import (
    HEARTBEAT,
    HEARTBEAT_EVERY,
    RETRY,
    EventStream,
    event,
    last_event_id,
    nothing_more,
)
from tunesmith.api.event_words import event_data
from tunesmith.api.language import RequestLanguage
from tunesmith.api.queries import EmptyIsNone, TaskId
from tunesmith.api.state import ServerState, State
from tunesmith.api.task_answer import (
    download_answer,
    elapsed_seconds,
    eta_seconds,
    queue_reason,
)
from tunesmith.errors import NotFound
from tunesmith.messages import Language
from tunesmith.status import TERMINAL
from tunesmith.store import TaskRecord

EventId = Annotated[int, Field(ge=0)]
SHARED_FOR = 1.0  # seconds; the elapsed time that it tells goes on

router = APIRouter()


@router.get("/streamTask", operation_id="streamTask", response_class=EventStream, status_code=200)
async def stream_task(
    request: Request,
    id: TaskId,
    state: State,
    language: RequestLanguage,
    after: Annotated[
        EventId | None,
        EmptyIsNone,
        Query(alias="lastEventId", description="As the header Last-Event-ID"),
    ] = None,
) -> Response:
    """Tell what has happened to a task since `Last-Event-ID`, and what happens, until it ends.

    Events are named `status`, `phase`, `plan`, `metrics`, `evaluation`, `checkpoint`, `warning`,
    `error`, `finished`, `started`, `exited`, and have ids. `progress`, without one, is how the
    task stands now. 204 means that the task has ended and all of it was told.
    """
    after = last_event_id(request, after)
    task = await run_in_threadpool(state.store.task, id)
    ended = task.status in TERMINAL
    if ended and after is not None and after >= await _last_event_id(id, state):
        return nothing_more()
    return EventStream(follow(id, after or 0, state, language))


@dataclass(frozen=True)
class _Turn:
    """What a follower is told next."""

    events: bytes
    last: int
    """Id of the last event there is."""
    snapshot: Any
    progress: bytes
    ended: bool
    """It had ended before the events were read: no more will come."""


async def follow(
    task_id: int, after: int, state: ServerState, language: Language
) -> AsyncIterator[bytes]:
    """Yield the task's events after `after`, then new ones until it has ended or is deleted."""
    yield RETRY
    shown: Any = None  # the progress that was told last
    with state.changes.bell(task_id) as bell:
        while not state.closing.is_set():
            bell.take()
            try:
                turn = await _read(task_id, after, state, language)
            except NotFound:  # deleted
                return
            if turn.events:
                yield turn.events
                after = turn.last
                continue
            if turn.snapshot != shown:
                shown = turn.snapshot
                yield turn.progress
            if turn.ended:
                return
            while not await bell.wait(HEARTBEAT_EVERY):
                yield HEARTBEAT


async def _read(task_id: int, after: int, state: ServerState, language: Language) -> _Turn:
    """Return the turn after `after`, read once for all followers that have come so far."""

    def read() -> _Turn:
        task = state.store.task(task_id)
        ended = task.status in TERMINAL
        if events := state.store.events_after(task_id, after):
            task = state.store.task(task_id)  # at least as new as they are
        told = [event(each.type, event_data(each, task, language), each.id) for each in events]
        return _Turn(
            b"".join(told),
            events[-1].id if events else after,
            _snapshot(task),
            event("progress", progress_data(task, language, time.time())),
            ended,
        )

    # The count is taken after the bell: a change that this reading misses rings it.
    key = ("task", task_id, after, language, state.changes.count)
    return await state.readings.read(key, SHARED_FOR, read)


def progress_data(task: TaskRecord, language: Language, now: float) -> dict[str, Any]:
    """Return how a task stands: the live fields of `wire.Task`."""
    reason = queue_reason(task, language)
    download = download_answer(task)
    return {
        "attempt": task.attempt,
        "status": task.status.value,
        "phase": task.phase,
        "progress": task.progress,
        "step": task.step,
        "totalSteps": task.total_steps,
        "epoch": task.epoch,
        "elapsedSeconds": elapsed_seconds(task, now),
        "etaSeconds": eta_seconds(task, now),
        "tokensPerSecond": task.tokens_per_second,
        "download": download.model_dump(by_alias=True) if download else None,
        "queueReason": reason.model_dump(by_alias=True) if reason else None,
    }


async def _last_event_id(task_id: int, state: ServerState) -> int:
    return await run_in_threadpool(state.store.last_event_id, task_id)


def _snapshot(task: TaskRecord) -> tuple[Any, ...]:
    """What makes progress worth telling again."""
    return (
        task.status,
        task.attempt,
        task.phase,
        task.progress,
        task.step,
        task.total_steps,
        task.eta_seconds,
        task.reported_at,
        task.download,
        task.queue_reason,
    )
