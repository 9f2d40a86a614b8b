"""The files of a LoRA adapter: adapter_model.safetensors and adapter_config.json."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from safetensors.torch import save_file


def write_adapter(model: Any, base_model: str, directory: Path) -> None:
    """Write the adapter of `model` so that peft loads it with no help.

    Not `save_pretrained`, which adds a model card of its own and looks whether the embeddings
    should be saved: they never are.
    """
    weights = {
        name: weight.detach().to("cpu").contiguous()
        for name, weight in get_peft_model_state_dict(model, save_embedding_layers=False).items()
    }
    config = model.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": base_model, "inference_mode": True}
    # Sets have no order; equal runs are to give equal files.
    listed = {
        name: sorted(value) if isinstance(value, set) else value for name, value in config.items()
    }
    text = json.dumps(listed, ensure_ascii=False, indent=2, sort_keys=True)
    (directory / "adapter_config.json").write_text(text, encoding="utf-8")
    save_file(weights, directory / "adapter_model.safetensors", metadata={"format": "pt"})


def adapter_bytes(model: Any) -> int:
    """Return about what the adapter takes on disk."""
    return sum(weight.nbytes for weight in trained_parameters(model)) + (1 << 16)


def trained_parameters(model: Any) -> list[torch.nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]
