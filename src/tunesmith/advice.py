"""What is allowed but unusual in a request, before it becomes a task. Pure.

The specification's recommendations, and what a look at base model and data set tells.
"""

from collections.abc import Iterator, Mapping

from tunesmith.errors import FieldProblem
from tunesmith.spec import RECOMMENDED_BY_METHOD, Spec, TrainingArguments

LARGE_MODEL, LARGE_MODEL_LEARNING_RATE = 12.5e9, 5e-5  # the specification's, from "13B" on
FEW_SAMPLES = 1000  # the specification's, too
ADAPTER_ARGUMENTS = frozenset(
    name for name in TrainingArguments.model_fields if name.startswith(("lora_", "use_"))
)


def advise(
    spec: Spec,
    *,
    samples: Mapping[str, int] | None,
    parameters: int | None,
    positions: int | None,
    devices: int,
) -> list[FieldProblem]:
    """Return what is unusual about `spec`, field by field.

    `samples` are those of each split, None where the data is too much to be read; `parameters`
    and `positions` the base model's, None where it does not tell; `devices` the machine's GPUs.
    """
    training = spec.training
    large = parameters is not None and parameters >= LARGE_MODEL
    billions = round((parameters or 0) / 1e9, 1)
    found = [*_of_arguments(spec)]

    def add(field: str, code: str, **params: object) -> None:
        found.append(FieldProblem(field, code, params))

    if large and training.learning_rate > LARGE_MODEL_LEARNING_RATE:
        given, advised = figure(training.learning_rate), figure(LARGE_MODEL_LEARNING_RATE)
        code = "warning.learning_rate_large_model"
        add("trainingArgs.learning_rate", code, billions=billions, given=given, advised=advised)
    if positions is not None and training.max_seq_length > positions:
        limits = {"max_seq_length": training.max_seq_length, "positions": positions}
        add("trainingArgs.max_seq_length", "warning.beyond_positions", **limits)
    if not devices:
        add("gpuConfig.cuda_visible_devices", "advice.no_gpu")
    elif large and devices > 1 and len(spec.gpu.devices) == 1:
        add("gpuConfig.cuda_visible_devices", "advice.one_gpu", billions=billions)
    if samples is not None:
        if samples.get("train", 0) < FEW_SAMPLES:
            add("datasetPath", "warning.few_samples", count=samples.get("train", 0))
        if not samples.get("validation"):
            if training.early_stopping_patience is not None:
                add("trainingArgs.early_stopping_patience", "advice.no_validation")
            if "eval_steps" in spec.given:
                add("trainingArgs.eval_steps", "advice.evaluation_without_validation")
    return found


def _of_arguments(spec: Spec) -> Iterator[FieldProblem]:
    training = spec.training
    for name in spec.given:
        field, value = f"trainingArgs.{name}", getattr(training, name)
        full, quantised = training.method == "full", training.method == "qlora"
        if (name in ADAPTER_ARGUMENTS and full) or (name == "quantization_bits" and not quantised):
            yield FieldProblem(field, "advice.unused", {"method": training.method})
            continue
        if not (recommended := _recommended(name, training.method)) or value is None:
            continue
        low, high = recommended
        if not low <= value <= high:
            code = "advice.not_recommended" if low == high else "advice.out_of_range"
            ends = {"advised": low} if low == high else {"low": low, "high": high}
            params = {"given": value, **ends}
            yield FieldProblem(field, code, {key: figure(each) for key, each in params.items()})


def figure(value: float) -> str:
    """Return a number as people write it: 2e-4, 0.05, 30."""
    if value and abs(value) < 1e-3:
        digits, exponent = f"{value:.6e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.10g}"


def _recommended(name: str, method: str) -> tuple[float, float] | None:
    if special := RECOMMENDED_BY_METHOD.get(name, {}).get(method):
        return special
    extra = TrainingArguments.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    found = extra["recommended"]
    return (found[0], found[1]) if isinstance(found, list) else None  # type: ignore[return-value]
