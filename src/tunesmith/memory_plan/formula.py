"""A memory plan in a closed form: no torch, a few microseconds. For forms, and for a run's start.

Weights, gradients and optimiser state are counted. What a step holds besides, at the end of its
forward pass, in its backward pass and at the bottom of that, is the larger of what the head and
what a layer takes, each linear in a few products of widths and tokens. Their coefficients are
fitted to traces of the real step by `benchmarks/fit_memory_formula.py`, to be run again when the
step changes.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tunesmith.errors import InvalidInput
from tunesmith.memory_plan.architecture import Architecture, architecture_of
from tunesmith.memory_plan.records import MemoryPlan, Workload

COEFFICIENTS = Path(__file__).with_name("coefficients.json")
FLOAT = 4  # bytes; masters, gradients and Adam's two moments are fp32
BLOCK_OF_4_BITS, BLOCK_OF_SCALES = 64, 256  # of NF4 and of its double quantisation
# Logits that are held at once, and rows of them at least: trainer/kernels/cross_entropy.py's own,
# which cannot be read without torch; a test holds them equal.
LOGITS_AT_ONCE = {"cpu": 1 << 25, "cuda": 1 << 26}
ROWS_AT_LEAST = 64
Features = Mapping[str, float]
"""Numbers that memory is linear in."""


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
    fitted = _coefficients()[key(model, workload)]
    kept, pieces = features(model, workload)
    layers = model.layers * _sum(fitted["kept"], kept)
    forward, backward, bottom = (
        max(_sum(fitted[stage][piece], sizes) for piece, sizes in pieces.items())
        for stage in ("forward", "backward", "bottom")
    )
    activations = round(layers + max(forward, backward))
    # Gradients of earlier micro-batches wait beside everything; else they come as activations go.
    peak = held + max(waiting + activations, gradients // parts + round(bottom))
    return MemoryPlan(
        mode="formula",
        weights=weights // parts,
        gradients=gradients // parts,
        optimizer=optimizer // parts,
        activations=activations,
        peak=max(peak, (weights + gradients + optimizer) // parts),
        overhead=workload.overhead,
        parameters=model.parameters,
        trainable_parameters=trainable,
    )


def knows(config: Mapping[str, Any]) -> bool:
    """Whether there are plans for this kind of model."""
    try:
        architecture_of(config)
    except InvalidInput:
        return False
    return True


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
        for inputs, outputs in targets.values()
    )
    return model.layers * each


def way_of(model: Architecture, workload: Workload) -> str:
    """Return the way that batches take through the model: trainer/forward.py's `Way`, or "dora"."""
    if workload.kernels == "plain" or not model.own_attention:
        return "packed"
    if workload.use_dora and workload.method != "full":
        return "dora"  # "attention", whose adapters keep more
    return "layers" if model.own_layers else "attention"


def key(model: Architecture, workload: Workload) -> str:
    """Return which coefficients are meant."""
    checkpointing = "on" if workload.gradient_checkpointing else "off"
    return f"{way_of(model, workload)} {workload.method} {workload.dtype} {checkpointing}"


def features(model: Architecture, workload: Workload) -> tuple[Features, Mapping[str, Features]]:
    """Return what a layer keeps is linear in, and what head and layer hold at work."""
    tokens, labels = workload.tokens, workload.labels
    adapted = {} if workload.method == "full" else model.targets(workload.lora_target_modules)
    inputs = sum(each for each, _ in adapted.values())
    dropout = 1 if workload.lora_dropout else 0
    # DoRA scales each output, and adds each weight and its update for their norms; with dropout it
    # computes the outputs a second time, of weights in the inputs' format that stay until the end.
    scaled = adapted if workload.use_dora else {}
    outputs = tokens * sum(each for _, each in scaled.values())
    normed = [each * output for each, output in scaled.values()]

    def masked(read: str) -> int:
        """1 if one of the layers drops out numbers of the input that they share."""
        return dropout if any(model.reads[name] == read for name in adapted) else 0

    widths: dict[str, float] = {
        "hidden": tokens * model.hidden,
        "intermediate": tokens * model.intermediate * model.mlp_kept,
        "query": tokens * model.query,
        "key_value": tokens * model.key_value,
        "head_norms": tokens * (model.query + model.key_value) if model.head_norms else 0,
        "ranks": tokens * workload.lora_r * len(adapted),
        "masks": tokens
        * (
            model.hidden * (masked("attention") + masked("mlp"))
            + model.query * masked("heads")
            + model.intermediate * masked("gated")
        ),
        # Of each adapter its own: in layers that stay as they are.
        "adapted": tokens * inputs,
        "dropped": tokens * inputs * dropout,
        "scaled": outputs,
        "scaled_again": outputs * dropout,
        "normed": sum(normed),
        "weights_again": sum(normed) * dropout,
        "weights": model.layer_weights,
    }
    rows = max(ROWS_AT_LEAST, LOGITS_AT_ONCE[workload.device_type] // model.vocabulary)
    at_once = labels if way_of(model, workload) == "packed" else min(labels, rows)
    head = {
        "labels": labels * model.hidden,
        "logits": at_once * model.vocabulary,
        "head": model.embedding,
        "hidden": tokens * model.hidden,
        "constant": 1 << 20,
    }
    layer = {
        **widths,
        "labels": labels * model.hidden,
        "largest": max(inputs * outputs for inputs, outputs in model.linears.values()),
        "largest_normed": max(normed, default=0),
        "largest_square": max((each * each for each, _ in scaled.values()), default=0),
        "constant": 1 << 20,
    }
    return widths, {"head": head, "layer": layer}


def _sum(coefficients: Features, sizes: Features) -> float:
    return sum(value * sizes[name] for name, value in coefficients.items())


@cache
def _coefficients() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(COEFFICIENTS.read_text(encoding="utf-8"))
    return found
