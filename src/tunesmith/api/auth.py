"""Who may call: everything under /finetuning needs the token or a session, before its body is read.

The token comes in a header and is enough. A session comes in a cookie, which browsers send by
themselves: the request must then call this machine by a known name, and a write must come from a
page of this server. Wrong tokens are counted, see `tries`.
"""

import hmac
import math
import time
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from tunesmith.api.errors import refusal
from tunesmith.api.language import language_of
from tunesmith.api.origin import is_from_page, is_known_host, is_same_origin
from tunesmith.api.session import COOKIE, is_session
from tunesmith.api.state import ServerState, state_of
from tunesmith.errors import Forbidden, NotSignedIn, Refused, TooManyTries

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


def look_at_token(given: bytes, address: str, state: ServerState, now: float) -> Refused | None:
    """Return why `given`, which came from `address`, signs nobody in; None where it does.

    `now` is in seconds of any clock that is always the same.
    """
    if wait := state.tries.of(address).wait(now):
        return TooManyTries(seconds=math.ceil(wait))
    if not _is_token(given, state):
        state.tries.note_wrong(address, given, now)
        return NotSignedIn("token_wrong")
    state.tries.note_right(address)
    return None


def address_of(request: Request) -> str:
    """Return the address that a request comes from, a proxy's where one is between."""
    return request.client.host if request.client else ""


def _is_token(given: bytes, state: ServerState) -> bool:
    # In a time that does not tell how much of it is right.
    return hmac.compare_digest(given, state.token.encode())


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
    refused: Refused = NotSignedIn()
    address, now = address_of(request), time.monotonic()
    for token in _tokens(request):
        if state.tries.of(address).known and _is_token(token, state):
            return None
        if (found := look_at_token(token, address, state, now)) is None:
            return None
        if isinstance(found, TooManyTries):
            refused = found
    if is_session(request.cookies.get(COOKIE, ""), state.token, time.time()):
        return _foreign(request)
    return refused


def _tokens(request: Request) -> list[bytes]:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    given = [request.headers.get("x-token", "")]
    if scheme.lower() == "bearer":
        given.append(bearer.strip())
    # Headers are decoded as latin-1; this gives back the bytes that were sent.
    return [each.encode("latin-1") for each in given if each]


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
