"""What a memory plan is made of, and what it says. Frozen records; bytes are ints."""

from dataclasses import dataclass, replace
from typing import Literal

from tunesmith.spec import TrainingArguments

MIB = 1 << 20
# What a process takes beside tensors. CPU: code, thread pools and buffers. CUDA: context, kernels
# and cuBLAS workspaces, of which the allocator knows nothing.
OVERHEAD: dict[str, int] = {"cpu": 76 * MIB, "cuda": 600 * MIB}
# Between tensors in glibc's heap, which is not given back: that makes a step 13 % faster
# (benchmarks/README.md). jemalloc leaves hardly any.
GAPS = 116 * MIB

Mode = Literal["formula", "trace"]
DeviceType = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Workload:
    """What is trained and on what, as far as memory hangs on it. Names are those of the spec."""

    method: Literal["lora", "qlora", "full"] = "lora"
    quantization_bits: Literal[4, 8] = 4
    lora_r: int = 16
    lora_target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    lora_dropout: float = 0.05
    use_dora: bool = False
    per_device_train_batch_size: int = 4
    gradient_accumulation_steps: int = 1
    max_seq_length: int = 512
    dtype: Literal["fp32", "bf16"] = "bf16"
    """What the forward pass computes in; never "auto"."""
    gradient_checkpointing: bool = False
    kernels: Literal["auto", "plain"] = "auto"
    device_type: DeviceType = "cuda"
    devices: int = 1
    """Processes with a device each; every one holds the whole model unless `sharded`."""
    sharded: bool = False
    """Weights, gradients and optimiser state are divided among the devices (FSDP2)."""
    label_share: float = 1.0
    """Part of the tokens whose next token is learnt; 1 is the worst case."""
    largest_tokens: int | None = None
    """Tokens of the largest micro-batch where the data is known; None: the most there can be."""
    jemalloc: bool = True
    """On a CPU: whether the trainer's heap is jemalloc's (`tunesmith.allocator`), else glibc's."""

    def __post_init__(self) -> None:
        if isinstance(self.lora_target_modules, list):  # from JSON
            object.__setattr__(self, "lora_target_modules", tuple(self.lora_target_modules))

    @property
    def tokens(self) -> int:
        """Tokens of the largest micro-batch of one device."""
        if self.largest_tokens is not None:
            return self.largest_tokens
        return self.per_device_train_batch_size * self.max_seq_length

    @property
    def autocast(self) -> bool:
        """Whether the forward pass computes in bf16 over masters in fp32."""
        return self.method == "full" and self.dtype == "bf16"

    @property
    def labels(self) -> int:
        return max(1, round(self.tokens * self.label_share))

    @property
    def overhead(self) -> int:
        """Bytes of the process that are no tensors: measured constants."""
        gaps = GAPS if self.device_type == "cpu" and not self.jemalloc else 0
        return OVERHEAD[self.device_type] + gaps


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on each device. Every part is its own highest value.

    They are not all reached at once: in a full fine-tuning gradients come while activations go.
    So the peak is at least weights + gradients + optimizer, and at most the sum of the parts.
    """

    mode: Mode
    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int
    """In the largest micro-batch; what the libraries themselves take is `overhead`."""
    overhead: int
    """Code and pools of the libraries on a CPU, the CUDA context on a GPU: `Workload.overhead`."""
    parameters: int
    """Of the base model; tied weights count once."""
    trainable_parameters: int

    @property
    def needed(self) -> int:
        return self.peak + self.overhead

    def corrected(self, ratio: float) -> "MemoryPlan":
        """Return the plan as past runs measured it: their needs were `ratio` of the planned."""
        return replace(self, peak=round(self.peak * ratio))


def workload_of(
    training: TrainingArguments,
    *,
    dtype: Literal["fp32", "bf16"],
    gradient_checkpointing: bool,
    device_type: DeviceType,
    devices: int = 1,
    sharded: bool = False,
    jemalloc: bool = True,
) -> Workload:
    """Return the workload of a task's training arguments, with what they leave open."""
    return Workload(
        method=training.method,
        quantization_bits=training.quantization_bits,
        lora_r=training.lora_r,
        lora_target_modules=training.lora_target_modules,
        lora_dropout=training.lora_dropout,
        use_dora=training.use_dora,
        per_device_train_batch_size=training.per_device_train_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        max_seq_length=training.max_seq_length,
        dtype=dtype,
        gradient_checkpointing=gradient_checkpointing,
        kernels=training.kernels,
        device_type=device_type,
        devices=devices,
        sharded=sharded,
        jemalloc=jemalloc,
    )
