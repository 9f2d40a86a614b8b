"""Whether a plan fits its devices, and the nearest changes that would make it fit. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from tunesmith.memory_plan.records import MemoryPlan, Workload

Predict = Callable[[Workload], int]
"""The peak of a workload in bytes on each device, without what the libraries take; divided among
the devices where the run would be."""

SHORTEST = 128  # tokens; a shorter sample is hardly one
MOST_PASSES = 65_536  # of gradient_accumulation_steps, which the spec allows no more of
# What a change may be made of, as the reader is told it.
ARGUMENTS = (
    "method",
    "quantization_bits",
    "max_seq_length",
    "gradient_checkpointing",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
)


@dataclass(frozen=True)
class Change:
    """Arguments that would make it fit, with what they would need then."""

    arguments: dict[str, Any]
    """Training arguments; `devices` is the number of devices."""
    peak: int
    """Bytes on each device, without what the libraries take."""


@dataclass(frozen=True)
class Advice:
    """What a plan needs beside what there is."""

    needed: int
    """Bytes on each device: the peak and what the libraries take."""
    available: int | None
    """Free bytes of the fullest device; None where nothing is known."""
    fits: bool | None
    changes: tuple[Change, ...]
    """Cheapest in time first; () where it fits, or nothing would help."""


def advise(
    plan: MemoryPlan,
    workload: Workload,
    available: int | None,
    predict: Predict | None,
    devices_at_most: int = 1,
) -> Advice:
    """Compare `plan` with the `available` bytes of a device.

    `predict` gives other peaks; without it no changes are looked for.
    """
    overhead = workload.overhead
    needed = plan.needed
    if available is None or needed <= available:
        return Advice(needed, available, None if available is None else True, ())
    if predict is None:
        return Advice(needed, available, False, ())
    changes = tuple(
        Change(_differences(workload, changed), peak)
        for changed in _changes(workload, lambda w: predict(w) + overhead <= available)
        if (peak := predict(changed)) + overhead <= available
    )
    more = tuple(_with_more_devices(workload, available - overhead, predict, devices_at_most))
    return Advice(needed, available, False, changes + more)


def _changes(workload: Workload, fits: Callable[[Workload], bool]) -> Iterator[Workload]:
    """Yield what may be changed, the cheapest in time first. Each goes only as far as it must."""
    yield _smaller_batch(workload, fits)
    saving = replace(workload, gradient_checkpointing=True)
    if not workload.gradient_checkpointing:
        yield saving
        if not fits(saving):
            yield _smaller_batch(saving, fits)
    shorter = _shorter(_smaller_batch(saving, fits), fits)
    if shorter.max_seq_length < workload.max_seq_length:
        yield shorter
    if workload.method == "full":
        yield _enough(replace(workload, method="lora"), fits)
    if workload.method != "qlora":
        for bits in (8, 4):
            yield _enough(_quantised(workload, bits), fits)
    elif workload.quantization_bits == 8:
        yield _enough(_quantised(workload, 4), fits)


def _quantised(workload: Workload, bits: Literal[4, 8]) -> Workload:
    return replace(workload, method="qlora", quantization_bits=bits)


def _enough(workload: Workload, fits: Callable[[Workload], bool]) -> Workload:
    """Return the workload; with checkpointing and a smaller batch if it takes them."""
    if fits(workload):
        return workload
    return _smaller_batch(replace(workload, gradient_checkpointing=True), fits)


def _with_more_devices(
    workload: Workload, available: int, predict: Predict, at_most: int
) -> Iterator[Change]:
    if workload.method == "qlora":
        return  # quantised weights are never divided

    def peak(count: int) -> int:
        return predict(replace(workload, devices=count))

    counts = range(workload.devices + 1, at_most + 1)
    # The more share a model, the less each holds.
    place = bisect_left(counts, True, key=lambda count: peak(count) <= available)
    if place < len(counts):
        yield Change({"devices": counts[place]}, peak(counts[place]))


def _smaller_batch(workload: Workload, fits: Callable[[Workload], bool]) -> Workload:
    """Make the batch smaller until it fits or is 1; the effective batch stays what it was."""
    batch = workload.per_device_train_batch_size
    together = batch * workload.gradient_accumulation_steps
    found = workload
    for size in range(batch, 0, -1):
        if together % size or together // size > MOST_PASSES:
            continue
        found = replace(
            workload,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=together // size,
        )
        if fits(found):
            break
    return found


def _shorter(workload: Workload, fits: Callable[[Workload], bool]) -> Workload:
    found = workload
    while not fits(found) and found.max_seq_length // 2 >= SHORTEST:
        found = replace(found, max_seq_length=found.max_seq_length // 2)
    return found


def _differences(workload: Workload, changed: Workload) -> dict[str, Any]:
    """Return the arguments that differ; how many bits, too, where there were none."""
    names = [name for name in ARGUMENTS if getattr(workload, name) != getattr(changed, name)]
    if "method" in names and changed.method == "qlora" and "quantization_bits" not in names:
        names.insert(1, "quantization_bits")
    return {name: getattr(changed, name) for name in names}
