"""What libraries read when they are loaded, and how memory is kept. Call `prepare` before that."""

import ctypes
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
    # Without it cuBLAS is not reproducible.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


# mallopt(3). By default glibc takes each big block from the kernel and gives it back at once, and
# every page of it is zeroed again at its first touch: 4 to 10 % of a step on a CPU.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
MALLOC_OPTIONS = {
    M_MMAP_THRESHOLD: 0x7FFFFFFF,
    M_TRIM_THRESHOLD: 0x7FFFFFFF,
    M_TOP_PAD: 64 << 20,
}


def prepare() -> None:
    """Set it all for this process."""
    os.environ.update(ALWAYS)
    for name, value in UNLESS_SET.items():
        os.environ.setdefault(name, value)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc; musl has none
        for option, setting in MALLOC_OPTIONS.items():
            libc.mallopt(option, setting)
