"""Server-Sent Events on the wire: how one is written, and the response that carries them.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from tunesmith.api.envelope import to_json
from tunesmith.errors import FieldProblem, InvalidInput

HEARTBEAT_EVERY = 15.0  # seconds; proxies close a connection that is silent for a minute
HEARTBEAT = b": still here\n\n"
RETRY = b"retry: 1000\n\n"  # milliseconds until a browser connects again


class EventStream(StreamingResponse):
    """A stream of events that no proxy keeps back or changes."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        headers = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
        super().__init__(events, headers=headers)


def event(name: str, data: Any, id: int | None = None) -> bytes:
    """Return an event with `data` as JSON; `id` is what a client sends back to go on after it."""
    first = "" if id is None else f"id: {id}\n"
    return f"{first}event: {name}\ndata: ".encode() + to_json(data) + b"\n\n"


def last_event_id(request: Request, query: int | None) -> int | None:
    """Return where to go on: the header `Last-Event-ID`, else `query`, else None.

    The header wins: a browser connects again with the URL of its first time. Raises InvalidInput
    for a header that is no number.
    """
    header = request.headers.get("last-event-id", "")
    if not header:
        return query
    if not (header.isascii() and header.isdigit() and len(header) < 19):
        raise InvalidInput(FieldProblem("Last-Event-ID", "field.int_parsing"))
    return int(header)


def nothing_more() -> Response:
    """Return the answer that tells a browser's EventSource not to connect again."""
    return Response(status_code=204)
