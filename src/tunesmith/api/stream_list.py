"""streamTaskList: tells a list of tasks when to look again, as Server-Sent Events."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith.api.event_stream import HEARTBEAT, HEARTBEAT_EVERY, RETRY, EventStream, event
from tunesmith.api.state import ServerState, State

EVERY = 1.0  # seconds between two `changed`
PAUSES = 4  # parts of that after which the server's end is seen

router = APIRouter()


@router.get(
    "/streamTaskList", operation_id="streamTaskList", response_class=EventStream, status_code=200
)
async def stream_task_list(state: State) -> Response:
    """Send `changed` at the beginning, then at most once a second when tasks have changed.

    Its data is {"ids": [...]}, or {"ids": null} where it may be any: then look at the list again.
    """
    return EventStream(follow(state))


async def follow(state: ServerState) -> AsyncIterator[bytes]:
    """Yield that tasks have changed until the server ends."""
    yield RETRY
    with state.changes.bell() as bell:
        # What came while nobody listened, before a connection that was made again.
        yield event("changed", {"ids": None})
        while not state.closing.is_set():
            if not await bell.wait(HEARTBEAT_EVERY):
                yield HEARTBEAT
                continue
            ids = bell.take()
            if ids is not None and not ids:  # they were told with those before them
                continue
            yield event("changed", {"ids": None if ids is None else sorted(ids)})
            for _ in range(PAUSES):
                if not state.closing.is_set():
                    await asyncio.sleep(EVERY / PAUSES)
