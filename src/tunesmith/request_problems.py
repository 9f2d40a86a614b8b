"""What is wrong with a request: pydantic's errors as ours, with the name that was likely meant."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.messages.json_reason import json_reason
from tunesmith.spec import ARGUMENT_ALIASES, GpuConfig, TaskRequest, TrainingArguments

# What other tools call them: not understood, but the sentence that refuses them tells ours.
NAMES_ELSEWHERE = {
    "lr": "learning_rate",
    "epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "micro_batch_size": "per_device_train_batch_size",
    "cutoff_len": "max_seq_length",
    "max_length": "max_seq_length",
    "sequence_len": "max_seq_length",
    "lora_rank": "lora_r",
    "lora_target": "lora_target_modules",
    "scheduler": "lr_scheduler_type",
    "system": "system_prompt",
    "finetuning_type": "method",
    "quantization_bit": "quantization_bits",
    "early_stopping_steps": "early_stopping_patience",
    "resume": "resume_from_checkpoint",
    "rslora": "use_rslora",
    "dora": "use_dora",
    "neftune_alpha": "neftune_noise_alpha",
    "val_size": "split",
}


def read_request(values: Any) -> TaskRequest:
    """Validate `values` (parsed JSON or YAML); raise InvalidInput naming every wrong field."""
    try:
        return TaskRequest.model_validate(values)
    except ValidationError as error:
        raise InvalidInput(*field_problems(error.errors())) from None


def field_problems(errors: Iterable[ErrorDetails | Mapping[str, Any]]) -> list[FieldProblem]:
    """Turn pydantic's errors into ours, whose sentences are in the catalogue (`field.<type>`)."""
    problems: dict[tuple[str, str], FieldProblem] = {}
    for error in errors:
        # Union members and validators add their own parts to a location; fields never do.
        path = [
            str(part)
            for part in error["loc"]
            if part not in ("body", "bool") and not str(part).startswith(("literal[", "tuple["))
        ]
        name, kind = ".".join(path), str(error["type"])
        params = {key: _plain(value) for key, value in (error.get("ctx") or {}).items()}
        if kind == "json_invalid":
            params["error"] = json_reason(str(params.get("error")))
        if kind == "extra_forbidden" and path:
            kind, params = _unknown_name(path)
        elif kind in ("value_error", "assertion_error"):
            params = {"reason": str(error["msg"])}
        problems.setdefault((name, kind), FieldProblem(name, f"field.{kind}", params))
    return list(problems.values())


def _known_names(parent: str | None) -> list[str]:
    """Return the names allowed in a request, or in its `trainingArgs` or `gpuConfig`."""
    if parent in ("trainingArgs", "training_args"):
        return [*TrainingArguments.model_fields, *ARGUMENT_ALIASES]
    if parent in ("gpuConfig", "gpu_config"):
        return list(GpuConfig.model_fields)
    return [field.alias or name for name, field in TaskRequest.model_fields.items()]


def _unknown_name(path: list[str]) -> tuple[str, dict[str, Any]]:
    known = _known_names(path[-2] if len(path) > 1 else None)
    elsewhere = NAMES_ELSEWHERE.get(path[-1])
    nearest = (
        [elsewhere]
        if elsewhere in known
        else difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    )
    if nearest:
        return "unknown_name_near", {"name": path[-1], "nearest": nearest[0]}
    return "unknown_name", {"name": path[-1], "known": known}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
