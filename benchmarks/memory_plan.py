"""The memory plan against real training steps: six small models, three methods, checkpointing.

    python -m benchmarks.memory_plan [--plain] [MODEL ...]

--plain: without our kernels.

Each run is a process of its own that loads the base model as the trainer does and takes three real
optimiser steps on samples of the full length. Measured is its resident high water less what was
resident before the base model was read. Other processes disturb the time, not this.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tunesmith import allocator
from tunesmith.memory_plan.formula import plan as formula
from tunesmith.memory_plan.records import Workload

SMALL = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8}
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 2048}
VOCABULARY = {"vocab_size": 16384, "tie_word_embeddings": False}
LLAMA = {**SMALL, **HEADS, **VOCABULARY, "model_type": "llama"}
MODELS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "qwen2": {**LLAMA, "model_type": "qwen2"},
    "qwen3": {**LLAMA, "model_type": "qwen3", "head_dim": 64},
    "mistral": {
        **LLAMA,
        "model_type": "mistral",
        "intermediate_size": 1792,
        "sliding_window": None,
    },
    "glm": {
        **LLAMA,
        "model_type": "glm",
        "head_dim": 64,
        "num_key_value_heads": 2,
        "attention_bias": True,
        "pad_token_id": 0,
        "eos_token_id": 2,
    },
    "llama, tied": {**LLAMA, "tie_word_embeddings": True, "vocab_size": 32000},
}
METHODS = ("lora", "qlora", "full")
BATCH, LENGTH = 4, 256


def workload(method: str, checkpointing: bool, kernels: str = "auto") -> Workload:
    return Workload(
        method=method,  # type: ignore[arg-type]
        per_device_train_batch_size=BATCH,
        max_seq_length=LENGTH,
        dtype="fp32",
        gradient_checkpointing=checkpointing,
        kernels=kernels,  # type: ignore[arg-type]
        device_type="cpu",
        jemalloc=allocator.will_be_used(),
    )


def measure(base: Path, work: Workload) -> dict[str, int]:
    """Train in this process; return the bytes that base model and training took."""
    from tunesmith.trainer import environment

    environment.prepare()
    import numpy as np
    import torch

    from tunesmith.events import EventWriter
    from tunesmith.spec import GpuConfig, Spec, TrainingArguments
    from tunesmith.trainer import memory, model
    from tunesmith.trainer.checkpoint import Checkpoints
    from tunesmith.trainer.forward import Forward
    from tunesmith.trainer.loop import Training
    from tunesmith.trainer.memory_trace import largest_samples
    from tunesmith.trainer.report import Report
    from tunesmith.trainer.schedule import make_plan
    from tunesmith.trainer.stop import Stop

    cpu = torch.device("cpu")
    training = TrainingArguments(
        method=work.method,
        lora_r=work.lora_r,
        per_device_train_batch_size=work.per_device_train_batch_size,
        max_seq_length=work.max_seq_length,
        max_steps=3,
        save_steps=1000,
    )
    memory.keep_freed()
    before = memory.baseline()
    _, tuned = model.load_for_training(base, training, "fp32", cpu, work.gradient_checkpointing)
    forward = Forward(tuned, 0, kernels=work.kernels)
    vocabulary = tuned.get_input_embeddings().weight.shape[0]
    samples = replace(
        largest_samples(work),
        # Of the embeddings only rows that are used become resident.
        tokens=np.random.default_rng(0).integers(0, vocabulary, work.tokens).astype(np.int32),
    )
    with tempfile.TemporaryDirectory() as root:
        spec = Spec(
            task_id=1,
            attempt=1,
            name="memory_plan",
            description=None,
            base_model=str(base),
            dataset_path=root,
            output_path=root,
            training=training,
            given=("max_steps",),
            gpu=GpuConfig(),
            devices=(),
        )
        Training(
            forward,
            samples,
            None,
            plan=make_plan(len(samples), training, spec.given),
            spec=spec,
            checkpoints=Checkpoints(Path(root), 1),
            report=Report(EventWriter(Path(root) / "events.jsonl")),
            stop=Stop(),
        ).train()
    return {"peak": memory.taken(cpu, before)}


def make_models(root: Path, names: list[str]) -> None:
    """Write base models of random weights; the trainer reads them as any other."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    for name in names:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**MODELS[name]))
        model.save_pretrained(root / name)


def trace_all(kernels: str, names: list[str]) -> dict[str, int]:
    """Return the peak that the trace predicts for each run."""
    from tunesmith.trainer import environment

    environment.prepare()
    from tunesmith.trainer.memory_trace import trace

    return {
        f"{name} {method} {checkpointing}": trace(
            MODELS[name], workload(method, checkpointing, kernels)
        ).needed
        for name in names
        for method in METHODS
        for checkpointing in (False, True)
    }


def in_fresh_process(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.memory_plan", *arguments]
    variables = os.environ | allocator.environment()
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=variables
    ).stdout


def main() -> None:
    if sys.argv[1:2] == ["--make"]:
        make_models(Path(sys.argv[2]), sys.argv[3:])
        return
    if sys.argv[1:2] == ["--one"]:
        measured = measure(Path(sys.argv[2]), Workload(**json.loads(sys.argv[3])))
        print("\n" + json.dumps(measured))
        return
    if sys.argv[1:2] == ["--trace"]:
        print("\n" + json.dumps(trace_all(sys.argv[2], sys.argv[3:])))
        return
    plain = sys.argv[1:2] == ["--plain"]
    kernels = "plain" if plain else "auto"
    names = sys.argv[2 if plain else 1 :] or list(MODELS)
    traced = json.loads(in_fresh_process("--trace", kernels, *names).splitlines()[-1])
    print("| model | method | checkpointing | weights MiB | planned | measured | error | formula |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    errors = []
    with tempfile.TemporaryDirectory() as root:
        in_fresh_process("--make", root, *names)
        for name in names:
            for method in METHODS:
                for checkpointing in (False, True):
                    work = workload(method, checkpointing, kernels)
                    directory = Path(root) / name
                    told = in_fresh_process("--one", str(directory), json.dumps(asdict(work)))
                    measured = json.loads(told.splitlines()[-1])["peak"]
                    planned = traced[f"{name} {method} {checkpointing}"]
                    error = planned / measured - 1
                    quick = formula(MODELS[name], work)
                    errors.append(abs(error))
                    row = (
                        name,
                        method,
                        "on" if checkpointing else "off",
                        *(f"{size / 2**20:.0f}" for size in (quick.weights, planned, measured)),
                        f"{100 * error:+.1f} %",
                        f"{100 * (quick.needed / measured - 1):+.1f} %",
                    )
                    print("| " + " | ".join(row) + " |", flush=True)
    within = sum(error <= 0.05 for error in errors)
    print(f"\n{within} of {len(errors)} within 5 %, worst {100 * max(errors):.1f} %")


if __name__ == "__main__":
    main()
