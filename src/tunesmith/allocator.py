"""jemalloc for trainers on a CPU, where the system has it.

glibc's heap leaves gaps between tensors: SmolLM2-135M with LoRA took 2001 MiB with it and takes
1569 MiB with jemalloc (docs/memory.md). Debian and Ubuntu: `apt install libjemalloc2`.
"""

import os
import shutil
import subprocess
from functools import cache

LIBRARY = "libjemalloc.so.2"
# What is freed is kept for the next tensors. By default jemalloc gives free blocks of 8 MiB back at
# once: 185,000 page faults and 0.38 s of a step of 3.9 s (SmolLM2-135M, LoRA, 2 cores). What would
# add to the peak is given back where it is reached: `trainer.memory.compact`.
OPTIONS = "oversize_threshold:0,dirty_decay_ms:-1"


def environment() -> dict[str, str]:
    """Return the variables with which a process gets jemalloc; {} where there is none.

    Whoever preloads a library himself has decided.
    """
    if os.environ.get("LD_PRELOAD") or not _loads():
        return {}
    return {"LD_PRELOAD": LIBRARY, "MALLOC_CONF": os.environ.get("MALLOC_CONF", OPTIONS)}


def is_used() -> bool:
    """Whether this process was started with it."""
    return "jemalloc" in os.environ.get("LD_PRELOAD", "")


def will_be_used() -> bool:
    """Whether the trainers that this process starts will have it."""
    return is_used() or bool(environment())


@cache
def _loads() -> bool:
    """Try it: the loader warns of what it does not find, and jemalloc ends a process whose pages
    are larger than those it was built for (some 64-bit Arm systems)."""
    program = shutil.which("true")
    if program is None:
        return False
    try:
        tried = subprocess.run(
            [program], env={"LD_PRELOAD": LIBRARY}, capture_output=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0 and not tried.stderr
