"""previewSample: a sample as a model will see it, with what is learnt of it."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.queries import not_empty
from tunesmith.api.state import State
from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.model_list import directory_of
from tunesmith.paths import inside_roots
from tunesmith.side_process import ask
from tunesmith.spec import Text, TrainingArguments

SECONDS = 60.0

router = APIRouter()


class PreviewRequest(BaseModel):
    """What is shown: a row of a data set, or a sample given here."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    base_model: Text = Field(min_length=1, max_length=4096)
    dataset_path: Text | None = Field(None, max_length=4096)
    sample: dict[str, Any] | None = Field(None, description="One row, as in a data set")
    row: int = Field(1, ge=1, description="Row of the training split, from 1")
    training_args: TrainingArguments = Field(default_factory=TrainingArguments)

    @model_validator(mode="before")
    @classmethod
    def _given_only(cls, values: Any) -> Any:
        return not_empty(values) if isinstance(values, dict) else values


@router.post("/previewSample", operation_id="previewSample", response_model=Envelope[wire.Preview])
def preview_sample(request: PreviewRequest, state: State, language: RequestLanguage) -> Response:
    """Return a sample's text and tokens under the prompt format that training would use."""
    if (request.dataset_path is None) == (request.sample is None):
        raise InvalidInput(FieldProblem("datasetPath", "field.dataset_or_sample"))
    settings = state.settings
    data = request.dataset_path
    shown = ask(
        "tunesmith.trainer.preview",
        {
            "base_model": str(directory_of(request.base_model, settings)),
            "dataset_path": data and str(inside_roots(data, "datasetPath", settings.roots)),
            "sample": request.sample,
            "row": request.row,
            "system_prompt": request.training_args.system_prompt,
            "max_seq_length": request.training_args.max_seq_length,
        },
        SECONDS,
    )
    return answer(wire.Preview.model_validate(shown), language)
