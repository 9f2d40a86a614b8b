"""The imports of torch, transformers and peft, made shorter.

Optional packages that they import because they are there, used or not, took 1.3 of the 5.8 s
before a run could begin (torch 2.13, transformers 5.23, peft 0.21; bitsandbytes alone imports
torch's compiler). The garbage collector took 0.5 of what remained.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tunesmith.spec import TrainingArguments

NEVER_USED = ("scipy", "sklearn", "pandas", "torchvision", "librosa", "datasets", "torchao")


def unused(training: TrainingArguments) -> tuple[str, ...]:
    """Return the packages that a run with these arguments does without."""
    return NEVER_USED if training.method == "qlora" else (*NEVER_USED, "bitsandbytes")


@contextmanager
def left_out(packages: tuple[str, ...]) -> Iterator[None]:
    """Within this block `packages` look as if they were not installed.

    What was imported before stays, and later imports find them again; but libraries remember
    what they have found here.
    """
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # what the import system says it means
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


@contextmanager
def uncollected() -> Iterator[None]:
    """Within this block Python looks for no garbage, and later not among what was made here.

    Imports make a million objects that stay for ever, and each search would walk over all of them.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
