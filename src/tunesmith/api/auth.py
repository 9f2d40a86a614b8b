"""Who may call: everything under /finetuning needs the token or a session, before its body is read.

The token comes in a header and is enough. A session comes in a cookie, which browsers send by
themselves: the request must then call this machine by a known name, and a write must come from a
page of this server.
"""

import hmac
import time
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from tunesmith.api.errors import refusal
from tunesmith.api.language import language_of
from tunesmith.api.origin import is_from_page, is_known_host, is_same_origin
from tunesmith.api.session import COOKIE, is_session
from tunesmith.api.state import state_of
from tunesmith.errors import Forbidden, NotSignedIn, Refused

GUARDED = "/finetuning"
SIGNING = frozenset({f"{GUARDED}/signIn", f"{GUARDED}/signOut"})
READING = frozenset({"GET", "HEAD"})


class SignIn:
    """Refuses a request of nobody. A middleware, so that no route can be forgotten."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            if refused := _refused(request, _path(scope)):
                response = refusal(refused, language_of(request))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_token(given: str, token: str) -> bool:
    """Whether `given` is the server's token, in a time that does not tell how much of it is."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _refused(request: Request, path: str) -> Refused | None:
    """Return why nobody answers `request`, None where somebody does."""
    if path != GUARDED and not path.startswith(f"{GUARDED}/"):
        return None
    state = state_of(request)
    if path in SIGNING:
        return _foreign(request) if is_from_page(request.headers) else None
    if _has_token(request, state.token):
        return None
    if not is_session(request.cookies.get(COOKIE, ""), state.token, time.time()):
        return NotSignedIn()
    return _foreign(request)


def _has_token(request: Request, token: str) -> bool:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    given = [request.headers.get("x-token", "")]
    if scheme.lower() == "bearer":
        given.append(bearer.strip())
    # Headers are decoded as latin-1; this gives back the bytes that were sent.
    return any(hmac.compare_digest(each.encode("latin-1"), token.encode()) for each in given)


def _foreign(request: Request) -> Refused | None:
    """Return what is wrong with the names in a browser's request."""
    host = request.headers.get("host", "")
    if not is_known_host(host, state_of(request).settings.allowed_hosts):
        return Forbidden("host_refused", host=host)
    if request.method not in READING and not is_same_origin(request.headers):
        return Forbidden("origin_refused", origin=request.headers.get("origin", "?"), host=host)
    return None


def documented(
    bearer: Annotated[object, Security(HTTPBearer(auto_error=False))],
    header: Annotated[object, Security(APIKeyHeader(name="x-token", auto_error=False))],
    cookie: Annotated[object, Security(APIKeyCookie(name=COOKIE, auto_error=False))],
) -> None:
    """Show the ways to sign in in OpenAPI; the check itself is `SignIn`'s."""
