"""getTrainingSchema: every training argument, as a form needs it."""

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.messages import sentence
from tunesmith.spec import training_schema

router = APIRouter()


@router.get(
    "/getTrainingSchema",
    operation_id="getTrainingSchema",
    response_model=Envelope[list[wire.Argument]],
)
def get_training_schema(language: RequestLanguage) -> Response:
    """Return name, type, default, bounds, recommended range, group and hints of each argument."""
    return answer([_argument(each) for each in training_schema()], language)


def _argument(described: dict[str, object]) -> wire.Argument:
    key = f"args.{described['name']}.hint"
    hints = {"hint_zh": sentence(key, "zh"), "hint_en": sentence(key, "en")}
    return wire.Argument.model_validate({**described, **hints})


@router.get(
    "/getTrainingPresets",
    operation_id="getTrainingPresets",
    response_model=Envelope[list[wire.TrainingPreset]],
)
def get_training_presets(language: RequestLanguage) -> Response:
    """Return training arguments that belong together: quick, lora, qlora, full."""
    raise NotImplementedError
