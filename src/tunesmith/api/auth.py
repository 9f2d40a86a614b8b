"""Who may call: everything under /finetuning needs the token, before its body is read."""

import hmac
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from tunesmith.api.errors import refusal
from tunesmith.api.language import language_of
from tunesmith.api.state import state_of
from tunesmith.errors import NotSignedIn

GUARDED = "/finetuning"


class SignIn:
    """Refuses a request without the token. A middleware, so that no route can be forgotten."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _guarded(scope):
            request = Request(scope)
            if not _has_token(request, state_of(request).token):
                response = refusal(NotSignedIn(), language_of(request))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _guarded(scope: Scope) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path == GUARDED or path.startswith(f"{GUARDED}/")


def _has_token(request: Request, token: str) -> bool:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    given = [request.headers.get("x-token", "")]
    if scheme.lower() == "bearer":
        given.append(bearer.strip())
    # Headers are decoded as latin-1; this gives back the bytes that were sent.
    return any(hmac.compare_digest(each.encode("latin-1"), token.encode()) for each in given)


def documented(
    bearer: Annotated[object, Security(HTTPBearer(auto_error=False))],
    header: Annotated[object, Security(APIKeyHeader(name="x-token", auto_error=False))],
) -> None:
    """Show both ways to send the token in OpenAPI; the check itself is `SignIn`'s."""
