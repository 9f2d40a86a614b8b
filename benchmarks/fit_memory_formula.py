"""Fits the coefficients of the memory formula to traces of the real step, and writes them.

    python -m benchmarks.fit_memory_formula [WAY ...]
    python -m benchmarks.fit_memory_formula --check

Run it when what a training step keeps has changed; for the ways through the model named alone
(layers, attention, dora, packed) where only they have. `--check` prints how far the formula is
from the trace for the catalogue's models, and writes nothing. Takes minutes, and no GPU.
"""

import itertools
import json
import random
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from tunesmith.memory_plan.architecture import architecture_of
from tunesmith.memory_plan.catalogue_configs import CONFIGS
from tunesmith.memory_plan.formula import COEFFICIENTS, Features, features, key, plan
from tunesmith.memory_plan.records import Workload

TARGETS: tuple[Any, ...] = (
    "all-linear",
    ("q_proj", "v_proj"),
    ("q_proj", "k_proj", "v_proj", "o_proj"),
    ("gate_proj", "down_proj"),
)
OTHER_ACTIVATION = {"hidden_act": "gelu"}  # for which our layers are not made
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "layers": ({}, {}),
    "attention": (OTHER_ACTIVATION, {}),
    "dora": ({}, {"use_dora": True}),
    "packed": ({}, {"kernels": "plain"}),
}
"""What makes a step take a way: of the config, and of the workload."""
STAGES = ("forward", "backward", "bottom")
PIECES = ("head", "layer")
CHECKED = (("lora", False), ("qlora", False), ("full", False), ("lora", True), ("qlora", True))
SHAPES = 24  # traced for each set of coefficients
Row = tuple[Features, Mapping[str, Features], dict[str, float]]
"""Features of what a layer keeps and of the pieces of a stage, and the bytes that were traced."""


def config_for(draw: random.Random) -> dict[str, Any]:
    heads = draw.choice((8, 16, 32, 64))
    hidden = heads * draw.choice((64, 128))
    return {
        "model_type": draw.choice(("llama", "llama", "qwen3")),
        "num_hidden_layers": 4,
        "hidden_size": hidden,
        "intermediate_size": 64 * round(hidden * draw.uniform(1.5, 5.5) / 64),
        "num_attention_heads": heads,
        "num_key_value_heads": heads // draw.choice((1, 2, 4, 8)),
        "head_dim": draw.choice((64, 128)),
        "vocab_size": draw.choice((1000, 32000, 65024, 128256, 152064)),
        "tie_word_embeddings": False,
        "max_position_embeddings": 32768,
    }


def work_for(number: int, draw: random.Random, **fixed: Any) -> Workload:
    return Workload(
        lora_r=draw.choice((8, 16, 64)),
        lora_target_modules=TARGETS[number % len(TARGETS)],
        lora_dropout=draw.choice((0.0, 0.05, 0.05)),
        per_device_train_batch_size=draw.choice((1, 2, 4, 8)),
        max_seq_length=draw.choice((256, 512, 1024, 2048)),
        label_share=draw.choice((1.0, 0.3)),
        **fixed,
    )


def fit(way: str, method: str, dtype: str, checkpointing: bool) -> tuple[str, dict[str, Any]]:
    # Of equal seeds for all: runs differ in what is fitted only.
    draw = random.Random(7)
    of_config, of_work = WAYS[way]
    kind = {"method": method, "dtype": dtype, "gradient_checkpointing": checkpointing, **of_work}
    rows: list[Row] = []
    for number in range(SHAPES):
        config = config_for(draw) | of_config
        work = work_for(number, draw, **kind)
        model = architecture_of(config)
        rows.append((*features(model, work), traced(config, work)))
    return key(model, work), fitted_to(rows)


def traced(config: dict[str, Any], work: Workload) -> dict[str, float]:
    """Return the bytes of a layer, and of each stage of a step without any."""
    from tunesmith.trainer.memory_trace import DEPTHS, trace_at

    few, more = (trace_at(config, work, layers) for layers in DEPTHS)
    each = DEPTHS[1] - DEPTHS[0]
    # What layers keep is there at the end of the forward pass, and at the top of the other one.
    kept = max(more.backward - few.backward, 0) / each
    return {
        "kept": kept,
        "forward": few.forward - DEPTHS[0] * kept,
        "backward": few.backward - DEPTHS[0] * kept,
        "bottom": max(0, few.bottom_peak - few.weights - few.optimizer - few.gradients),
    }


