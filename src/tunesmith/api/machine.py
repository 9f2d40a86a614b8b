"""getMachine: what the server's machine has, and what of it is used."""

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.state import State

router = APIRouter()


@router.get("/getMachine", operation_id="getMachine", response_model=Envelope[wire.Machine])
def get_machine(state: State, language: RequestLanguage) -> Response:
    """Return processors, memory and disk of the machine, and how many tasks run and wait."""
    raise NotImplementedError
