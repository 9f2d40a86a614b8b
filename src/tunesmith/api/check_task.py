"""checkTask: what a request would become, and what is unusual about it."""

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.state import State
from tunesmith.spec import TaskRequest

router = APIRouter()


@router.post("/checkTask", operation_id="checkTask", response_model=Envelope[wire.CheckedTask])
def check_task(request: TaskRequest, state: State, language: RequestLanguage) -> Response:
    """Answer as createTask would, field by field, and create nothing."""
    raise NotImplementedError
