"""The trained weights as files: an adapter, or a whole model after full fine-tuning."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig

from tunesmith.errors import RunFailure

ADAPTER = "adapter_model.safetensors"
LARGEST_SHARD = "4GB"


def is_adapter(model: Any) -> bool:
    return hasattr(model, "peft_config")


def write_weights(
    model: Any, base_model: str, directory: Path, *, original_names: bool = True
) -> None:
    """Write what was trained so that peft, or transformers alone, loads it with no help.

    A whole model gets the names of its base model's files, or those that it has in memory: some
    architectures (mixtures of experts) join weights when they are loaded.
    """
    if is_adapter(model):
        _write_adapter(model, base_model, directory)
    else:
        _write_model(model, directory, original_names)


def load_weights(model: Any, directory: Path) -> None:
    """Put the weights that `write_weights` wrote back into `model`.

    Raises RunFailure `checkpoint_unusable` if they are not those of this model.
    """
    try:
        if is_adapter(model):
            result = set_peft_model_state_dict(model, load_file(directory / ADAPTER))
            unknown = list(result.unexpected_keys)
            if unknown:
                raise ValueError(f"it has weights of another adapter, such as {unknown[0]}")
        else:
            _load_model(model, directory)
    except Exception as error:  # whatever a damaged file makes the libraries raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunFailure("checkpoint_unusable", path=str(directory), reason=reason) from error


def weights_bytes(model: Any) -> int:
    """Return about what the trained weights take on disk."""
    return sum(weight.nbytes for weight in trained_parameters(model)) + (1 << 16)


def trained_parameters(model: Any) -> list[torch.nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def _write_adapter(model: Any, base_model: str, directory: Path) -> None:
    """Not `save_pretrained`, which adds a model card of its own and looks whether the embeddings
    should be saved: they never are."""
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
    save_file(weights, directory / ADAPTER, metadata={"format": "pt"})


def _write_model(model: Any, directory: Path, original_names: bool) -> None:
    # A base model's generation_config.json may hold what transformers refuses to write again.
    model.generation_config = GenerationConfig()
    model.save_pretrained(
        directory, max_shard_size=LARGEST_SHARD, save_original_format=original_names
    )
    _tell_older_versions(directory / "config.json")


def _tell_older_versions(config: Path) -> None:
    """Add the names of transformers 4, which reads a rope_theta it does not find as 10000."""
    values = json.loads(config.read_text(encoding="utf-8"))
    rope = values.get("rope_parameters") or {}
    if isinstance(rope.get("rope_theta"), int | float):
        values.setdefault("rope_theta", rope["rope_theta"])
        if rope.get("rope_type", "default") != "default":
            scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
            values.setdefault("rope_scaling", scaling)
    if "dtype" in values:
        values.setdefault("torch_dtype", values["dtype"])
    config.write_text(json.dumps(values, ensure_ascii=False, indent=2), encoding="utf-8")


def _load_model(model: Any, directory: Path) -> None:
    # Of weights that are tied the files hold one, under either name.
    named = dict(model.named_parameters(remove_duplicate=False))
    missing = {id(weight) for weight in named.values()}
    for file in sorted(directory.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors, torch.no_grad():
            for name in tensors.keys():  # noqa: SIM118  (no dict)
                if name in named:
                    named[name].copy_(tensors.get_tensor(name))
                    missing.discard(id(named[name]))
    if missing:
        name = next(name for name, weight in named.items() if id(weight) in missing)
        raise ValueError(f"it lacks {len(missing)} weights, such as {name}")
