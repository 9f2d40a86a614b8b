"""Puts the API together: routers, errors, sign-in, and documentation that needs no internet."""

from fastapi import APIRouter, Depends, FastAPI
from fastapi_offline import FastAPIOffline

from tunesmith import __version__
from tunesmith.api import (
    check_task,
    datasets,
    devices,
    directory,
    health,
    log_lines,
    logs,
    machine,
    memory,
    metrics,
    models,
    preview,
    schema,
    sign_in,
    statistics,
    stream,
    stream_list,
    task_events,
    tasks,
)
from tunesmith.api.auth import GUARDED, SignIn, documented
from tunesmith.api.body_limit import BodyLimit
from tunesmith.api.console import Console
from tunesmith.api.errors import DOCUMENTED, UnknownErrors, handle_errors
from tunesmith.api.state import ServerState

DESCRIPTION = """\
Every JSON answer is `{"code": 0, "data": ..., "msg": "..."}`; `code` is not 0 when something
failed, and `msg` says what, in the language of `lang` in the query or of `Accept-Language` (zh or
en)."""


def create_app(state: ServerState | None) -> FastAPI:
    """Return the application that serves `state`; without one it only documents itself."""
    app: FastAPI = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="Tunesmith",
        version=__version__,
        description=DESCRIPTION,
        redirect_slashes=False,
        # A body without a content type is JSON too.
        strict_content_type=False,
    )
    app.state.server = state
    handle_errors(app)
    # The last one added sees a request first.
    app.add_middleware(BodyLimit)
    app.add_middleware(SignIn)
    app.add_middleware(UnknownErrors)

    guarded = APIRouter(prefix=GUARDED, dependencies=[Depends(documented)], responses=DOCUMENTED)
    for resource in (
        sign_in,
        tasks,
        check_task,
        statistics,
        stream_list,
        stream,
        task_events,
        metrics,
        logs,
        log_lines,
        schema,
        devices,
        machine,
        models,
        directory,
        preview,
        datasets,
        memory,
    ):
        guarded.include_router(resource.router)
    app.include_router(guarded)
    app.include_router(sign_in.open_router, prefix=GUARDED, responses=DOCUMENTED)
    app.include_router(health.router)
    app.router.default = Console(otherwise=app.router.not_found)
    return app
