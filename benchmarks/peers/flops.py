"""How much arithmetic a training step needs, and how much of it the machine can do a second."""

import json
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.job import LORA_R

FORMULA = """\
FLOPs = (4 x linear + 6 x LoRA) x tokens + 4 x head x labels + attention for LoRA,
        6 x linear x tokens + 6 x head x labels + attention for full;
attention = 6 x layers x heads x head_dim x (sum of squared sample lengths).
linear, LoRA, head: numbers of parameters; tokens without padding; labels: tokens that are learnt.
A product costs 2 per weight and token, forward, for the inputs' and for the weights' gradients;
frozen weights have none of the last. Causal attention is half a square, forward, twice that back.
Padding, logits of tokens that are not learnt, and what checkpointing computes again count nothing:
they are no use to the result."""


@dataclass(frozen=True)
class Shape:
    """What of a llama-like model decides the arithmetic."""

    linears: Mapping[tuple[int, int], int]
    """How many of its layers' weights are [out, in]."""
    head: int
    layers: int
    attention: int
    """heads x head_dim."""


def shape_of(model: Path) -> Shape:
    """Read the shapes from the config and the headers of the safetensors files."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    linears: Counter[tuple[int, int]] = Counter()
    for file in model.glob("*.safetensors"):
        for name, shape in _shapes(file).items():
            if len(shape) == 2 and "embed" not in name and "lm_head" not in name:
                linears[shape[0], shape[1]] += 1
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    return Shape(
        linears,
        config["vocab_size"] * config["hidden_size"],
        config["num_hidden_layers"],
        heads * head_dim,
    )


def _shapes(file: Path) -> dict[str, list[int]]:
    with file.open("rb") as weights:
        (length,) = struct.unpack("<Q", weights.read(8))
        header = json.loads(weights.read(length))
    return {name: value["shape"] for name, value in header.items() if name != "__metadata__"}


def training_flops(
    shape: Shape, method: str, tokens: int, labels: int, mean_square_length: float
) -> float:
    """Return the FLOPs that `tokens` tokens need, see FORMULA.

    `mean_square_length` is the sum of squared sample lengths by the sum of lengths.
    """
    linear = sum(out * into * count for (out, into), count in shape.linears.items())
    lora = sum(LORA_R * (out + into) * count for (out, into), count in shape.linears.items())
    attention = 6 * shape.layers * shape.attention * tokens * mean_square_length
    if method == "full":
        return 6 * linear * tokens + 6 * shape.head * labels + attention
    return (4 * linear + 6 * lora) * tokens + 4 * shape.head * labels + attention


def measure_limit(model: Path, tokens: int, environment: Mapping[str, str]) -> float:
    """Return the FLOPs/s of fp32 matrix products of the model's own shapes, `tokens` rows each.

    In a process of its own: torch's threads would stay in this one.
    """
    command = [sys.executable, "-m", "benchmarks.peers.flops", str(model), str(tokens)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return float(done.stdout)


def limit(shape: Shape, tokens: int) -> float:
    """Multiply, forward and for the inputs' gradient: the best of a few of each, weighted."""
    import time

    import torch

    flops = seconds = 0.0
    for (out, into), count in shape.linears.items():
        weight, inputs, gradient = (
            torch.randn(*size) for size in ((out, into), (tokens, into), (tokens, out))
        )
        for left, right in ((inputs, weight.t()), (gradient, weight)):
            times = []
            for _ in range(10):
                began = time.perf_counter()
                left @ right
                times.append(time.perf_counter() - began)
            flops += 2 * out * into * tokens * count
            seconds += min(times) * count
    return flops / seconds


if __name__ == "__main__":
    print(limit(shape_of(Path(sys.argv[1])), int(sys.argv[2])))
