"""streamTaskList: tells a list of tasks when to look again, as Server-Sent Events."""

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith.api.event_stream import EventStream
from tunesmith.api.state import State

router = APIRouter()


@router.get(
    "/streamTaskList", operation_id="streamTaskList", response_class=EventStream, status_code=200
)
async def stream_task_list(state: State) -> Response:
    """Send `changed` at most once a second: {"ids": [...]}, or {"ids": null} for any task."""
    raise NotImplementedError
