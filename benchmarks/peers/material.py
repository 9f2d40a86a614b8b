"""A workload made ready on disk: the model, and the samples in the order they are learnt in."""

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.flops import Shape, shape_of
from benchmarks.peers.job import BATCH_SIZE, MAX_LENGTH
from benchmarks.peers.workloads import (
    Row,
    Workload,
    Writer,
    encoded,
    make_model,
    taken,
    write_rows,
)

PACKED_SAMPLES = 3  # a packed step holds up to so many times the samples


@dataclass(frozen=True)
class Material:
    """A workload made ready on disk."""

    name: str
    model: Path
    shape: Shape
    data: Path
    """The samples of `steps` steps."""
    packed_data: Path
    """More samples, for modes that pack."""
    mean_square_length: float
    tokens_per_step: int
    padding: float
    """Part of a padded batch's tokens."""


def make(name: str, workload: Workload, base_model: Path, steps: int, directory: Path) -> Material:
    """Write model and samples of a workload to `directory`.

    Samples over MAX_LENGTH are left out: peers do not cut alike.
    """
    model = make_model(workload, base_model, directory / "model")
    rows = fitting(workload.rows(Writer(model / "tokenizer.json")), model, directory)
    data = write_rows(taken(rows, steps), directory / "samples.jsonl")
    packed = write_rows(taken(rows, steps * PACKED_SAMPLES), directory / "packed.jsonl")
    lengths = encoded(data, model).lengths
    longest = lengths.reshape(steps, BATCH_SIZE).max(axis=1)
    return Material(
        name,
        model,
        shape_of(model),
        data,
        packed,
        mean_square_length=float((lengths**2).sum() / lengths.sum()),
        tokens_per_step=int(lengths.sum() / steps),
        padding=float(1 - lengths.sum() / (longest.sum() * BATCH_SIZE)),
    )


def fitting(rows: list[Row], model: Path, directory: Path) -> list[Row]:
    lengths = encoded(write_rows(rows, directory / "all.jsonl"), model).lengths
    fit = [row for row, length in zip(rows, lengths, strict=True) if length <= MAX_LENGTH]
    if len(fit) < len(rows):
        print(f"{len(rows) - len(fit)} of {len(rows)} samples are over {MAX_LENGTH}: left out")
    if not fit:
        sys.exit("No sample is left.")
    return fit
