"""Errors to HTTP, in this one place: the package's own, the framework's, and the unknown."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunesmith.api.envelope import JSON, Envelope, WrongFields
from tunesmith.api.language import language_of
from tunesmith.errors import (
    Conflict,
    FieldProblem,
    Forbidden,
    InvalidInput,
    NotFound,
    NotSignedIn,
    Refused,
    TooManyTries,
    TunesmithError,
)
from tunesmith.messages import Language, sentence
from tunesmith.request_problems import field_problems

# The first that fits an error counts.
STATUS_OF: Mapping[type[TunesmithError], int] = {
    InvalidInput: 422,
    NotSignedIn: 401,
    TooManyTries: 429,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Refused: 400,
}
# What OpenAPI shows.
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    401: {"model": Envelope[None], "description": "Not signed in"},
    403: {"model": Envelope[None], "description": "A page or a host that is not this server's"},
    404: {"model": Envelope[None], "description": "No such task"},
    422: {"model": Envelope[WrongFields], "description": "Fields that must be changed"},
    429: {"model": Envelope[None], "description": "Too many wrong tokens; see Retry-After"},
}
BODY_LIMIT = 1 << 20  # bytes of a request's body
PROBLEMS_SHOWN = 50  # a body of a thousand unknown names is told so, not searched for each

log = logging.getLogger(__name__)


def handle_errors(app: FastAPI) -> None:
    """Let every error of a handler of `app` leave as an envelope with its HTTP status."""
    app.add_exception_handler(TunesmithError, _own)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def refusal(error: Refused, language: Language) -> Response:
    """Return the answer to a request that is refused for `error`."""
    status = next(status for kind, status in STATUS_OF.items() if isinstance(error, kind))
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, TooManyTries):
        headers["retry-after"] = str(error.params["seconds"])
    if isinstance(error, InvalidInput):
        return _fields(error.problems, language)
    return failure(status, sentence(error.code, language, error.params), headers=headers)


def failure(
    status: int, message: str, data: Any = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an envelope that says what went wrong; its code is the HTTP status."""
    return JSON({"code": status, "data": data, "msg": message}, status, headers)


class UnknownErrors:
    """Answers 500 to an error that nothing else knows, and logs it under the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started |= message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            request = Request(scope)
            response = _internal(request, error)
            await response(scope, receive, send)


async def _own(request: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        return refusal(error, language_of(request))
    return _internal(request, error)


def _internal(request: Request, error: Exception) -> Response:
    number = secrets.token_hex(6)
    log.error("request %s: %s %s", number, request.method, request.url.path, exc_info=error)
    return failure(500, sentence("internal", language_of(request), {"request": number}))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    language = language_of(request)
    found = list(error.errors())[:PROBLEMS_SHOWN]
    problems = field_problems({**each, "loc": _path(each)} for each in found)
    if any(each["type"] == "json_invalid" for each in found):
        # The place is the catalogue's to say; there is no field yet.
        return failure(400, sentence(problems[0].code, language, problems[0].params))
    return _fields(problems, language)


def _path(error: Mapping[str, Any]) -> tuple[Any, ...]:
    where, *path = error["loc"]
    return tuple(path) or (where,)


def _fields(problems: Sequence[FieldProblem], language: Language) -> Response:
    errors = [
        {
            "field": problem.field or "body",
            "message": sentence(problem.code, language, problem.params),
            "type": problem.code.removeprefix("field."),
        }
        for problem in problems
    ]
    # A console reads only `msg`: it must name the fields too.
    named = "; ".join(f"{each['field']}: {each['message']}" for each in errors)
    message = sentence("invalid_fields", language, {"fields": named})
    return failure(422, message, {"errors": errors})


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    language = language_of(request)
    path, status = request.url.path, error.status_code
    match status:
        case 404:
            message = sentence("not_found", language, {"path": path})
        case 405:
            params = {"method": request.method, "path": path}
            message = sentence("method_not_allowed", language, params)
        case 400:
            message = sentence("body_unreadable", language)
        case 413:
            message = sentence("body_too_large", language, {"limit_mib": BODY_LIMIT >> 20})
        case _:
            message = sentence("http_error", language, {"status": status})
    return failure(status, message, headers=error.headers)
