"""getTaskLog, streamTaskLog, downloadTaskLog: the trainer's output, as text."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.event_stream import (
    HEARTBEAT,
    HEARTBEAT_EVERY,
    RETRY,
    EventStream,
    event,
    last_event_id,
    nothing_more,
)
from tunesmith.api.language import RequestLanguage
from tunesmith.api.log_file import last_lines, lines_from, offset_before_end, text_at
from tunesmith.api.queries import EmptyIsNone, OptionalInt, TaskId
from tunesmith.api.state import ServerState, State
from tunesmith.errors import NotFound
from tunesmith.status import TERMINAL
from tunesmith.store import TaskRecord

LINES = 1000
LINES_AT_MOST = 10_000
LOOK_EVERY = 0.25  # seconds; the trainer writes the file itself and tells nobody
SHARED_FOR = 0.2  # seconds that a look serves others too
LineCount = Annotated[int, Field(ge=1, le=LINES_AT_MOST)]
LineNumber = Annotated[int, Field(ge=0)]
LOG_TYPE = "text/plain; charset=utf-8"

router = APIRouter()


@router.get("/getTaskLog", operation_id="getTaskLog", response_model=Envelope[str])
def get_task_log(
    id: TaskId,
    state: State,
    language: RequestLanguage,
    lines: Annotated[LineCount | None, EmptyIsNone] = None,
    offset: Annotated[
        LineNumber | None, EmptyIsNone, Query(description="Lines to skip from the start")
    ] = None,
) -> Response:
    """Return the last `lines` lines of the log (1000), or as many after the first `offset`.

    At most 8 MiB: the newest, or with `offset` the first of them.
    """
    path = log_of(state.store.task(id))
    count = LINES if lines is None else lines
    text = last_lines(path, count) if offset is None else lines_from(path, offset, count)
    return answer(text, language)


@router.get(
    "/streamTaskLog", operation_id="streamTaskLog", response_class=EventStream, status_code=200
)
async def stream_task_log(
    request: Request,
    id: TaskId,
    state: State,
    offset: Annotated[
        OptionalInt, Query(description="Byte to begin at; a negative one counts from the end")
    ] = None,
) -> Response:
    """Send the log from byte `offset` (or `Last-Event-ID`) on, as it is written, to its end.

    Each event holds whole lines, {"text", "offset"}; its id is the offset after them. 204 means
    that the task has ended and all of its log was sent.
    """
    task = await run_in_threadpool(state.store.task, id)
    begin = last_event_id(request, None)
    if begin is not None:
        if task.status in TERMINAL and begin >= await run_in_threadpool(_size, log_of(task)):
            return nothing_more()
    else:
        begin = offset or 0
    if begin < 0:
        begin = await run_in_threadpool(offset_before_end, log_of(task), -begin)
    return EventStream(follow(id, begin, state))


@router.head("/downloadTaskLog", include_in_schema=False)
@router.get("/downloadTaskLog", operation_id="downloadTaskLog", response_class=FileResponse)
def download_task_log(id: TaskId, state: State) -> Response:
    """Send the log as a file; ranges are allowed."""
    path = log_of(state.store.task(id))
    name = f"task-{id}.log"
    if not path.is_file():
        return Response(
            media_type=LOG_TYPE, headers={"content-disposition": f'attachment; filename="{name}"'}
        )
    return GrowingFile(path, filename=name, media_type=LOG_TYPE)


async def follow(task_id: int, offset: int, state: ServerState) -> AsyncIterator[bytes]:
    """Yield the log's text from byte `offset` on, until the task has ended or is deleted."""
    path: Path | None = None
    yield RETRY
    sent_at = time.monotonic()
    while not state.closing.is_set():
        read = partial(_read, task_id, path, offset, state)
        try:
            # All followers that have come so far look at the file together.
            piece = await state.readings.read(("log", task_id, path, offset), SHARED_FOR, read)
        except NotFound:  # deleted
            return
        path, offset = piece.path, piece.offset
        if piece.event:
            yield piece.event
            sent_at = time.monotonic()
        elif piece.ended:
            return
        else:
            if time.monotonic() - sent_at > HEARTBEAT_EVERY:
                yield HEARTBEAT
                sent_at = time.monotonic()
            await asyncio.sleep(LOOK_EVERY)


@dataclass(frozen=True)
class _Piece:
    """A part of a log, as an event; b"" while there is nothing new."""

    path: Path
    event: bytes
    offset: int
    """The byte after it."""
    ended: bool


def _read(task_id: int, before: Path | None, offset: int, state: ServerState) -> _Piece:
    """Return what comes after byte `offset` of the log `before`, None for the current one."""
    # In this order: what an ended task has written is all there when it is read.
    task = state.store.task(task_id)
    path = log_of(task)
    ended = task.status in TERMINAL
    # The next attempt writes a log of its own, from its beginning.
    begin = offset if before in (None, path) else 0
    text, after = text_at(path, begin, ended=ended)
    told = event("log", {"text": text, "offset": after}, after) if text else b""
    return _Piece(path, told, after, ended)


class GrowingFile(FileResponse):
    """A file as long as it was when the answer began: the trainer may still write to it."""

    chunk_size = 1 << 20  # bytes; each piece is a way to a thread and back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = 0

        async def cut(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start":
                headers = dict(message["headers"])
                left = int(headers[b"content-length"])
            elif message["type"] == "http.response.body":
                if left < 0:
                    return
                body = message.get("body", b"")[:left]
                left -= len(body)
                more = message.get("more_body", False) and left > 0
                message = {**message, "body": body, "more_body": more}
                if not more:
                    left = -1
            await send(message)

        await super().__call__(scope, receive, cut)


def log_of(task: TaskRecord) -> Path:
    """Return the log of the task's current attempt; of a task that never ran an empty one."""
    return Path(task.log_path or os.devnull)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
