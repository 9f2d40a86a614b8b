"""A memory plan in a closed form: no torch, a few microseconds. For forms, and for a run's start.

Weights, gradients and optimiser state are counted. What a step holds besides is linear in a few
products of widths and tokens; their coefficients are fitted to traces of the real step by
`benchmarks/fit_memory_formula.py`, to be run again when the step changes.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tunesmith.memory_plan.architecture import Architecture, architecture_of
from tunesmith.memory_plan.records import OVERHEAD, MemoryPlan, Workload

COEFFICIENTS = Path(__file__).with_name("coefficients.json")
FLOAT = 4  # bytes; masters, gradients and Adam's two moments are fp32
BLOCK_OF_4_BITS, BLOCK_OF_SCALES = 64, 256  # of NF4 and of its double quantisation


def plan(config: Mapping[str, Any], workload: Workload) -> MemoryPlan:
    """Return what training the base model of `config` takes on each device.

    Raises InvalidInput for a config of another kind of model.
    """
    model = architecture_of(config)
    weights, trainable = weights_of(model, workload), trainable_of(model, workload)
    parts = max(1, workload.devices) if workload.sharded else 1
    gradients, optimizer = FLOAT * trainable, 2 * FLOAT * trainable
    held = (weights + optimizer) // parts
    if workload.sharded:
        # Two layers are gathered at a time: one computes, the next is on its way.
        held += 2 * FLOAT * model.layer_weights
    waiting = gradients // parts if workload.gradient_accumulation_steps > 1 else 0
    fitted = _coefficients()[key(workload)]
    per_layer, once = features(model, workload)

    def working(name: str) -> float:
        layer, whole = fitted[name]["layer"], fitted[name]["once"]
        slope = sum(float(layer[each]) * size for each, size in per_layer.items())
        return model.layers * slope + sum(float(whole[each]) * size for each, size in once.items())

    activations = max(0, round(working("activations")))
    # Gradients of earlier micro-batches wait beside everything; else they come as activations go.
    peak = held + max(waiting + activations, round(working("bottom") / parts))
    return MemoryPlan(
        mode="formula",
        weights=weights // parts,
        gradients=gradients // parts,
        optimizer=optimizer // parts,
        activations=activations,
        peak=max(peak, (weights + gradients + optimizer) // parts),
        overhead=OVERHEAD[workload.device_type],
        parameters=model.parameters,
        trainable_parameters=trainable,
    )


def weights_of(model: Architecture, workload: Workload) -> int:
    """Return the bytes of base model and adapter."""
    width = FLOAT if workload.method == "full" or workload.dtype == "fp32" else 2
    adapter = 0 if workload.method == "full" else FLOAT * trainable_of(model, workload)
    if workload.method != "qlora":
        return width * model.parameters + adapter
    linear = model.layers * model.layer_weights
    rest = model.parameters - linear
    rows = model.layers * sum(outputs for _, outputs in model.linears.values())
    return width * rest + quantized_bytes(linear, rows, workload.quantization_bits, width) + adapter


def quantized_bytes(count: int, rows: int, bits: int, width: int) -> int:
    """Return what `count` numbers in `rows` rows take as NF4 with double quantisation, or int8."""
    if bits == 8:
        return count + FLOAT * rows + width * rows
    blocks = -(-count // BLOCK_OF_4_BITS)
    # The packed numbers; a byte a block, a scale of those; and the scales unpacked.
    return count // 2 + blocks + FLOAT * -(-blocks // BLOCK_OF_SCALES) + FLOAT * blocks


def trainable_of(model: Architecture, workload: Workload) -> int:
    if workload.method == "full":
        return model.parameters
    targets = model.targets(workload.lora_target_modules)
    each = sum(
        workload.lora_r * (inputs + outputs) + (outputs if workload.use_dora else 0)
        for inputs, outputs in targets
    )
    return model.layers * each


def key(workload: Workload) -> str:
    """Return which coefficients are meant."""
    checkpointing = "on" if workload.gradient_checkpointing else "off"
    return f"{workload.method} {workload.dtype} {checkpointing}"


def features(model: Architecture, workload: Workload) -> tuple[dict[str, float], dict[str, float]]:
    """Return the numbers that memory is linear in: of each layer, and of the whole."""
    tokens, labels = workload.tokens, workload.labels
    targets = [] if workload.method == "full" else model.targets(workload.lora_target_modules)
    widths: dict[str, float] = {
        "hidden": tokens * model.hidden,
        "intermediate": tokens * model.intermediate,
        "query": tokens * model.query,
        "key_value": tokens * model.key_value,
        "adapters": tokens * sum(inputs for inputs, _ in targets),
        "ranks": tokens * workload.lora_r * len(targets),
    }
    per_layer = {**widths, "weights": model.layer_weights}
    largest = max(inputs * outputs for inputs, outputs in model.linears.values())
    once = {
        **widths,
        "labels": labels * model.hidden,
        "head": model.embedding,
        "largest": largest,
        "constant": float(1 << 20),
    }
    return per_layer, once


@cache
def _coefficients() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text(encoding="utf-8"))
    return found
