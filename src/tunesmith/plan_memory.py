"""A memory plan for people and programs: from a request to figures, and whether they fit.

For API and command line. The formula is computed here, the trace in a process of its own.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from tunesmith import allocator, wire
from tunesmith.base_model import link_problem
from tunesmith.devices import Device
from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.families import CATALOGUE, family_of, find_entry
from tunesmith.memory_plan.advise import advise
from tunesmith.memory_plan.architecture import config_of
from tunesmith.memory_plan.available import cpu_memory, cpu_multiplies_bf16, installed_memory
from tunesmith.memory_plan.checkpointing import MARGIN
from tunesmith.memory_plan.division import estimated_bytes, must_be_sharded
from tunesmith.memory_plan.formula import knows
from tunesmith.memory_plan.formula import plan as formula
from tunesmith.memory_plan.records import DeviceType, MemoryPlan, Mode, Workload, workload_of
from tunesmith.paths import inside_roots
from tunesmith.settings import Settings
from tunesmith.side_process import ask
from tunesmith.spec import Float, GpuConfig, Int, Text, TrainingArguments

GIB = 2**30
TRACE_SECONDS = 60.0
MOST_DEVICES = 1024
DOUBT = 0.15  # by which the formula may be off: benchmarks/fit_memory_formula.py

Ratio = Callable[[str, str, str, str], float]
"""What past runs of a family, method, device type and mode took, as a part of their plans."""


class PlanRequest(BaseModel):
    """What is to be planned; as of a task, but that no data is needed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    base_model: Text = Field(min_length=1, max_length=4096)
    training_args: TrainingArguments = Field(default_factory=TrainingArguments)
    gpu_config: GpuConfig = Field(default_factory=GpuConfig)
    mode: Mode = "formula"
    device_type: DeviceType | None = None
    """Not given: what this machine trains on."""
    devices: Int = Field(1, ge=1, le=MOST_DEVICES)
    """How many are used; gpuConfig.cuda_visible_devices says so too."""
    device_memory_gib: Float | None = Field(None, gt=0, le=100_000)
    """Free memory of each device in GiB; not given: what this machine's have now."""

    @model_validator(mode="before")
    @classmethod
    def _given_only(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {
            name: value
            for name, value in values.items()
            if value is not None and (value != "" or name in ("baseModel", "base_model"))
        }


@dataclass(frozen=True)
class _Subject:
    """The base model that is planned for."""

    name: str
    config: dict[str, Any]
    family: str


def plan_memory(
    request: PlanRequest,
    settings: Settings,
    roots: Sequence[Path] | None,
    devices: Sequence[Device],
    ratio_of: Ratio = lambda *_: 1.0,
) -> wire.MemoryPlan:
    """Return the plan of `request`. Raises InvalidInput for a base model that has none.

    `roots` are the directories that may be read, None allows all; `devices` are the machine's.
    """
    subject = _subject(request.base_model, settings, roots)
    wanted = request.gpu_config.devices
    kind = request.device_type or (
        "cuda" if devices or request.device_memory_gib is not None else "cpu"
    )
    count = max(len(wanted), request.devices)
    free = _free(request, kind, _meant(devices, wanted))
    work = workload_of(
        request.training_args,
        dtype=_dtype(request.training_args.dtype, kind),
        gradient_checkpointing=False,
        device_type=kind,
        devices=count,
        jemalloc=kind == "cuda"
        or (request.gpu_config.max_memory_gib is None and allocator.will_be_used()),
    )
    asked: bool | Literal["auto"] = request.training_args.gradient_checkpointing
    if request.gpu_config.memory_optimization:
        asked = True
    modes: tuple[Mode, Mode] = ("formula", request.mode)
    ratios = {mode: ratio_of(subject.family, work.method, kind, mode) for mode in modes}
    divide = _Division(
        subject.config,
        request.training_args,
        _held(request, kind, _meant(devices, wanted), count),
        ratios["formula"],
    )
    chosen, found = _plan(subject, work, asked, free, request.mode, ratios, divide)
    known = knows(subject.config)

    def predict(other: Workload) -> int:
        # Other arguments are looked at by the formula, as far off as it is here.
        return round(formula(subject.config, divide.as_run(other)).peak * scale)

    scale = found.peak / formula(subject.config, chosen).peak if known else 1.0
    most = max(count, len(devices), 1) if devices else MOST_DEVICES if kind == "cuda" else 1
    advice = advise(found, chosen, free, predict if known else None, most)
    return wire.MemoryPlan(
        base_model=subject.name,
        family=subject.family,
        mode=found.mode,
        method=work.method,
        dtype=work.dtype,
        device_type=kind,
        devices=count,
        sharded=chosen.sharded,
        gradient_checkpointing=chosen.gradient_checkpointing,
        peak=found.peak,
        overhead=found.overhead,
        needed=found.needed,
        weights=found.weights,
        gradients=found.gradients,
        optimizer=found.optimizer,
        activations=found.activations,
        parameters=found.parameters,
        trainable_parameters=found.trainable_parameters,
        ratio=ratios[found.mode],
        available=advice.available,
        fits=advice.fits,
        changes=[
            wire.MemoryChange(arguments=change.arguments, peak=change.peak)
            for change in advice.changes
        ],
        advised=known,
    )


def plan_catalogue(training: TrainingArguments) -> list[wire.CataloguePlan]:
    """Return what the specification's models take by the formula, beside its own words.

    LoRA and QLoRA with 4 bit as `training` says, full with the batch and length of it; on a GPU
    in bf16 with gradient checkpointing.
    """
    found = []
    for entry in CATALOGUE:
        if not entry.specified:
            continue
        config = config_of(entry.name)
        assert config is not None
        work = workload_of(training, dtype="bf16", gradient_checkpointing=True, device_type="cuda")
        peaks = {
            method: formula(config, replace(work, method=method)).needed
            for method in ("lora", "qlora", "full")
        }
        found.append(
            wire.CataloguePlan(name=entry.name, size=entry.size, memory=entry.memory, **peaks)
        )
    return found


@dataclass(frozen=True)
class _Division:
    """Whether a run would divide its weights, which it asks the formula's plan."""

    config: dict[str, Any]
    training: TrainingArguments
    held: int | None
    """Bytes of a device; None where nothing is known."""
    ratio: float

    def as_run(self, work: Workload) -> Workload:
        planned = formula(self.config, replace(work, sharded=False)).corrected(self.ratio).needed
        return replace(work, sharded=self.needed(work, planned))

    def needed(self, work: Workload, planned: int) -> bool:
        there = sys.maxsize if self.held is None else self.held
        return must_be_sharded(self.training.sharding, work.method, work.devices, planned, there)


def _plan(
    subject: _Subject,
    work: Workload,
    asked: bool | Literal["auto"],
    free: int | None,
    mode: Mode,
    ratios: Mapping[Mode, float],
    divide: _Division,
) -> tuple[Workload, MemoryPlan]:
    """Return the workload as a run would decide it, and its plan: by the formula where it divides
    the weights, for a trace knows one device that holds the whole model."""
    config, ratio = subject.config, ratios["formula"]
    if mode == "trace" and not knows(config):
        # Such a run decides without the formula: nothing is recomputed unless it was asked for.
        chosen, found = _choose(subject, work, asked is True, free, mode, ratios[mode])
        planned = estimated_bytes(found.parameters, divide.training, work.dtype)
        if divide.needed(chosen, planned):
            raise _refused("no_divided_plan", model_type=str(config.get("model_type")))
        return chosen, found
    chosen, found = _choose(subject, work, asked, free, "formula", ratio)
    divided = divide.as_run(chosen)
    if divided.sharded:
        return divided, formula(config, divided).corrected(ratio)
    if mode == "formula":
        return chosen, found
    return _choose(subject, work, asked, free, mode, ratios[mode])


def _choose(
    subject: _Subject,
    work: Workload,
    asked: bool | Literal["auto"],
    free: int | None,
    mode: Mode,
    ratio: float,
) -> tuple[Workload, MemoryPlan]:
    """Return the workload with checkpointing decided, and its plan."""
    off, on = work, replace(work, gradient_checkpointing=True)
    wanted = {False: [off], True: [on], "auto": [off, on]}[asked]
    if asked == "auto" and mode == "trace":
        # A trace takes seconds; where the formula leaves no doubt, one is enough.
        quick = formula(subject.config, off).corrected(ratio).needed * MARGIN
        if free is None or quick * (1 + DOUBT) <= free:
            wanted = [off]
        elif quick * (1 - DOUBT) > free:
            wanted = [on]
    plans = [each.corrected(ratio) for each in _plans(subject.config, wanted, mode)]
    fits = free is None or plans[0].needed * MARGIN <= free
    place = 0 if fits or len(wanted) == 1 else 1
    return wanted[place], plans[place]


def _plans(config: dict[str, Any], wanted: list[Workload], mode: Mode) -> list[MemoryPlan]:
    if mode == "formula":
        return [formula(config, each) for each in wanted]
    request = {"config": config, "workloads": [asdict(each) for each in wanted]}
    told = ask("tunesmith.trainer.plan_process", request, TRACE_SECONDS)
    return [MemoryPlan(**each) for each in told]


def _subject(value: str, settings: Settings, roots: Sequence[Path] | None) -> _Subject:
    value = value.strip()
    if not value:
        raise _refused("string_too_short")
    below = settings.models_dir / value
    is_path = value.startswith(("/", "~"))
    allowed = None if roots is None else [*roots, settings.models_dir]
    if is_path or (".." not in Path(value).parts and below.is_dir()):
        path = inside_roots(value if is_path else str(below), "baseModel", allowed or [Path("/")])
        if not path.is_dir():
            raise _refused("base_model_missing", path=str(path))
        if problem := link_problem(path, allowed, "baseModel"):
            raise InvalidInput(problem)
        config = config_of(path)
        if config is None:
            raise _refused("base_model_no_config", path=str(path))
        return _Subject(str(path), config, family_of(path).name)
    entry = find_entry(value)
    config = config_of(entry.name) if entry else None
    if entry is None or config is None:
        raise _refused("no_config_to_plan", name=value)
    return _Subject(entry.name, config, entry.family)


def _free(request: PlanRequest, kind: DeviceType, devices: Sequence[Device]) -> int | None:
    """Return the free bytes of the fullest device; None where nothing is known."""
    if request.device_memory_gib is not None:
        free: int | None = int(request.device_memory_gib * GIB)
    elif kind == "cpu":
        free = cpu_memory()
    else:
        free = min(
            (each.memory_total_bytes - (each.memory_used_bytes or 0) for each in devices),
            default=None,
        )
    cap = request.gpu_config.max_memory_gib
    if cap is None:
        return free
    return int(cap * GIB) if free is None else min(free, int(cap * GIB))


def _held(
    request: PlanRequest, kind: DeviceType, devices: Sequence[Device], count: int
) -> int | None:
    """Return the bytes that a run counts on a device's having: a run's own `memory.held_by`."""
    if (cap := request.gpu_config.max_memory_gib) is not None:
        return int(cap * GIB)
    if request.device_memory_gib is not None:
        return int(request.device_memory_gib * GIB)
    if kind == "cpu":
        return installed_memory() // count
    return min((each.memory_total_bytes for each in devices), default=None)


def _meant(devices: Sequence[Device], wanted: Sequence[int]) -> list[Device]:
    return [each for each in devices if not wanted or each.index in wanted]


def _dtype(wanted: str, kind: DeviceType) -> Literal["fp32", "bf16"]:
    if wanted == "auto":
        return "bf16" if kind == "cuda" or cpu_multiplies_bf16() else "fp32"
    return "fp32" if wanted == "fp32" else "bf16"


def _refused(code: str, **params: Any) -> InvalidInput:
    return InvalidInput(FieldProblem("baseModel", f"field.{code}", params))
