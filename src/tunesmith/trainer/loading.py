"""What a run trains and on what: device, number format, base model, adapter; divided or not."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tunesmith.advice import LARGE_MODEL, LARGE_MODEL_LEARNING_RATE
from tunesmith.base_model import inspect, positions_of
from tunesmith.memory_plan.division import estimated_bytes, must_be_sharded
from tunesmith.prompt.tokenizer import load_tokenizer
from tunesmith.spec import Spec
from tunesmith.trainer import memory, model
from tunesmith.trainer.memory_planning import RunPlan
from tunesmith.trainer.ranks import Ranks
from tunesmith.trainer.report import Report

if TYPE_CHECKING:
    from tunesmith.trainer.sharding import Sharded


@dataclass(frozen=True)
class Loaded:
    """The base model and its tokenizer, and the model with a new adapter."""

    device: torch.device
    device_name: str
    dtype: str
    tokenizer: Any
    base: Any
    adapted: Any
    checkpointing: bool
    memory_plan: RunPlan
    before: memory.Baseline
    sharded: "Sharded | None"


def load(spec: Spec, report: Report, where: dict[str, str], ranks: Ranks) -> Loaded:
    """Load what `spec` trains; `where["device"]` is set as soon as it is known."""
    device = model.choose_device(spec, ranks.place.rank)
    name = where["device"] = model.describe_device(device)
    dtype = model.choose_dtype(spec.training.dtype, device)
    if spec.simulated:
        report.warning("simulated_devices", devices=list(spec.devices))
    elif device.type == "cpu":
        report.warning("cpu_training", dtype=dtype)
    if spec.gpu.max_memory_gib is not None:
        memory.cap(spec.gpu.max_memory_gib, device)
    model.be_deterministic(spec.training.seed, device)
    path = Path(spec.base_model)
    tokenizer = load_tokenizer(path)
    memory_plan = RunPlan(spec, dtype, device)
    # The same on all ranks, though one may have less memory than another.
    checkpointing = ranks.any(memory_plan.checkpointing(report))
    before = memory.baseline()
    needed = memory_plan.needed(checkpointing)
    if needed is None:
        needed = estimated_bytes(inspect(path).parameters or 0, spec.training, dtype)
    divided = _must_be_sharded(spec, device, needed, ranks)
    training = spec.training
    if not divided:
        base, adapted = model.load_for_training(path, training, dtype, device, checkpointing)
    elif ranks.place.first:
        cpu = torch.device("cpu")
        base, adapted = model.load_for_training(path, training, dtype, cpu, checkpointing)
    else:
        base, adapted = model.outline_for_training(path, training, dtype, checkpointing)
    sharded = None
    if divided:
        from tunesmith.trainer.sharding import Sharded

        if training.sharding == "auto":
            report.warning("sharded", devices=ranks.place.world_size)
        sharded = Sharded(base, adapted, device, ranks)
    _, total = model.count_parameters(adapted)
    if total >= LARGE_MODEL and training.learning_rate > LARGE_MODEL_LEARNING_RATE:
        rates = {"given": training.learning_rate, "advised": LARGE_MODEL_LEARNING_RATE}
        report.warning("learning_rate_large_model", billions=round(total / 1e9, 1), **rates)
    positions, limit = positions_of(base.config.to_dict()), training.max_seq_length
    if positions is not None and limit > positions:
        report.warning("beyond_positions", max_seq_length=limit, positions=positions)
    return Loaded(
        device, name, dtype, tokenizer, base, adapted, checkpointing, memory_plan, before, sharded
    )


def _must_be_sharded(spec: Spec, device: torch.device, needed: int, ranks: Ranks) -> bool:
    if ranks.place.world_size == 1:
        return False
    training, cap = spec.training, spec.gpu.max_memory_gib
    there = memory.held_by(device, ranks.place.world_size) if cap is None else int(cap * memory.GIB)
    # The same everywhere: GPUs of one machine may differ.
    there = -ranks.highest(-there)
    return must_be_sharded(
        training.sharding, training.method, ranks.place.world_size, needed, there
    )