def fitted_to(rows: list[Row]) -> dict[str, dict[str, float]]:
    fitted = {"kept": solve([row[0] for row in rows], [row[2]["kept"] for row in rows])}
    for stage in STAGES:
        # Of adapters in attention alone nothing is left at the bottom.
        told = [row for row in rows if row[2][stage] > 0]
        fitted[stage] = fit_pieces([row[1] for row in told], [row[2][stage] for row in told])
    return fitted


def fit_pieces(sizes: list[Mapping[str, Features]], wanted: list[float]) -> dict[str, Any]:
    """Return coefficients for head and layer of which the larger sum is the bytes `wanted`.

    Each shape goes to the one that tells it best, and both are fitted anew, until none moves.
    """
    if not sizes:
        return {piece: {} for piece in PIECES}
    tokens = np.array([each["layer"]["hidden"] for each in sizes])
    logits = np.array([each["head"]["logits"] for each in sizes])
    tried = []
    for guess in (logits / tokens, tokens / np.array(wanted)):
        of_head = guess > np.median(guess)
        for _ in range(20):
            found = {}
            told = []
            for piece, chosen in zip(PIECES, (of_head, ~of_head), strict=True):
                rows = [each[piece] for each in sizes]
                found[piece] = solve(
                    [row for row, is_in in zip(rows, chosen, strict=True) if is_in],
                    [value for value, is_in in zip(wanted, chosen, strict=True) if is_in],
                )
                told.append(np.array([_sum(found[piece], row) for row in rows]))
            tried.append((float(np.abs(np.maximum(*told) / wanted - 1).max()), found))
            nearer = np.abs(told[0] - wanted) < np.abs(told[1] - wanted)
            if (nearer == of_head).all():
                break
            of_head = nearer
    return min(tried, key=lambda each: each[0])[1]


def _sum(coefficients: Features, sizes: Features) -> float:
    return sum(value * sizes[name] for name, value in coefficients.items())


def solve(rows: list[Features], wanted: list[float]) -> dict[str, float]:
    """Return positive coefficients with about the least relative squares of errors."""
    if not rows:
        return {}
    scale = np.maximum(np.abs(np.array(wanted)), np.abs(wanted).mean() / 100 + 1)
    left = [name for name in rows[0] if any(row[name] for row in rows)]
    while left:
        matrix = np.array([[row[name] for name in left] for row in rows]) / scale[:, None]
        norms = np.maximum(np.linalg.norm(matrix, axis=0), 1e-30)
        found = np.linalg.lstsq(matrix / norms, np.array(wanted) / scale, rcond=1e-9)[0]
        if found.min() >= 0:
            told = zip(left, found / norms, strict=True)
            return {name: value for name, number in told if (value := round(float(number), 5))}
        left.pop(int(found.argmin()))
    return {}


def check() -> None:
    from tunesmith.trainer.memory_trace import trace

    works = [
        Workload(method=method, use_dora=dora, gradient_checkpointing=checkpointing)  # type: ignore[arg-type]
        for method, dora in CHECKED
        for checkpointing in (False, True)
    ]
    errors: dict[bool, list[float]] = {False: [], True: []}
    for name in ("LLaMA 2-7B", "LLaMA 3-8B", "Qwen2-72B", "ChatGLM3-6B", "Qwen3-8B"):
        for work in works:
            exact, quick = trace(CONFIGS[name], work).peak, plan(CONFIGS[name], work).peak
            error = quick / exact - 1
            errors[work.use_dora].append(error)
            sizes = f"{exact / 2**30:8.2f} {quick / 2**30:8.2f} GiB {100 * error:+6.1f} %"
            method = work.method + (" DoRA" if work.use_dora else "")
            checkpointing = "on" if work.gradient_checkpointing else "off"
            print(f"{name:14}{method:11}{checkpointing:4}{sizes}", flush=True)
    for dora, found in errors.items():
        print(f"worst {'with' if dora else 'without'} DoRA {100 * max(map(abs, found)):.1f} %")


def prepare() -> None:
    from tunesmith.trainer import environment

    environment.prepare()


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        prepare()
        check()
        return
    kinds = [
        kind
        for kind in itertools.product(
            sys.argv[1:] or WAYS, ("lora", "qlora", "full"), ("bf16", "fp32"), (False, True)
        )
        if kind[:2] != ("dora", "full")
    ]
    found = json.loads(COEFFICIENTS.read_text(encoding="utf-8")) if sys.argv[1:] else {}
    with ProcessPoolExecutor(initializer=prepare, mp_context=get_context("spawn")) as pool:
        for name, fitted in pool.map(fit, *zip(*kinds, strict=True)):
            found[name] = fitted
            print(name, flush=True)
    COEFFICIENTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
