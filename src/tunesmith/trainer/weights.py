"""The trained weights as files: an adapter, or a whole model after full fine-tuning."""

import copy
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig
from transformers.core_model_loading import revert_weight_conversion

from tunesmith.errors import RunFailure

ADAPTER = "adapter_model.safetensors"
LARGEST_SHARD_BYTES = 4_000_000_000


def is_adapter(model: Any) -> bool:
    return hasattr(model, "peft_config")


def write_weights(
    model: Any,
    base_model: str,
    directory: Path | None,
    *,
    original_names: bool = True,
    dtype: torch.dtype | None = None,
) -> None:
    """Write what was trained so that peft, or transformers alone, loads it with no help.

    A whole model gets the names of its base model's files, or those that it has in memory: some
    architectures (mixtures of experts) join weights when they are loaded. `dtype` is that of the
    files where it is not that of the weights. Of a model that is divided over ranks all ranks call
    this, and those with no `directory` only send their parts of each weight.
    """
    if is_adapter(model):
        _write_adapter(model, base_model, directory)
    elif is_divided(model):
        _write_divided_model(model, directory, original_names, dtype or model.dtype)
    elif directory is not None:
        if dtype is not None:
            model.to(dtype)
        _write_model(model, directory, original_names)


def load_weights(model: Any, directory: Path) -> None:
    """Put the weights that `write_weights` wrote back into `model`.

    Raises RunFailure `checkpoint_unusable` if they are not those of this model.
    """
    try:
        if is_adapter(model):
            weights = load_file(directory / ADAPTER)
            if is_divided(model):
                like = trained_parameters(model)[0]
                weights = {name: _part(value, like) for name, value in weights.items()}
            result = set_peft_model_state_dict(model, weights)
            unknown = list(result.unexpected_keys)
            if unknown:
                raise ValueError(f"it has weights of another adapter, such as {unknown[0]}")
        else:
            _load_model(model, directory)
    except Exception as error:  # whatever a damaged file makes the libraries raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunFailure("checkpoint_unusable", path=str(directory), reason=reason) from error


def weights_bytes(model: Any, dtype: torch.dtype | None = None) -> int:
    """Return about what the trained weights take on disk, in `dtype` or their own."""
    weights = trained_parameters(model)
    return sum(w.numel() * (dtype or w.dtype).itemsize for w in weights) + (1 << 16)


def bytes_here(weight: torch.Tensor) -> int:
    """Return the bytes of a weight on this rank: of its part, where weights are divided."""
    return int((weight.to_local() if hasattr(weight, "to_local") else weight).nbytes)


def trained_parameters(model: Any) -> list[torch.nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def is_divided(model: Any) -> bool:
    """Whether its weights are divided over ranks (FSDP2): each has a part of every one."""
    # Not isinstance: runs on one device import no torch.distributed.
    return any(hasattr(weight, "full_tensor") for weight in trained_parameters(model))


def _whole(weight: torch.Tensor) -> torch.Tensor:
    whole: torch.Tensor = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
    return whole


def _part(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    from tunesmith.trainer.sharding import part_of

    return part_of(whole, like)


def _write_adapter(model: Any, base_model: str, directory: Path | None) -> None:
    """Not `save_pretrained`, which adds a model card of its own and looks whether the embeddings
    should be saved: they never are."""
    weights = {
        name: _whole(weight.detach()).to("cpu").contiguous()
        for name, weight in get_peft_model_state_dict(model, save_embedding_layers=False).items()
    }
    if directory is None:
        return
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
        directory, max_shard_size=LARGEST_SHARD_BYTES, save_original_format=original_names
    )
    _tell_older_versions(directory / "config.json")


def _write_divided_model(
    model: Any, directory: Path | None, original_names: bool, dtype: torch.dtype
) -> None:
    """Write what `_write_model` writes, gathering one weight at a time.

    The rank that writes holds the weights of one file at most, in the CPU's memory.
    """
    kept = set(model.state_dict())  # without buffers that are made anew
    named = [*model.named_parameters(), *(b for b in model.named_buffers() if b[0] in kept)]
    files = list(_cut_into_files(named, dtype))
    index: dict[str, str] = {}
    for number, together in enumerate(files, 1):
        weights: dict[str, torch.Tensor] = {}
        for name, weight in together:
            whole = _whole(weight.detach())
            if directory is not None:
                weights[name] = whole.to("cpu", dtype if whole.is_floating_point() else None)
        if directory is None:
            continue
        if original_names:
            weights = revert_weight_conversion(model, weights)
        file = _file_name(number, len(files))
        owned = {name: _with_own_memory(weight) for name, weight in weights.items()}
        save_file(owned, directory / file, metadata={"format": "pt"})
        index |= dict.fromkeys(weights, file)
    if directory is None:
        return
    if len(files) > 1:
        size = sum(weight.numel() * dtype.itemsize for _, weight in named)
        values = {"metadata": {"total_size": size}, "weight_map": index}
        text = json.dumps(values, indent=2, sort_keys=True)
        (directory / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    config = copy.deepcopy(model.config)
    config.architectures, config.dtype = [type(model).__name__], dtype
    config.save_pretrained(directory)
    GenerationConfig().save_pretrained(directory)
    _tell_older_versions(directory / "config.json")


def _cut_into_files(
    named: Iterable[tuple[str, torch.Tensor]], dtype: torch.dtype
) -> Iterator[list[tuple[str, torch.Tensor]]]:
    together: list[tuple[str, torch.Tensor]] = []
    size = 0
    for name, weight in named:
        needed = weight.numel() * dtype.itemsize
        if together and size + needed > LARGEST_SHARD_BYTES:
            yield together
            together, size = [], 0
        together.append((name, weight))
        size += needed
    if together:
        yield together


def _file_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"


def _with_own_memory(weight: torch.Tensor) -> torch.Tensor:
    """Return `weight` as safetensors takes it: no part of a larger one (undone joins are)."""
    whole = weight.contiguous()
    return whole if whole.untyped_storage().nbytes() == whole.nbytes else whole.clone()


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
                    weight, whole = named[name], tensors.get_tensor(name)
                    divided = hasattr(weight, "full_tensor")
                    weight.copy_(_part(whole, weight) if divided else whole)
                    missing.discard(id(named[name]))
    if missing:
        name = next(name for name, weight in named.items() if id(weight) in missing)
        raise ValueError(f"it lacks {len(missing)} weights, such as {name}")
