"""Measures a peer from inside its process. All peers train with transformers' Trainer.

Standard library until `install` is called; runs in the environment of each peer.
"""

import hashlib
import itertools
import os
import resource
import sys
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.peers.job import Job, Measured

PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets")


def asked() -> tuple[Job, float]:
    """Return the job and the time at which the process was started, from the command line."""
    return Job.read(sys.argv[1]), float(sys.argv[2])


def install(started_at: float, distribution: str) -> None:
    """Measure the Trainer that this process will make; print the result and leave at its end.

    Leaving there keeps the peer from saving a model that nobody wants.
    """
    from transformers import PreTrainedModel, Trainer, TrainerCallback, trainer

    before_model: list[int] = []
    tokens: list[int] = []
    labels: list[int] = []
    losses: list[float] = []
    first_batch: list[str] = []
    ends: list[float] = []
    first_step_seconds: list[float] = []

    load = PreTrainedModel.from_pretrained.__func__
    train_on_batch = Trainer.training_step

    def from_pretrained(cls: Any, *args: Any, **kwargs: Any) -> Any:
        before_model.append(resident_bytes())
        return load(cls, *args, **kwargs)

    def training_step(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        tokens.append(real_tokens(inputs))
        # A label is predicted from the token before it: the first of a row never is one.
        labels.append(int((inputs["labels"][:, 1:] != -100).sum()))
        if not losses:
            first_batch.extend(samples_in(inputs))
        loss = train_on_batch(self, model, inputs, *args, **kwargs)
        losses.append(float(loss))
        return loss

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            ends.append(time.perf_counter())

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append(time.perf_counter())
            if not first_step_seconds:
                first_step_seconds.append(time.time() - started_at)

        def on_train_end(self, *args: Any, **kwargs: Any) -> None:
            measured = Measured(
                seconds=[end - begin for begin, end in itertools.pairwise(ends)],
                tokens=tokens,
                labels=labels,
                losses=losses,
                first_batch=first_batch,
                peak_bytes=peak_bytes(),
                before_model_bytes=before_model[0],
                first_step_seconds=first_step_seconds[0],
                versions=versions([distribution, *PACKAGES]),
            )
            print(measured.line(), flush=True)
            os._exit(0)

    PreTrainedModel.from_pretrained = classmethod(from_pretrained)
    Trainer.training_step = training_step
    trainer.DEFAULT_CALLBACKS.append(Clock)


def real_tokens(inputs: Any) -> int:
    """Return how many tokens of a batch are no padding."""
    mask = inputs.get("attention_mask")
    if mask is None:  # laid end to end
        return int(inputs["input_ids"].numel())
    if mask.dim() == 4:  # a block per sample, 0 where one token sees another; padding sees nothing
        return int((mask[:, 0].diagonal(dim1=-2, dim2=-1) == 0).sum())
    return int(mask.sum())


def samples_in(inputs: Any) -> list[str]:
    """Return a hash of the tokens of each sample, [] where they cannot be told apart."""
    mask = inputs.get("attention_mask")
    if mask is not None and mask.dim() == 2:
        rows = zip(inputs["input_ids"], mask, strict=True)
        return [hash_of(row[kept.bool()].tolist()) for row, kept in rows]
    if mask is None and "position_ids" in inputs:  # they start again with each sample
        tokens = inputs["input_ids"][0].tolist()
        starts = (inputs["position_ids"][0] == 0).nonzero()[:, 0].tolist()
        ends = [*starts[1:], len(tokens)]
        return [hash_of(tokens[start:end]) for start, end in zip(starts, ends, strict=True)]
    return []


def hash_of(tokens: Iterable[int]) -> str:
    return hashlib.sha256(" ".join(map(str, tokens)).encode()).hexdigest()[:16]


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def versions(distributions: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
