"""GET /health: whether the server is well. Needs no token."""

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith import __version__, wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.state import State
from tunesmith.status import Status

router = APIRouter()


@router.get("/health", operation_id="health", response_model=Envelope[wire.Health])
def health(state: State, language: RequestLanguage) -> Response:
    """Return status `ok`, the version, and how many tasks run and wait."""
    counts = state.store.counts()  # an error here is the answer: the store is not well
    well = wire.Health(
        status="ok",
        version=__version__,
        running=counts[Status.RUNNING],
        pending=counts[Status.PENDING],
    )
    return answer(well, language)
