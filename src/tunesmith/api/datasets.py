"""checkDataset: what is wrong with a data set, and what could be better."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.queries import not_empty
from tunesmith.api.state import State
from tunesmith.check.report import Report, with_messages
from tunesmith.model_list import directory_of
from tunesmith.paths import inside_roots
from tunesmith.side_process import ask
from tunesmith.spec import Float, Text, TrainingArguments

TO_START = 40.0  # seconds beyond the time asked for: start of the process, and its last part

router = APIRouter()


class CheckRequest(BaseModel):
    """What is checked, and how training would read it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    dataset_path: Text = Field(min_length=1, max_length=4096)
    base_model: Text | None = Field(None, max_length=4096, description="Lengths are its tokens")
    training_args: TrainingArguments = Field(default_factory=TrainingArguments)
    seconds: Float = Field(20.0, ge=1, le=120, description="Time to read; then what was seen")

    @model_validator(mode="before")
    @classmethod
    def _given_only(cls, values: object) -> object:
        return not_empty(values)


@router.post("/checkDataset", operation_id="checkDataset", response_model=Envelope[Report])
def check_dataset(request: CheckRequest, state: State, language: RequestLanguage) -> Response:
    """Check a data set for `seconds`; `complete` is false where that was not enough for all."""
    settings, arguments = state.settings, request.training_args
    data = inside_roots(request.dataset_path, "datasetPath", settings.roots)
    model = None
    if request.base_model:
        model = str(directory_of(request.base_model, settings))
    asked = {
        "dataset_path": str(data),
        "base_model": model,
        "system_prompt": arguments.system_prompt,
        "max_seq_length": arguments.max_seq_length,
        "split": arguments.split,
        "seed": arguments.seed,
        "skip_bad_rows": arguments.on_bad_rows == "skip",
        "seconds": request.seconds,
        "roots": [str(root) for root in settings.roots],
    }
    found_out = ask("tunesmith.check", asked, request.seconds + TO_START)
    return answer(with_messages(Report.model_validate(found_out), language), language)
