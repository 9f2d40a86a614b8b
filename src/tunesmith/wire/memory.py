"""What trainings take, planned and measured."""

from typing import Any

from tunesmith.wire.answer import Answer


class MemoryChange(Answer):
    """Arguments that would make a training fit."""

    arguments: dict[str, Any]
    """Training arguments; `devices` is a number of devices."""
    peak: int


class MemoryPlan(Answer):
    """What a training takes on each device. Bytes."""

    base_model: str
    family: str
    mode: str
    """formula, or trace of the real step"""
    method: str
    dtype: str
    device_type: str
    devices: int
    sharded: bool
    """Weights, gradients and optimiser are divided among the devices, as the run would be."""
    gradient_checkpointing: bool
    """As asked, or as `auto` decides with this memory."""
    peak: int
    overhead: int
    """What the libraries take beside it: code on a CPU, the CUDA context on a GPU."""
    needed: int
    """peak + overhead"""
    weights: int
    gradients: int
    optimizer: int
    activations: int
    parameters: int
    trainable_parameters: int
    ratio: float
    """By which past runs of the kind correct the peak."""
    available: int | None
    fits: bool | None
    """Null where the free memory is not known."""
    changes: list[MemoryChange]
    """Of what does not fit: what would, cheapest in time first."""
    advised: bool
    """False where no changes can be looked for: the formula does not know this kind of model."""


class CataloguePlan(Answer):
    """What a model of the specification takes by each method, in bytes."""

    name: str
    size: str
    memory: str | None
    """The specification's own words."""
    lora: int
    qlora: int
    full: int


class MemoryRun(Answer):
    """A run that has ended: planned and measured bytes."""

    task_id: int
    attempt: int
    ended_at: float
    base_model: str
    family: str
    method: str
    device_type: str
    mode: str
    gradient_checkpointing: bool
    planned: int
    measured: int
    ratio: float
    """By which the plan had been corrected."""
    error: float
    """planned / measured - 1"""
