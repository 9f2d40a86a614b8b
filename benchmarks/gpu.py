"""Steps on a GPU: our kernels against transformers and peft as they are, padded and packed.

    python -m benchmarks.gpu [--layers 16] [--steps 8] [--methods lora,qlora4,full]

A LLaMA of 1.2 billion random parameters (LLaMA 3.2 1B's shape) in bf16 takes steps over random
samples of mixed length, by the trainer's own code. Prints tokens/s, peak memory of the allocator
and the share of the card's measured bf16 matrix product.
"""

import argparse
import gc
import statistics
import time
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.spec import TrainingArguments
from tunesmith.trainer import model
from tunesmith.trainer.forward import Forward

CUDA = torch.device("cuda", 0)
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "lora, checkpointing": {"method": "lora", "gradient_checkpointing": True},
    "full": {"method": "full"},
}


def config(layers: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )


def mixed_samples(count: int, longest: int, vocabulary: int) -> EncodedSamples:
    """Lengths between an eighth and the whole of `longest`; the second half is learnt."""
    random = np.random.default_rng(0)
    lengths = random.integers(longest // 8, longest + 1, count)
    starts = np.cumsum([0, *lengths])
    places = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    tokens = random.integers(3, vocabulary, starts[-1]).astype(np.int32)
    return EncodedSamples(tokens, starts, places >= np.repeat(lengths // 2, lengths))


def matrix_rate() -> float:
    """Return the card's bf16 operations a second on 8192 x 8192 matrices."""
    a, b = (torch.randn(8192, 8192, device=CUDA, dtype=torch.bfloat16) for _ in range(2))
    took = []
    for _ in range(20):
        torch.cuda.synchronize()
        began = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    return 2 * 8192**3 / statistics.median(took)


def build(layers: int, arguments: dict[str, Any]) -> Any:
    training = TrainingArguments(**arguments)
    torch.manual_seed(0)
    full = training.method == "full"
    with CUDA:
        base = LlamaForCausalLM(config(layers)).to(torch.float32 if full else torch.bfloat16)
    base.requires_grad_(full)
    tuned = base if full else model.add_lora(base, training)
    if training.gradient_checkpointing:
        base.activation_checkpointing_enable({"use_reentrant": False})
        if tuned is not base:
            base.enable_input_require_grads()
    return tuned.train()


def measure(tuned: Any, way: str, full: bool, samples: EncodedSamples, steps: int) -> str:
    kernels: Any = "auto" if way == "kernels" else "plain"
    forward = Forward(tuned, 0, autocast=full, kernels=kernels)
    if way == "padded":
        forward.take("padded")
    trained = [weight for weight in tuned.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    size = 8
    took, losses = [], []
    torch.cuda.reset_peak_memory_stats()
    for number in range(steps + 2):
        indices = np.arange(number * size, (number + 1) * size) % len(samples)
        torch.cuda.synchronize()
        began = time.perf_counter()
        total = 0.0
        for batch in forward.batches(samples, indices, size * 1024):
            loss = forward.loss_sum(batch) / samples.count_labels(indices)
            torch.autograd.backward(loss)
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        losses.append(total)
        if number >= 2:
            took.append((time.perf_counter() - began) / samples.count_tokens(indices))
    peak = torch.cuda.max_memory_allocated() / 2**30
    rate = 1 / statistics.median(took)
    parameters = sum(weight.numel() for weight in tuned.parameters())
    operations = parameters * (6 if full else 4) * rate
    return (
        f"{way:8} {forward.way:9} {rate:9,.0f} tokens/s {peak:7.2f} GiB  loss {losses[0]:.4f} "
        f"-> {losses[-1]:.4f}  {operations / 1e12:6.1f} TFLOP/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()
    print(torch.cuda.get_device_name(), torch.__version__, f"{matrix_rate() / 1e12:.0f} TFLOP/s")
    samples = mixed_samples(256, 1024, 128256)
    for name, arguments in METHODS.items():
        for way in ("padded", "packed", "kernels"):
            tuned = build(given.layers, arguments | {"lora_dropout": 0.05})
            try:
                line = measure(tuned, way, arguments["method"] == "full", samples, given.steps)
                print(f"{name:20} {line}", flush=True)
            except torch.OutOfMemoryError as error:
                print(f"{name:20} {way:8} out of memory: {error}", flush=True)
            del tuned
            gc.collect()
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
