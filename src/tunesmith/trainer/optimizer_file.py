"""AdamW's state as files: one for a run whose weights are whole, else one for some parameters each.

Either is read by runs of both kinds, on any number of devices.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

OPTIMIZER = "optimizer.pt"
PART_BYTES = 4 << 30  # of a file: what the first rank holds of the others' at a time


def write_optimizer(optimizer: torch.optim.Optimizer, directory: Path | None) -> None:
    """Write the state; None only sends this rank's parts of it to the rank that writes."""
    parameters = _parameters(optimizer)
    divided = [i for i, weight in enumerate(parameters) if hasattr(weight, "full_tensor")]
    if not divided:
        if directory is not None:
            torch.save(optimizer.state_dict(), directory / OPTIMIZER)
        return
    count = 0
    for count, together in enumerate(_parts(parameters), 1):
        states: dict[int, dict[str, Any]] = {}
        for index in together:
            state = {n: _whole(v) for n, v in optimizer.state[parameters[index]].items()}
            if directory is not None:
                states[index] = {name: value.to("cpu", copy=True) for name, value in state.items()}
        if directory is not None:
            torch.save(states, directory / _part(count))
    if directory is not None:
        torch.save({"parts": count}, directory / OPTIMIZER)


def load_optimizer(optimizer: torch.optim.Optimizer, directory: Path, device: torch.device) -> None:
    """Read what `write_optimizer` wrote; raises whatever a damaged file makes torch raise."""
    parameters = _parameters(optimizer)
    divided = any(hasattr(weight, "full_tensor") for weight in parameters)
    # Parts are taken from the CPU, so that none of the whole ever lies on the device.
    place = torch.device("cpu") if divided else device
    saved = torch.load(directory / OPTIMIZER, map_location=place, weights_only=True, mmap=divided)
    states: dict[int, dict[str, Any]] = {}
    if "parts" in saved:
        for number in range(1, saved["parts"] + 1):
            part = torch.load(
                directory / _part(number), map_location=place, weights_only=True, mmap=divided
            )
            states |= {index: _like(parameters[index], state) for index, state in part.items()}
    else:
        known = saved["state"].items()
        states = {index: _like(parameters[index], state) for index, state in known}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _parts(parameters: list[torch.Tensor]) -> Iterator[list[int]]:
    """Yield the indices of parameters whose moments fit into a file together."""
    together: list[int] = []
    size = 0
    for index, weight in enumerate(parameters):
        needed = 2 * 4 * weight.numel()
        if together and size + needed > PART_BYTES:
            yield together
            together, size = [], 0
        together.append(index)
        size += needed
    if together:
        yield together


def _part(number: int) -> str:
    return f"optimizer-{number:05}.pt"


def _whole(value: torch.Tensor) -> torch.Tensor:
    whole: torch.Tensor = value.full_tensor() if hasattr(value, "full_tensor") else value
    return whole


def _like(weight: torch.Tensor, state: dict[str, Any]) -> dict[str, Any]:
    """Return `state` with this rank's part of what belongs to the numbers of `weight`."""
    if not hasattr(weight, "full_tensor"):
        return state
    from tunesmith.trainer.sharding import part_of

    return {
        name: part_of(value, weight) if value.shape == weight.shape else value
        for name, value in state.items()
    }
