"""listDirectory: what is in a directory of the server's machine, inside the allowed roots."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.state import State

router = APIRouter()


@router.get(
    "/listDirectory", operation_id="listDirectory", response_model=Envelope[wire.DirectoryList]
)
def list_directory(
    state: State,
    language: RequestLanguage,
    path: Annotated[str, Query(max_length=4096, description="Empty: the roots")] = "",
    show_hidden: Annotated[bool, Query(alias="showHidden")] = False,
) -> Response:
    """Return directories and files of a directory, directories first, at most 1000."""
    raise NotImplementedError
