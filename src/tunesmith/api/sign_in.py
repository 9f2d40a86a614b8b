"""signIn, signOut, getMe: a browser's session, kept in a cookie that no script can read."""

import time

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from tunesmith import __version__, wire
from tunesmith.api.auth import address_of, look_at_token
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.session import COOKIE, SECONDS, new_session
from tunesmith.api.state import State

router = APIRouter()
open_router = APIRouter()  # what needs nobody to be signed in
ME = wire.Me(user_id=None, name=None, version=__version__)


class SignInRequest(BaseModel):
    """Who wants in."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    token: str = Field(min_length=1, max_length=4096)


@open_router.post("/signIn", operation_id="signIn", response_model=Envelope[wire.Me])
def sign_in(
    asked: SignInRequest, request: Request, state: State, language: RequestLanguage
) -> Response:
    """Sign a browser in with the server's token: answers with the cookie `tunesmith_session`."""
    given = asked.token.encode("utf-8", "surrogatepass")
    if refused := look_at_token(given, address_of(request), state, time.monotonic()):
        raise refused
    response = answer(ME, language)
    response.set_cookie(
        COOKIE,
        new_session(state.token, time.time()),
        max_age=SECONDS,
        httponly=True,
        samesite="strict",
        # Behind a proxy only the page knows that the browser speaks TLS.
        secure=request.headers.get("origin", "").startswith("https:"),
    )
    return response


@open_router.post("/signOut", operation_id="signOut", response_model=Envelope[None])
def sign_out(language: RequestLanguage) -> Response:
    """Sign the browser out: clears the cookie."""
    response = answer(None, language)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@router.get("/getMe", operation_id="getMe", response_model=Envelope[wire.Me])
def get_me(language: RequestLanguage) -> Response:
    """Return who is signed in; 401 when nobody is."""
    return answer(ME, language)
