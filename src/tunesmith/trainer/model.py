"""Loads base model and tokenizer, chooses device and number format, adds the LoRA adapter."""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, modeling_utils
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as transformers_logging

from tunesmith.errors import RunFailure
from tunesmith.memory_plan.available import cpu_multiplies_bf16
from tunesmith.spec import Spec, TrainingArguments
from tunesmith.trainer.failures import is_out_of_memory, short_reason

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose_device(spec: Spec, index: int = 0) -> torch.device:
    """Return one of the task's GPUs (the server makes only those visible), or the CPU."""
    if spec.devices and not spec.simulated:
        return any_device(index)
    return torch.device("cpu")


def any_device(index: int = 0) -> torch.device:
    """Return a GPU that is visible, or the CPU if none is."""
    return torch.device("cuda", index) if torch.cuda.is_available() else torch.device("cpu")


def describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def choose_dtype(wanted: str, device: torch.device) -> str:
    """Return "fp32" or "bf16". Auto is bf16 where the hardware has it.

    Without it bf16 on a CPU is 9 to 100 times slower than fp32 (measured).
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = cpu_multiplies_bf16()
    return "bf16" if native else "fp32"


def be_deterministic(seed: int, device: torch.device) -> None:
    torch.manual_seed(seed)
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Else every new tensor is filled with NaN first.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False


def be_strictly_deterministic(device: torch.device) -> None:
    """Make operations that cannot be repeated exactly an error: FlashAttention is repeatable only
    then. For our kernels, which have no such operation; it costs no time (measured on an H100)."""
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True)


def load_base_model(
    path: Path, dtype: str, device: torch.device, quantization_bits: int | None = None
) -> Any:
    """Return the causal language model in `path`, with every weight from its files.

    With `quantization_bits` 4 (NF4, double quantisation: QLoRA, arXiv 2305.14314) or 8 (LLM.int8,
    arXiv 2208.07339) its linear layers are quantised, all but the head. Raises RunFailure
    `base_model_missing` or `base_model_unreadable`.
    """
    _must_exist(path)
    transformers_logging.disable_progress_bar()
    extra: dict[str, Any] = {}
    if quantization_bits is not None:
        extra["quantization_config"] = quantization(quantization_bits, DTYPES[dtype])
        extra["device_map"] = {"": device}
    try:
        mapped = device.type != "cpu" or _stay_as_they_are(path, dtype, quantization_bits)
        with nullcontext() if mapped else _read_one_by_one():
            base, loading = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=DTYPES[dtype],
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                **extra,
            )
    except Exception as error:
        raise _unreadable(path, error) from error
    # transformers fills a weight that the files do not have with random numbers.
    missing = sorted(loading["missing_keys"])
    if missing:
        reason = f"its weights files lack {len(missing)} weights, such as {missing[0]}"
        raise RunFailure("base_model_unreadable", path=str(path), reason=reason)
    if quantization_bits is None:
        return base.to(device)
    # bitsandbytes takes long to import, and most runs do without.
    from tunesmith.trainer.quantized import prepare_for_cpu, prepare_for_gpu

    if device.type == "cpu":
        prepare_for_cpu(base, DTYPES[dtype])
    else:
        prepare_for_gpu(base)
        # It says of each pass that inputs are rounded to fp16: LLM.int8 is made so.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    return base


def load_for_training(
    path: Path, training: TrainingArguments, dtype: str, device: torch.device, checkpointing: bool
) -> tuple[Any, Any]:
    """Return the base model, and the model to train on it: the same one for `full`.

    Raises RunFailure `base_model_missing`, `base_model_unreadable` or `targets_missing`.
    """
    bits = training.quantization_bits if training.method == "qlora" else None
    # Masters in fp32, whatever the forward pass computes in: a step of 2e-5 is less than
    # bf16 can tell from nothing beside most weights, and would be lost.
    base = load_base_model(path, "fp32" if training.method == "full" else dtype, device, bits)
    return base, prepare_for_training(base, training, checkpointing)


def outline_for_training(
    path: Path, training: TrainingArguments, dtype: str, checkpointing: bool
) -> tuple[Any, Any]:
    """Return the same two on `meta`: shapes alone, for a rank that gets its part from another."""
    _must_exist(path)
    number_format = torch.float32 if training.method == "full" else DTYPES[dtype]
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            base = AutoModelForCausalLM.from_config(config, dtype=number_format)
    except Exception as error:
        raise _unreadable(path, error) from error
    with torch.device("meta"):
        return base, prepare_for_training(base, training, checkpointing)


def prepare_for_training(base: Any, training: TrainingArguments, checkpointing: bool) -> Any:
    """Return the model to train on the base model `base`: an adapter on it, or all of it.

    Raises RunFailure `targets_missing`.
    """
    if training.method == "full":
        base.requires_grad_(True)
        tuned = base
    else:
        base.requires_grad_(False)
        tuned = add_lora(base, training)
    if checkpointing:
        base.activation_checkpointing_enable({"use_reentrant": False})
        if tuned is not base:
            # With the embeddings frozen no input of the first layer would need a gradient.
            base.enable_input_require_grads()
    return tuned


def add_lora(base: Any, training: TrainingArguments) -> Any:
    """Return `base` with a trainable LoRA adapter in fp32 on the layers asked for.

    Raises RunFailure `targets_missing` if one of them is not there.
    """
    config = LoraConfig(
        r=training.lora_r,
        # An alpha of 32.0 is 32 in every other tool's adapter_config.json.
        lora_alpha=_whole(training.lora_alpha),
        lora_dropout=training.lora_dropout,
        use_rslora=training.use_rslora,
        use_dora=training.use_dora,
        target_modules=_resolve_targets(base, training.lora_target_modules),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with _old_names():
        return get_peft_model(base, config, autocast_adapter_dtype=True)


def quantization(bits: int, compute: torch.dtype) -> BitsAndBytesConfig:
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def load_adapter(base: Any, adapter: str) -> Any:
    """Return `base` with the adapter in the directory `adapter`, for answers."""
    with _old_names():
        return PeftModel.from_pretrained(base, adapter)


def linear_layers(base: Any) -> list[str]:
    """Return the full names of the layers that can get an adapter: all linear but the head."""
    head = base.get_output_embeddings()
    return [
        name
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    ]


def count_parameters(model: Any) -> tuple[int, int]:
    """Return trainable and all parameters; weights that are tied count once."""
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return trainable, sum(map(_numbers_in, model.parameters()))


def _numbers_in(weight: torch.nn.Parameter) -> int:
    # bitsandbytes packs two 4-bit numbers into a byte; its state knows the true shape.
    state = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else math.prod(state.shape)


def _resolve_targets(base: Any, targets: str | tuple[str, ...]) -> list[str]:
    """Return the names to give to peft, short ones where they say the same."""
    layers = linear_layers(base)
    if isinstance(targets, str):  # all-linear
        layers = _but_experts(base, layers)
    known = sorted({name.rpartition(".")[2] for name in layers})
    if isinstance(targets, str):
        missing = [] if layers else [targets]
        # A short name must not mean the head, too, or what is no linear layer.
        others = {name for name, _ in base.named_modules()} - set(layers)
        found = layers if {name.rpartition(".")[2] for name in others} & set(known) else known
    else:
        missing = [
            target
            for target in targets
            if not any(name == target or name.endswith(f".{target}") for name in layers)
        ]
        found = list(targets)
    if missing or not found:
        raise RunFailure("targets_missing", names=missing, known=known)
    return found


def _but_experts(base: Any, layers: list[str]) -> list[str]:
    """Leave out what peft takes for the fused weights of all experts, by its name.

    As shared experts, or the dense layers below them: an adapter that names these would be made,
    and loaded by others, as one of every expert, and refuse dropout.
    """
    probe = LoraConfig(target_modules=layers)
    convert_peft_config_for_transformers(probe, model=base, conversions=None)
    return [name for name in layers if name in probe.target_modules]


def _stay_as_they_are(path: Path, dtype: str, quantization_bits: int | None) -> bool:
    """Whether the weights in `path` are used in the number format that their files have."""
    if quantization_bits is not None:
        return False
    config = AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    return config.dtype is DTYPES[dtype]


@contextmanager
def _read_one_by_one() -> Iterator[None]:
    """Let transformers read each weight, where it would map the whole file: it has no setting for
    this. All of a mapped file that was read is resident until the last weight is converted."""
    opened = modeling_utils.safe_open

    def open_to_read(*arguments: Any, **named: Any) -> Any:
        return opened(*arguments, **(named | {"backend": "pread"}))

    modeling_utils.safe_open = open_to_read
    try:
        yield
    finally:
        modeling_utils.safe_open = opened


@contextmanager
def _old_names() -> Iterator[None]:
    """peft asks transformers 5 things under their old names; the log need not tell it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _must_exist(path: Path) -> None:
    if not path.is_dir():
        raise RunFailure("base_model_missing", path=str(path))


def _unreadable(path: Path, error: Exception) -> Exception:
    if is_out_of_memory(error):
        return error
    return RunFailure("base_model_unreadable", path=str(path), reason=short_reason(error))


def _whole(number: float) -> int | float:
    return int(number) if number == int(number) else number
