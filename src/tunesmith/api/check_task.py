"""checkTask: what a request would become, and what is unusual about it."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith import wire
from tunesmith.advice import advise
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.state import State
from tunesmith.api.submit_line import submit_line
from tunesmith.base_model import inspect
from tunesmith.families import find_entry
from tunesmith.messages import sentence
from tunesmith.spec import TaskRequest
from tunesmith.tasks import examine

router = APIRouter()


@router.post("/checkTask", operation_id="checkTask", response_model=Envelope[wire.CheckedTask])
def check_task(request: TaskRequest, state: State, language: RequestLanguage) -> Response:
    """Answer as createTask would, field by field, and create nothing.

    `warnings` are what is allowed but unusual. Reads the data for 2 s at most.
    """
    devices = state.inventory()
    spec, read = examine(request, settings=state.settings, devices=devices)
    parameters, positions = _facts(spec.base_model, request.base_model)
    found = advise(
        spec,
        samples=read.counts if read.complete else None,
        parameters=parameters,
        positions=positions,
        devices=len(devices),
    )
    body = request.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    checked = wire.CheckedTask(
        command=submit_line(body),
        request=body,
        training_args=spec.training.model_dump(mode="json"),
        warnings=[
            wire.Advice(field=each.field, message=sentence(each.code, language, each.params))
            for each in found
        ],
    )
    return answer(checked, language)


def _facts(directory: str, name: str) -> tuple[int | None, int | None]:
    """Return the base model's parameters and positions: its own, else the catalogue's."""
    path = Path(directory)
    if path.is_dir():
        found = inspect(path)
        return found.parameters, found.max_positions
    entry = find_entry(name.partition("@")[0])
    return (entry.parameters if entry else None), None
