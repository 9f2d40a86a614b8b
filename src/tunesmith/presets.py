"""Training arguments that belong together, for a form to begin with. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

PresetKey = Literal["quick", "lora", "qlora", "full"]

PRESETS: Mapping[PresetKey, Mapping[str, Any]] = {
    "quick": {
        "method": "lora",
        "max_steps": 20,
        "per_device_train_batch_size": 1,
        "learning_rate": 2e-4,
        "max_seq_length": 256,
        "lora_r": 8,
        "lora_alpha": 16,
        "logging_steps": 1,
    },
    "lora": {
        "method": "lora",
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "learning_rate": 2e-4,
        "max_seq_length": 1024,
        "lora_r": 16,
        "lora_alpha": 32,
        "lora_dropout": 0.05,
    },
    # Batch 1 and checkpointing take the least memory; accumulation keeps the batch of a step.
    "qlora": {
        "method": "qlora",
        "quantization_bits": 4,
        "num_train_epochs": 3,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 16,
        "learning_rate": 2e-4,
        "max_seq_length": 1024,
        "gradient_checkpointing": True,
        "lora_r": 16,
        "lora_alpha": 32,
        "lora_dropout": 0.05,
    },
    "full": {
        "method": "full",
        "num_train_epochs": 3,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 16,
        "learning_rate": 2e-5,
        "max_seq_length": 1024,
        "gradient_checkpointing": "auto",
    },
}
