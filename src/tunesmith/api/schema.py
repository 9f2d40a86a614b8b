"""getTrainingSchema and getTrainingPresets: training arguments, as a form needs them."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.messages import LANGUAGES, Language, sentence, text_of
from tunesmith.presets import PRESETS
from tunesmith.training_schema import training_schema

router = APIRouter()


@router.get(
    "/getTrainingSchema",
    operation_id="getTrainingSchema",
    response_model=Envelope[list[wire.Argument]],
)
def get_training_schema(language: RequestLanguage) -> Response:
    """Return type, bounds, recommended range, labels, hints and advice of each argument."""
    return answer([_argument(each, language) for each in training_schema()], language)


@router.get(
    "/getTrainingPresets",
    operation_id="getTrainingPresets",
    response_model=Envelope[list[wire.TrainingPreset]],
)
def get_training_presets(language: RequestLanguage) -> Response:
    """Return training arguments that belong together: quick, lora, qlora, full."""
    presets = [
        wire.TrainingPreset(
            key=key,
            title=sentence(f"preset.{key}.title", language),
            description=sentence(f"preset.{key}.description", language),
            training_args=dict(arguments),
        )
        for key, arguments in PRESETS.items()
    ]
    return answer(presets, language)


def _argument(described: dict[str, Any], language: Language) -> wire.Argument:
    name, unit = described["name"], described["unit"]
    texts = {
        f"{kind}_{each}": sentence(f"args.{name}.{kind}", each)
        for kind in ("label", "hint")
        for each in LANGUAGES
    }
    # What the specification has no advice on has no text.
    advice = {f"advice_{each}": text_of(f"args.{name}.advice", each) or "" for each in LANGUAGES}
    shown = {"unit": sentence(f"unit.{unit}", language) if unit else ""}
    return wire.Argument.model_validate({**described, **texts, **advice, **shown})
