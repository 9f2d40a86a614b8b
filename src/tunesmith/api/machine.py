"""getMachine: what the server's machine has, and what of it is used."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith import __version__, wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.state import State
from tunesmith.machine import look_at_machine
from tunesmith.status import Status

router = APIRouter()


@router.get("/getMachine", operation_id="getMachine", response_model=Envelope[wire.Machine])
def get_machine(state: State, language: RequestLanguage) -> Response:
    """Return processors, memory and disk of the machine, and how many tasks run and wait."""
    counts = state.store.counts()
    machine = wire.Machine(
        **asdict(look_at_machine(state.settings.data_dir)),
        data_dir=str(state.settings.data_dir),
        version=__version__,
        running=counts[Status.RUNNING],
        pending=counts[Status.PENDING],
    )
    return answer(machine, language)
