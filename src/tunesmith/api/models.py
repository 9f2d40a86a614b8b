"""getModelList and inspectModel: the base models there are, and what one of them is."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.state import State
from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.model_list import inspect_model, list_models

router = APIRouter()


@router.get("/getModelList", operation_id="getModelList", response_model=Envelope[wire.ModelList])
def get_model_list(state: State, language: RequestLanguage) -> Response:
    """Return the catalogue of base models, and those in the models directory."""
    settings = state.settings
    return answer(list_models(settings, [*settings.roots, settings.models_dir], language), language)


@router.get(
    "/inspectModel", operation_id="inspectModel", response_model=Envelope[wire.InspectedModel]
)
def get_inspection(
    state: State,
    language: RequestLanguage,
    path: Annotated[
        str, Query(max_length=4096, description="Directory, name or hub id, as `baseModel`")
    ] = "",
) -> Response:
    """Return family, size, prompt format of a base model, and what is wrong with it."""
    if not path.strip():
        raise InvalidInput(FieldProblem("path", "field.missing"))
    settings = state.settings
    return answer(inspect_model(path.strip(), settings, settings.roots, language), language)
