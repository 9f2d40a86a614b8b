"""signIn, signOut, getMe: a browser's session, kept in a cookie that no script can read."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from tunesmith import __version__, wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.state import State
from tunesmith.errors import NotSignedIn

router = APIRouter()


class SignInRequest(BaseModel):
    """Who wants in."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=4096)


@router.post("/signIn", operation_id="signIn", response_model=Envelope[wire.Me])
def sign_in(
    asked: SignInRequest, request: Request, state: State, language: RequestLanguage
) -> Response:
    """Sign a browser in with the server's token: answers with the cookie `tunesmith_session`."""
    raise NotImplementedError


@router.post("/signOut", operation_id="signOut", response_model=Envelope[None])
def sign_out(language: RequestLanguage) -> Response:
    """Sign the browser out: clears the cookie."""
    raise NotImplementedError


@router.get("/getMe", operation_id="getMe", response_model=Envelope[wire.Me])
def get_me(language: RequestLanguage) -> Response:
    """Return who is signed in; 401 when nobody is."""
    raise NotImplementedError
