"""Whether a run has to be divided over its devices because one cannot hold it. Pure."""

from tunesmith.spec import TrainingArguments

SPARE = 0.1  # of a device's memory: the CUDA context, libraries, what no estimate knows
# Bytes a weight. full: an fp32 master, its gradient and AdamW's two moments.
FULL_BYTES = 16
LORA_BYTES = {"fp32": 4.0, "bf16": 2.0}
ACTIVATIONS = 1.2  # times the weights: activations and an adapter's own, for want of a plan


def must_be_sharded(
    wanted: str, method: str, devices: int, planned_bytes: int, device_bytes: int
) -> bool:
    """Decide about `sharding`: auto | none | full.

    `planned_bytes` is the peak that one device would have, `device_bytes` what it has. Quantised
    weights are never divided: bitsandbytes' packed format has no parts.
    """
    if devices == 1 or wanted == "none" or method == "qlora":
        return False
    return wanted == "full" or planned_bytes > (1 - SPARE) * device_bytes


def estimated_bytes(weights: int, training: TrainingArguments, dtype: str) -> int:
    """Return about what a run over a base model of `weights` numbers takes on one device."""
    each = FULL_BYTES if training.method == "full" else LORA_BYTES[dtype]
    return int(weights * each * ACTIVATIONS)
