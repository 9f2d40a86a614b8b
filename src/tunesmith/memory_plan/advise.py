"""Whether a plan fits its devices, and the nearest changes that would make it fit. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.memory_plan.records import MemoryPlan, Workload

Predict = Callable[[Workload], int]
"""The peak of a workload in bytes on each device, without what the libraries take."""

SHORTEST = 128  # tokens; a shorter sample is hardly one
LARGEST_BATCH_STEPS = 12  # halvings looked at


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
    predict: Predict,
    devices_at_most: int = 1,
) -> Advice:
    """Compare `plan` with the `available` bytes of a device; `predict` gives other peaks."""
    overhead = workload.overhead
    needed = plan.needed
    if available is None or needed <= available:
        return Advice(needed, available, None if available is None else True, ())
    changes = tuple(
        Change(arguments, peak)
        for arguments, changed in _changes(workload, lambda w: predict(w) + overhead <= available)
        if (peak := predict(changed)) + overhead <= available
    )
    more = tuple(_with_more_devices(workload, available - overhead, predict, devices_at_most))
    return Advice(needed, available, False, changes + more)


def _changes(
    workload: Workload, fits: Callable[[Workload], bool]
) -> Iterator[tuple[dict[str, Any], Workload]]:
    """Yield what may be changed, the cheapest in time first. Each goes only as far as it must."""
    smaller = _smaller_batch(workload, fits)
    yield _batch_arguments(smaller), smaller
    saving = replace(workload, gradient_checkpointing=True)
    if not workload.gradient_checkpointing:
        yield {"gradient_checkpointing": True}, saving
        if not fits(saving):
            both = _smaller_batch(saving, fits)
            yield {"gradient_checkpointing": True, **_batch_arguments(both)}, both
    shorter = _shorter(_smaller_batch(saving, fits), fits)
    if shorter.max_seq_length < workload.max_seq_length:
        arguments = {"max_seq_length": shorter.max_seq_length, "gradient_checkpointing": True}
        yield {**arguments, **_batch_arguments(shorter)}, shorter
    if workload.method == "full":
        yield from _with_method(workload, "lora", {}, fits)
    if workload.method != "qlora":
        for bits in (8, 4):
            yield from _with_method(workload, "qlora", {"quantization_bits": bits}, fits)
    elif workload.quantization_bits == 8:
        yield from _with_method(workload, "qlora", {"quantization_bits": 4}, fits)


def _with_method(
    workload: Workload, method: Any, more: dict[str, Any], fits: Callable[[Workload], bool]
) -> Iterator[tuple[dict[str, Any], Workload]]:
    """Yield another method; with checkpointing and a smaller batch if it takes them."""
    other = replace(workload, method=method, **more)
    if fits(other):
        yield {"method": method, **more}, other
        return
    saving = _smaller_batch(replace(other, gradient_checkpointing=True), fits)
    arguments = {"method": method, **more, "gradient_checkpointing": True}
    yield {**arguments, **_batch_arguments(saving)}, saving


def _with_more_devices(
    workload: Workload, available: int, predict: Predict, at_most: int
) -> Iterator[Change]:
    if workload.method != "full":
        return  # every device holds the whole base model
    count = max(2, workload.devices)
    while count <= at_most:
        peak = predict(replace(workload, devices=count, sharded=True))
        if peak <= available:
            yield Change({"devices": count}, peak)
            return
        count *= 2


def _smaller_batch(workload: Workload, fits: Callable[[Workload], bool]) -> Workload:
    """Halve the batch until it fits or is 1; the effective batch stays what it was."""
    found = workload
    for _ in range(LARGEST_BATCH_STEPS):
        batch = found.per_device_train_batch_size
        if batch == 1 or fits(found):
            break
        together = workload.per_device_train_batch_size * workload.gradient_accumulation_steps
        half = batch // 2
        found = replace(
            found,
            per_device_train_batch_size=half,
            gradient_accumulation_steps=-(-together // half),
        )
    return found


def _shorter(workload: Workload, fits: Callable[[Workload], bool]) -> Workload:
    found = workload
    while not fits(found) and found.max_seq_length // 2 >= SHORTEST:
        found = replace(found, max_seq_length=found.max_seq_length // 2)
    return found


def _batch_arguments(workload: Workload) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": workload.per_device_train_batch_size,
        "gradient_accumulation_steps": workload.gradient_accumulation_steps,
    }
