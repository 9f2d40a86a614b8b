"""What a user may ask for: a task, its training arguments and its GPU configuration.

`TaskRequest` is what arrives (API body, YAML file, form); `Spec` is the complete, frozen input
of an attempt that lies in its run directory. Names are those of transformers, peft and the
specification. Nothing here reads a file or a setting.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

# Consoles of the gin-vue-admin kind send these short names (wire contract).
ARGUMENT_ALIASES = {"batch_size": "per_device_train_batch_size"}


def _no_bool(value: Any) -> Any:
    # JSON `true` would pass as the number 1.
    if isinstance(value, bool):
        raise PydanticCustomError("number_expected", "a number is expected")
    return value


Int = Annotated[int, BeforeValidator(_no_bool)]
Float = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]


def _argument(
    default: Any,
    group: Literal["basic", "schedule", "lora", "data", "saving", "advanced"],
    *,
    unit: Literal["", "steps", "epochs", "samples", "tokens", "bits", "times"] = "",
    recommended: tuple[float, float] | None = None,
    **bounds: Any,
) -> Any:
    """Declare a training argument: its default, hard bounds, recommended range, form group, unit.

    `unit` is a key of the message catalogue under `unit.`.
    """
    return Field(
        default,
        json_schema_extra={
            "group": group,
            "unit": unit,
            "recommended": list(recommended) if recommended else None,
            "bounds": bounds,  # JSON schema drops those of an optional number
        },
        **bounds,
    )


# Full fine-tuning moves every weight: a learning rate for adapters would wreck the base model.
FULL_LEARNING_RATE = 2e-5
# Where the recommended range of an argument is another one for a method.
RECOMMENDED_BY_METHOD: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "learning_rate": {"full": (5e-6, 5e-5)},
}
SPLIT_NAMES = ("train", "validation", "test")


def _drop_not_given(values: Any) -> Any:
    """An empty string or null in a body means 'not given' (wire contract)."""
    if isinstance(values, Mapping):
        return {name: value for name, value in values.items() if value is not None and value != ""}
    return values


class TrainingArguments(BaseModel):
    """The hyper-parameters of a run. Recommended ranges are the specification's."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["lora", "qlora", "full"] = _argument("lora", "basic")
    """How the base model is tuned: an adapter, an adapter on quantised weights, or all weights."""
    quantization_bits: Literal[4, 8] = _argument(4, "lora", unit="bits")
    """Of `qlora`: 4 is NF4 with double quantisation, 8 is LLM.int8."""
    num_train_epochs: Float = _argument(
        3.0, "basic", unit="epochs", recommended=(3, 10), gt=0, le=10_000
    )
    """Passes over the training split; a fraction is allowed."""
    max_steps: Int = _argument(-1, "schedule", unit="steps", ge=-1, le=1_000_000_000)
    """Optimiser steps at most; -1 means no limit."""
    per_device_train_batch_size: Int = _argument(
        4, "basic", unit="samples", recommended=(1, 8), ge=1, le=4096
    )
    """Samples per device and forward pass."""
    gradient_accumulation_steps: Int = _argument(1, "basic", unit="times", ge=1, le=65_536)
    """Forward passes per optimiser step."""
    learning_rate: Float = _argument(2e-4, "basic", recommended=(5e-5, 2e-4), gt=0, le=1)
    """Peak learning rate of AdamW. Not given: 2e-4, or 2e-5 for `full`."""
    max_seq_length: Int = _argument(
        512, "basic", unit="tokens", recommended=(256, 2048), ge=8, le=1_048_576
    )
    """Tokens per sample at most; longer samples are cut at the end."""
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = _argument("cosine", "schedule")
    """Course of the learning rate after the warm-up."""
    warmup_steps: Int = _argument(100, "schedule", unit="steps", ge=0, le=1_000_000_000)
    """Steps from 0 to the peak. Not given: this default or a tenth of the run, if that is less."""
    warmup_ratio: Float | None = _argument(None, "schedule", recommended=(0.03, 0.1), ge=0, lt=1)
    """Warm-up as a part of the run; replaces `warmup_steps`."""
    weight_decay: Float = _argument(0.01, "advanced", recommended=(0.01, 0.01), ge=0, le=1)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: Float = _argument(1.0, "advanced", gt=0, le=1e6)
    """Gradients are scaled down to this norm."""
    gradient_checkpointing: bool | Literal["auto"] = _argument("auto", "advanced")
    """Recompute activations in the backward pass: less memory, about a third more time. Auto does
    so where the memory plan says that the device needs it."""
    sharding: Literal["auto", "none", "full"] = _argument("auto", "advanced")
    """With several devices: whether weights are divided over them (FSDP2); auto does where one
    device could not hold the run."""
    dtype: Literal["auto", "fp32", "bf16"] = _argument("auto", "advanced")
    """Number format of the base model; auto is bf16 where the hardware has it, else fp32."""
    kernels: Literal["auto", "plain"] = _argument("auto", "advanced")
    """Our faster, leaner computation where it is exact for the base model; plain: never."""
    lora_r: Int = _argument(16, "lora", recommended=(8, 64), ge=1, le=1024)
    """Rank of the LoRA matrices."""
    lora_alpha: Float = _argument(32.0, "lora", recommended=(16, 128), gt=0, le=4096)
    """Scale of the LoRA update: alpha / r."""
    lora_dropout: Float = _argument(0.05, "lora", recommended=(0.05, 0.1), ge=0, lt=1)
    """Dropout before the LoRA matrices."""
    lora_target_modules: Literal["all-linear"] | tuple[str, ...] = _argument("all-linear", "lora")
    """Layers that get an adapter: all-linear, or module names."""
    use_rslora: bool = _argument(False, "lora")
    """Scale by alpha / sqrt(r) instead of alpha / r: steadier at high ranks."""
    use_dora: bool = _argument(False, "lora")
    """Learn magnitude and direction apart (DoRA): slower, often a little better at low ranks."""
    neftune_noise_alpha: Float | None = _argument(None, "advanced", gt=0, le=1000)
    """Noise on the embeddings in training (NEFTune); 5 is usual."""
    system_prompt: str | None = _argument(None, "data", max_length=20_000)
    """System text before every sample that has none; not given: the template's own default."""
    split: dict[str, Float] | None = _argument(None, "data")
    """Parts of train.jsonl for train, validation and test; not given: the files as they are."""
    on_bad_rows: Literal["error", "skip"] = _argument("error", "data")
    """What a row that is no sample does: ends the task, or is left out and listed."""
    logging_steps: Int = _argument(10, "saving", unit="steps", ge=1, le=1_000_000)
    """A metrics event every so many steps."""
    eval_steps: Int | None = _argument(None, "saving", unit="steps", ge=1, le=1_000_000_000)
    """Validation every so many steps; not given: after each epoch."""
    early_stopping_patience: Int | None = _argument(None, "saving", unit="times", ge=1, le=10_000)
    """End after so many evaluations without a lower eval_loss, and keep the best checkpoint."""
    save_steps: Int = _argument(500, "saving", unit="steps", ge=1, le=1_000_000_000)
    """A checkpoint every so many steps."""
    save_total_limit: Int = _argument(3, "saving", ge=1, le=10_000)
    """Checkpoints kept at most; the oldest is removed."""
    resume_from_checkpoint: str | None = _argument(None, "saving", max_length=4096)
    """Checkpoint directory of an earlier task to go on from."""
    seed: Int = _argument(42, "advanced", ge=0, le=2**32 - 1)
    """Same spec and seed, same losses."""

    @model_validator(mode="before")
    @classmethod
    def _canonical_names(cls, values: Any) -> Any:
        values = _drop_not_given(values)
        if not isinstance(values, Mapping):
            return values
        named = dict(values)
        for short, canonical in ARGUMENT_ALIASES.items():
            if short in named:
                if canonical in named and named[canonical] != named[short]:
                    raise PydanticCustomError(
                        "alias_conflict",
                        "given twice with different values",
                        {"alias": short, "name": canonical},
                    )
                named[canonical] = named.pop(short)
        return named

    @field_validator("max_steps")
    @classmethod
    def _some_steps(cls, value: int) -> int:
        if value == 0:
            raise PydanticCustomError("max_steps_zero", "0 steps train nothing")
        return value

    @field_validator("quantization_bits", mode="before")
    @classmethod
    def _as_number(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @field_validator("split", mode="before")
    @classmethod
    def _parse_split(cls, value: Any) -> Any:
        """Take "0.8,0.15,0.05" and JSON text too: a shell's --set has no objects."""
        if isinstance(value, str):
            try:
                parts = json.loads(value) if value.lstrip().startswith("{") else value.split(",")
            except ValueError:
                raise PydanticCustomError("split", "not a split") from None
            return parts if isinstance(parts, dict) else dict(zip(SPLIT_NAMES, parts, strict=False))
        return value

    @field_validator("split")
    @classmethod
    def _whole_split(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is None:
            return None
        known = set(value) <= set(SPLIT_NAMES) and value.get("train", 0) > 0
        if not known or min(value.values()) < 0 or abs(sum(value.values()) - 1) > 1e-6:
            raise PydanticCustomError("split", "not a split")
        return {name: value.get(name, 0.0) for name in SPLIT_NAMES}

    @model_validator(mode="after")
    def _learning_rate_of_method(self) -> Self:
        if self.method == "full" and "learning_rate" not in self.model_fields_set:
            # Stays a default: it is not marked as given.
            self.__dict__["learning_rate"] = FULL_LEARNING_RATE
        return self

    @field_validator("lora_target_modules", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "all-linear":
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value


class GpuConfig(BaseModel):
    """Which devices a task occupies, and how much of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cuda_visible_devices: str = ""
    """GPU indices: "0", "0,1" or "0-2"; "" lets the scheduler choose (CPU where there is none)."""
    memory_optimization: bool = False
    """显存优化: switches gradient checkpointing on."""
    max_memory_gib: Float | None = Field(None, gt=0, le=100_000)
    """显存使用: cap per device in GiB."""

    @model_validator(mode="before")
    @classmethod
    def _given_only(cls, values: Any) -> Any:
        return _drop_not_given(values)

    @field_validator("cuda_visible_devices", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("cuda_visible_devices")
    @classmethod
    def _device_list(cls, value: str) -> str:
        parse_devices(value)
        return value.strip()

    @property
    def devices(self) -> tuple[int, ...]:
        """GPU indices asked for, in the order given; () means the scheduler chooses."""
        return parse_devices(self.cuda_visible_devices)


def parse_devices(text: str) -> tuple[int, ...]:
    """Parse "0", "0,1" or "0-2" (inclusive) into indices without repeats.

    Raises PydanticCustomError `device_list` for anything else.
    """
    indices: list[int] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        first, dash, last = part.partition("-")
        ends = [first, last] if dash else [first]
        if not all(end.isascii() and end.isdigit() and len(end) <= 4 for end in ends):
            raise PydanticCustomError("device_list", "not a list of GPU indices", {"value": text})
        low, high = int(ends[0]), int(ends[-1])
        if low > high or high - low >= 1024:
            raise PydanticCustomError("device_list", "not a list of GPU indices", {"value": text})
        indices += range(low, high + 1)
    return tuple(dict.fromkeys(indices))


def _plain_text(value: str) -> str:
    if "\0" in value:
        raise PydanticCustomError("nul_character", "holds a NUL character")
    return value


Text = Annotated[str, BeforeValidator(lambda v: _plain_text(v) if isinstance(v, str) else v)]


class TaskRequest(BaseModel):
    """What a user asks for, under the wire's camelCase names or Python's own (YAML files)."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        str_strip_whitespace=True,
    )

    name: Text = Field(min_length=1, max_length=255)
    base_model: Text = Field(min_length=1, max_length=4096)
    dataset_path: Text = Field(min_length=1, max_length=4096)
    description: Text | None = Field(None, max_length=20_000)
    output_path: Text | None = Field(None, max_length=4096)
    training_args: TrainingArguments = Field(default_factory=TrainingArguments)
    gpu_config: GpuConfig = Field(default_factory=GpuConfig)
    command: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _given_only(cls, values: Any) -> Any:
        return _drop_not_given(values)

    @field_validator("command")
    @classmethod
    def _no_command(cls, value: str | None) -> str | None:
        if value:
            raise PydanticCustomError("command_refused", "commands are made by the server")
        return None


class HubModel(BaseModel):
    """A base model to download, pinned to one revision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["huggingface", "modelscope"]
    repo: str
    """`organisation/name`."""
    revision: str
    """Commit (Hugging Face) or revision (ModelScope)."""
    endpoint: str
    """URL of the hub or its mirror."""


class Spec(BaseModel):
    """The complete input of an attempt (`spec.json`): defaults resolved, paths absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    task_id: int
    attempt: int
    name: str
    description: str | None
    base_model: str
    """Absolute path of the base model's directory; with `hub`, where it will be."""
    hub: HubModel | None = None
    """Where to download the base model from if it is not there."""
    cache_dir: str = ""
    """Absolute path for converted base models and tokenised data; "" keeps neither."""
    dataset_path: str
    """Absolute path of a directory with train.jsonl (or .json, .parquet, .csv), or of one file."""
    output_path: str
    training: TrainingArguments
    given: tuple[str, ...]
    """The training arguments that the user gave, as opposed to defaults."""
    gpu: GpuConfig
    devices: tuple[int, ...]
    """GPU indices this attempt holds, each of which gets a process; () means CPU."""
    memory_ratio: float = 1.0
    """Memory that past runs of this kind took, as a part of their plans (`memory_plan.history`)."""
    simulated: bool = False
    """The devices do not exist (TUNESMITH_DEVICES=simulated:...): the run is on the CPU, in as many
    processes as there are devices."""

    @property
    def samples_per_step(self) -> int:
        """The effective batch: samples that an optimiser step learns from, over all devices."""
        return samples_per_step(self.training, max(1, len(self.devices)))

    @property
    def wanted_checkpointing(self) -> bool | Literal["auto"]:
        """What was asked for; "auto" leaves it to the memory plan."""
        return True if self.gpu.memory_optimization else self.training.gradient_checkpointing

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether it was asked for for certain."""
        return self.wanted_checkpointing is True


def samples_per_step(training: TrainingArguments, devices: int) -> int:
    each = training.per_device_train_batch_size * training.gradient_accumulation_steps
    return each * devices
