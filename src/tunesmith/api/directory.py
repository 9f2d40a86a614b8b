"""listDirectory: what is in a directory of the server's machine, inside the allowed roots."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from tunesmith import directory_list as directories
from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.queries import OptionalSwitch
from tunesmith.api.state import State
from tunesmith.settings import Settings

router = APIRouter()


@router.get(
    "/listDirectory", operation_id="listDirectory", response_model=Envelope[wire.DirectoryList]
)
def list_directory(
    state: State,
    language: RequestLanguage,
    path: Annotated[str, Query(max_length=4096, description="Empty: the roots")] = "",
    show_hidden: Annotated[OptionalSwitch, Query(alias="showHidden")] = None,
) -> Response:
    """Return directories and files of a directory, directories first, at most 1000.

    Of a symlink out of the allowed roots nothing is told.
    """
    settings = state.settings
    # A base model may be chosen there too, often a symlink to a larger disk.
    roots = tuple(dict.fromkeys([*settings.roots, *_beside(settings)]))
    found = directories.list_directory(path.strip(), roots, hidden=bool(show_hidden))
    return answer(found, language)


def _beside(settings: Settings) -> Iterator[Path]:
    models = settings.models_dir
    if models.is_dir() and not any(models.is_relative_to(root) for root in settings.roots):
        yield models
