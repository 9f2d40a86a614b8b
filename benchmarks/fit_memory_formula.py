"""Fits the coefficients of the memory formula to traces of the real step, and writes them.

    python -m benchmarks.fit_memory_formula [--check]

Run it when what a training step keeps has changed. `--check` prints how far the formula is from
the trace for the catalogue's models, and writes nothing. Takes minutes, and no GPU.
"""

import itertools
import json
import random
import sys
from typing import Any

import numpy as np

from tunesmith.memory_plan.architecture import architecture_of
from tunesmith.memory_plan.catalogue_configs import CONFIGS
from tunesmith.memory_plan.formula import COEFFICIENTS, features, key, plan
from tunesmith.memory_plan.records import Workload

TARGETS: tuple[Any, ...] = ("all-linear", ("q_proj", "v_proj"))
SHAPES = 16  # traced for each set of coefficients


def config_for(draw: random.Random) -> dict[str, Any]:
    width = draw.choice((64, 128))
    heads = draw.choice((8, 16, 32, 64))
    hidden = heads * draw.choice((64, 128))
    return {
        "model_type": "llama",
        "num_hidden_layers": 4,
        "hidden_size": hidden,
        "intermediate_size": 64 * round(hidden * draw.uniform(1.5, 5.5) / 64),
        "num_attention_heads": heads,
        "num_key_value_heads": heads // draw.choice((1, 2, 4, 8)),
        "head_dim": width,
        "vocab_size": draw.choice((1000, 32000, 65024, 128256, 152064)),
        "tie_word_embeddings": False,
        "max_position_embeddings": 32768,
    }


def work_for(method: str, dtype: str, checkpointing: bool, number: int, draw: Any) -> Workload:
    return Workload(
        method=method,  # type: ignore[arg-type]
        dtype=dtype,  # type: ignore[arg-type]
        gradient_checkpointing=checkpointing,
        lora_r=draw.choice((8, 16, 64)),
        lora_target_modules=TARGETS[number % 3 == 0],
        per_device_train_batch_size=draw.choice((1, 2, 4, 8)),
        max_seq_length=draw.choice((256, 512, 1024, 2048)),
        label_share=draw.choice((1.0, 0.3)),
    )


def fit(method: str, dtype: str, checkpointing: bool) -> tuple[str, dict[str, Any]]:
    from tunesmith.trainer.memory_trace import DEPTHS, trace_at

    # Of equal seeds for all: runs differ in what is fitted only.
    draw = random.Random(7)
    rows: list[tuple[dict[str, float], dict[str, float], dict[str, tuple[float, float]]]] = []
    for number in range(SHAPES):
        config = config_for(draw)
        work = work_for(method, dtype, checkpointing, number, draw)
        model = architecture_of(config)
        low, high = (trace_at(config, work, layers) for layers in DEPTHS)
        ends: dict[str, tuple[float, float]] = {}
        for name in ("activations", "bottom"):
            few, more = (
                each.activations
                if name == "activations"
                else each.bottom_peak - each.weights - each.optimizer
                for each in (low, high)
            )
            slope = (more - few) / (DEPTHS[1] - DEPTHS[0])
            ends[name] = slope, few - slope * DEPTHS[0]
        rows.append((*features(model, work), ends))
    fitted = {
        name: {
            "layer": solve([row[0] for row in rows], [row[2][name][0] for row in rows]),
            "once": solve([row[1] for row in rows], [row[2][name][1] for row in rows]),
        }
        for name in ("activations", "bottom")
    }
    return key(work), fitted


def solve(rows: list[dict[str, float]], wanted: list[float]) -> dict[str, float]:
    """Return non-negative coefficients with the least relative squares of errors."""
    names = list(rows[0])
    scale = np.maximum(np.abs(np.array(wanted)), np.abs(wanted).mean() / 100 + 1)
    matrix = np.array([[row[name] for name in names] for row in rows]) / scale[:, None]
    target = np.array(wanted) / scale
    norms = np.maximum(np.linalg.norm(matrix, axis=0), 1e-30)
    matrix = matrix / norms
    # Lawson and Hanson's idea in its simplest form: coordinate descent that stops at zero.
    found = np.zeros(len(names))
    rest = target.copy()
    for _ in range(20_000):
        for place in range(len(names)):
            column = matrix[:, place]
            better = max(0.0, found[place] + float(column @ rest))
            rest -= column * (better - found[place])
            found[place] = better
    return {name: round(float(value), 5) for name, value in zip(names, found / norms, strict=True)}


def check() -> None:
    from tunesmith.trainer.memory_trace import trace

    errors = []
    for name in ("LLaMA 2-7B", "LLaMA 3-8B", "Qwen2-72B", "ChatGLM3-6B", "Qwen3-8B"):
        for method, checkpointing in itertools.product(("lora", "qlora", "full"), (False, True)):
            work = Workload(method=method, gradient_checkpointing=checkpointing)  # type: ignore[arg-type]
            exact, quick = trace(CONFIGS[name], work).peak, plan(CONFIGS[name], work).peak
            errors.append(quick / exact - 1)
            sizes = f"{exact / 2**30:8.2f} {quick / 2**30:8.2f} GiB {100 * errors[-1]:+6.1f} %"
            print(f"{name:14}{method:6}{'on' if checkpointing else 'off':4}{sizes}", flush=True)
    print(f"worst {100 * max(map(abs, errors)):.1f} %")


def main() -> None:
    from tunesmith.trainer import environment

    environment.prepare()
    if sys.argv[1:] == ["--check"]:
        check()
        return
    found = {}
    methods = ("lora", "qlora", "full")
    for kind in itertools.product(methods, ("bf16", "fp32"), (False, True)):
        name, fitted = fit(*kind)
        found[name] = fitted
        print(name, flush=True)
    COEFFICIENTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
