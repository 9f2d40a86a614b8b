"""streamTask: what happens to a task, as Server-Sent Events without gap or repeat."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
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
from tunesmith.store import StoredEvent, TaskRecord

EventId = Annotated[int, Field(ge=0)]

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


async def follow(
    task_id: int, after: int, state: ServerState, language: Language
) -> AsyncIterator[bytes]:
    """Yield the task's events after `after`, then new ones until it has ended or is deleted."""

    def read() -> tuple[list[StoredEvent], TaskRecord]:
        # In this order the record is at least as new as the events.
        return state.store.events_after(task_id, after), state.store.task(task_id)

    yield RETRY
    shown: Any = None  # the progress that was told last
    ended = False  # seen before the events of this turn were read
    while not state.closing.is_set():
        # Taken before the store is read: what comes after the reading rings it.
        bell = state.changes.listen()
        try:
            events, task = await run_in_threadpool(read)
            for each in events:
                yield event(each.type, event_data(each, task, language), each.id)
                after = each.id
            if events:
                continue
            if ended:
                return
            if (now_shown := _snapshot(task)) != shown:
                shown = now_shown
                yield event("progress", progress_data(task, language, time.time()))
            ended = task.status in TERMINAL
            while not ended and not bell.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), HEARTBEAT_EVERY)
                if not bell.is_set():
                    yield HEARTBEAT
        except NotFound:  # deleted
            return
        finally:
            state.changes.forget(bell)


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
