"""QLoRA against LoRA in fp32 on a CPU: the time of a training step on the same tiny model.

    python -m benchmarks.methods [BASE_MODEL_DIR] [--rounds 30] [--samples 8] [--length 64]

One forward and backward pass over packed samples of random tokens, by the trainer's own code. The
methods take turns, medians count. Without a base model the tests' tiny one is made. Run it on an
idle machine.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.tiny_models import make_tiny_model
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.spec import TrainingArguments
from tunesmith.trainer import model
from tunesmith.trainer.forward import Forward

LIMIT = 1.3
METHODS: dict[str, dict[str, Any]] = {
    "LoRA fp32": {"method": "lora"},
    "QLoRA 4 bit": {"method": "qlora", "quantization_bits": 4},
    "QLoRA 8 bit": {"method": "qlora", "quantization_bits": 8},
}


def load(base_model: Path, arguments: dict[str, Any]) -> Forward:
    torch.manual_seed(0)
    _, tuned = model.load_for_training(
        base_model, TrainingArguments(**arguments), "fp32", torch.device("cpu"), False
    )
    tuned.train()
    return Forward(tuned, 0)


def random_samples(count: int, length: int) -> EncodedSamples:
    """The second half of each sample is learnt."""
    tokens = np.random.default_rng(0).integers(3, 300, count * length).astype(np.int32)
    learnt = np.tile(np.arange(length) >= length // 2, count)
    return EncodedSamples(tokens, np.arange(count + 1) * length, learnt)


def seconds_of(forward: Forward, samples: EncodedSamples) -> float:
    """Return the seconds of one forward and backward pass over all `samples`."""
    began = time.perf_counter()
    torch.autograd.backward(forward.loss_sum(forward.batch(samples, np.arange(len(samples)))))
    took = time.perf_counter() - began
    forward.model.zero_grad()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("base_model", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--length", type=int, default=64)
    given = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    samples = random_samples(given.samples, given.length)
    with tempfile.TemporaryDirectory() as root:
        base_model = given.base_model or make_tiny_model(Path(root) / "tiny")
        forwards = {name: load(base_model, arguments) for name, arguments in METHODS.items()}
    took: dict[str, list[float]] = {name: [] for name in METHODS}
    for number in range(given.rounds + 2):
        for name, forward in forwards.items():
            seconds = seconds_of(forward, samples)
            if number >= 2:  # the first ones pay for caches
                took[name].append(seconds)
    medians = {name: statistics.median(times) for name, times in took.items()}
    for name, median in medians.items():
        ratio = median / medians["LoRA fp32"]
        print(f"{name:12} {median * 1e3:8.2f} ms  {ratio:.2f} x LoRA fp32 (limit {LIMIT})")


if __name__ == "__main__":
    main()
