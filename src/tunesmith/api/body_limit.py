"""Refuses a request with too large a body, before it is in memory."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunesmith.api.errors import BODY_LIMIT


class BodyLimit:
    """Counts what arrives: a chunked body states no length, and a stated one may be wrong."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = Headers(scope=scope).get("content-length", "")
        arrived = int(stated) if stated.isdigit() else 0
        counted = 0

        async def limited() -> Message:
            nonlocal counted
            if arrived > BODY_LIMIT:
                raise HTTPException(413)
            message = await receive()
            counted += len(message.get("body", b""))
            if counted > BODY_LIMIT:
                raise HTTPException(413)
            return message

        await self._app(scope, limited, send)
