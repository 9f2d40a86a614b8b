"""Environment variables that libraries read when they are loaded. Call `prepare` before that."""

import os

ALWAYS = {
    # Nothing from the network, no progress bars in a log, no advice for programmers.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
UNLESS_SET = {
    # The tokenizer is never used across a fork here, so its threads are safe.
    "TOKENIZERS_PARALLELISM": "true",
    # By default a thread of OpenMP that waits for another spins for milliseconds. On a machine
    # that does anything else (2 cores, load 6) that made matrix products 2-3 times slower.
    "GOMP_SPINCOUNT": "10000",
    # oneDNN, which multiplies bf16 on a CPU, makes code for each shape that it meets, and each
    # micro-batch has thirty or so of its own: of 400 it kept 290 MiB and went on growing; now it
    # keeps 140 MiB at most (torch 2.13).
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "128",
    # Micro-batches of many sizes would leave a GPU's memory in pieces.
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    # Without it cuBLAS is not reproducible.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


def prepare() -> None:
    """Set them for this process."""
    os.environ.update(ALWAYS)
    for name, value in UNLESS_SET.items():
        os.environ.setdefault(name, value)
