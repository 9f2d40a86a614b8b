"""A run and its memory plan: what it decides before the base model is read, and its record."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith import allocator
from tunesmith.errors import InvalidInput, RunFailure
from tunesmith.events import MemoryPlanned
from tunesmith.families import family_of
from tunesmith.memory_plan.advise import advise
from tunesmith.memory_plan.checkpointing import decide
from tunesmith.memory_plan.formula import plan
from tunesmith.memory_plan.history import comparable
from tunesmith.memory_plan.records import MemoryPlan, Workload, workload_of
from tunesmith.spec import Spec
from tunesmith.trainer import memory
from tunesmith.trainer.report import Report
from tunesmith.trainer.room import largest_batches, size_of

if TYPE_CHECKING:
    import torch

    from tunesmith.prompt.encoded import EncodedSamples
    from tunesmith.trainer.forward import Forward

DeviceType = Literal["cpu", "cuda"]


class RunPlan:
    """The plan of one run. Where the base model is of a kind that has none, nothing is decided."""

    def __init__(self, spec: Spec, dtype: Any, device: "torch.device") -> None:
        self._spec = spec
        self._device_type: DeviceType = "cuda" if device.type == "cuda" else "cpu"
        self._config = _config(Path(spec.base_model))
        self._available = memory.available(device, spec.gpu.max_memory_gib)
        self._workload = workload_of(
            spec.training,
            dtype=dtype,
            gradient_checkpointing=spec.gradient_checkpointing,
            device_type=self._device_type,
            jemalloc=allocator.is_used(),
        )

    def checkpointing(self, report: Report) -> bool:
        """Return whether activations are recomputed; tell it where the plan decided so.

        The data has not been read: samples count as long as they may be.
        """
        spec = self._spec
        try:
            found = decide(
                self._config,
                self._workload,
                spec.wanted_checkpointing,
                self._available,
                spec.memory_ratio,
            )
        except InvalidInput:
            return spec.gradient_checkpointing
        if found.gradient_checkpointing and spec.wanted_checkpointing == "auto":
            assert found.available is not None
            report.warning(
                "checkpointing_switched_on",
                needed_gib=_gib(found.without),
                available_gib=_gib(found.available),
                planned_gib=_gib(found.plan.needed),
            )
        return found.gradient_checkpointing

    def needed(self, checkpointing: bool) -> int | None:
        """Return the bytes on a device that holds the whole model; None without a plan."""
        try:
            planned = plan(
                self._config, replace(self._workload, gradient_checkpointing=checkpointing)
            )
        except InvalidInput:
            return None
        return planned.corrected(self._spec.memory_ratio).needed

    def explained(self, failure: RunFailure, checkpointing: bool) -> RunFailure:
        """Return `sample_out_of_memory` with how much is lacking and what would help, where the
        plan knows; every other failure as it is."""
        if failure.code != "sample_out_of_memory" or self._available is None:
            return failure
        alone = replace(
            self._workload,
            per_device_train_batch_size=1,
            max_seq_length=failure.params["tokens"],
            gradient_checkpointing=checkpointing,
        )

        def planned(work: Workload) -> MemoryPlan:
            return plan(self._config, work).corrected(self._spec.memory_ratio)

        try:
            advice = advise(planned(alone), alone, self._available, lambda w: planned(w).peak)
        except InvalidInput:
            return failure
        if advice.fits:  # the plan is wrong, then
            return failure
        return RunFailure(
            "sample_too_large",
            **failure.params,
            needed_gib=_gib(advice.needed),
            available_gib=_gib(self._available),
            change=advice.changes[0].arguments if advice.changes else {},
        )

    def record(
        self,
        forward: "Forward",
        samples: "EncodedSamples",
        checkpointing: bool,
        report: Report,
        *,
        devices: int,
        sharded: bool,
    ) -> None:
        """Report what the largest micro-batch that the data can make will take on a device."""
        work = _with_data(self._workload, forward, samples, checkpointing)
        work = replace(work, devices=devices, sharded=sharded)
        try:
            planned = plan(self._config, work)
        except InvalidInput:
            return
        report.memory_planned(
            MemoryPlanned(
                mode="formula",
                family=family_of(Path(self._spec.base_model)).name,
                method=work.method,
                device_type=self._device_type,
                gradient_checkpointing=checkpointing,
                weights_bytes=planned.weights,
                gradients_bytes=planned.gradients,
                optimizer_bytes=planned.optimizer,
                activations_bytes=planned.activations,
                planned_bytes=comparable(planned, self._device_type),
                ratio=self._spec.memory_ratio,
                available_bytes=self._available,
            )
        )


def _with_data(
    workload: Workload, forward: "Forward", samples: "EncodedSamples", checkpointing: bool
) -> Workload:
    count = workload.per_device_train_batch_size * workload.gradient_accumulation_steps
    packed = forward.packed
    longest, most_learnt = largest_batches(samples, count, workload.tokens, packed=packed)
    tokens = size_of(samples, longest, packed=packed)
    # Our kernels hold a few logits at a time, however many there are.
    learnt = samples.count_labels(longest if forward.by_kernels else most_learnt)
    return replace(
        workload,
        largest_tokens=tokens,
        label_share=min(1.0, learnt / tokens),
        gradient_checkpointing=checkpointing,
    )


def _config(base_model: Path) -> dict[str, Any]:
    """Return config.json as it is: a base model in the original layout is converted by now."""
    try:
        found = json.loads((base_model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _gib(size: int) -> float:
    return round(size / memory.GIB, 2)
