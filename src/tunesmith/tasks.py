"""Create, stop and delete: what a user may do to a task."""

import os
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from tunesmith.base_model import link_problem, problem_with
from tunesmith.chatglm.config import problem_at
from tunesmith.dataset import CheckResult, check, open_dataset
from tunesmith.devices import Device
from tunesmith.errors import Conflict, FieldProblem, InvalidInput, RunFailure
from tunesmith.events import Phase
from tunesmith.hub import find_base_model
from tunesmith.paths import inside_roots
from tunesmith.settings import Settings
from tunesmith.spec import Spec, TaskRequest
from tunesmith.status import TERMINAL, Status
from tunesmith.store import NewTask, Store, TaskRecord

CREATION_READS_SECONDS = 2.0


def create(
    request: TaskRequest,
    *,
    store: Store,
    settings: Settings,
    devices: Sequence[Device],
    user_id: int | None = None,
) -> TaskRecord:
    """Store a pending task for `request`.

    Raises InvalidInput naming every wrong field, and Conflict when the queue is full or the
    output path belongs to an unfinished task. Nothing is left behind then.
    """
    spec, read = examine(request, settings=settings, devices=devices)
    if store.count_pending() >= settings.queue_limit:
        raise Conflict("queue_full", limit=settings.queue_limit)
    return store.insert(
        NewTask(
            spec=spec,
            default_outputs=str(settings.outputs_dir),
            base_model=request.base_model,
            user_id=user_id,
            checked=read.complete,
        )
    )


def examine(
    request: TaskRequest, *, settings: Settings, devices: Sequence[Device]
) -> tuple[Spec, CheckResult]:
    """Return the spec of `request`, and what was read of its data in 2 s at most.

    Raises InvalidInput naming every wrong field.
    """
    spec = resolve(request, settings=settings, roots=settings.roots, devices=devices)
    training = spec.training
    split = None if training.split is None else tuple(training.split.items())
    try:
        dataset = open_dataset(Path(spec.dataset_path), training.split, training.seed)
        files = tuple(_identity(file) for file in dataset.files.values())
        return spec, _read(dataset.path, files, split, training.seed, training.on_bad_rows)
    except RunFailure as failure:
        raise InvalidInput(_data_problem(failure)) from None


def stop(task_id: int, *, store: Store) -> TaskRecord:
    """Stop a task: a pending one at once, a running one when its trainer has saved.

    Asking again changes nothing. Raises NotFound, or Conflict for a task that has ended.
    """
    while True:
        task = store.task(task_id)
        if task.status in TERMINAL:
            raise Conflict("task_already_ended", id=task.id, status=task.status.value)
        if task.stop_requested_at is not None:
            return task
        now = time.time()
        if task.status is Status.PENDING:
            changed = store.set_status(
                task, Status.STOPPED, stop_requested_at=now, finished_at=now, queue_reason=None
            )
        else:
            changed = store.update(task, stop_requested_at=now, phase=Phase.STOPPING.value)
        if changed:
            return changed


def delete(task_id: int, *, store: Store) -> None:
    """Take a task out of sight; the daemon stops it and removes its run directory and row.

    The output stays. Raises NotFound.
    """
    while not store.update(store.task(task_id), delete_requested_at=time.time()):
        pass  # the row changed in between: read it again


def resolve(
    request: TaskRequest,
    *,
    settings: Settings,
    roots: Sequence[Path] | None,
    devices: Sequence[Device],
) -> Spec:
    """Return the spec of `request`: paths absolute, base model, data set, output and GPUs there.

    Paths must be inside `roots`; None allows any (a person at their own shell). Task id and
    attempt are 0, the devices not chosen yet, an output path not given stays "". Raises
    InvalidInput naming every wrong field.
    """
    problems: list[FieldProblem] = []

    def path_of(value: str, field: str, *also: Path) -> Path | None:
        try:
            return inside_roots(value, field, [Path("/")] if roots is None else [*roots, *also])
        except InvalidInput as refused:
            problems.extend(refused.problems)
            return None

    found, model = None, None
    try:
        found = find_base_model(request.base_model, settings)
    except InvalidInput as refused:
        problems.extend(refused.problems)
    else:
        model = path_of(found.path, "baseModel", settings.models_dir)
        there = model and (not found.hub or model.exists())
        if model and there:
            allowed = None if roots is None else [*roots, settings.models_dir]
            if problem := (
                link_problem(model, allowed, "baseModel")
                or problem_with(model, "baseModel")
                or problem_at(model, "baseModel")
            ):
                problems.append(problem)

    data = path_of(request.dataset_path, "datasetPath")
    if data:
        try:
            dataset = open_dataset(data, request.training_args.split)
        except RunFailure as failure:
            problems.append(_data_problem(failure))
        else:
            # A file of an allowed directory may be a symlink out of it.
            for file in dataset.files.values():
                path_of(str(file), "datasetPath")

    output = path_of(request.output_path, "outputPath") if request.output_path else None
    if output:
        problems += _output_problems(output, settings)
    training = request.training_args
    if training.resume_from_checkpoint is not None:
        field = "trainingArgs.resume_from_checkpoint"
        if checkpoint := path_of(training.resume_from_checkpoint, field):
            problems += _checkpoint_problems(checkpoint, field)
            training = training.model_copy(update={"resume_from_checkpoint": str(checkpoint)})
    problems += _device_problems(request, devices)
    if problems:
        raise InvalidInput(*problems)
    return Spec(
        task_id=0,
        attempt=0,
        name=request.name,
        description=request.description,
        base_model=str(model),
        hub=found.hub if found else None,
        cache_dir=str(settings.cache_dir),
        dataset_path=str(data),
        output_path=str(output) if output else "",
        training=training,
        given=tuple(sorted(request.training_args.model_fields_set)),
        gpu=request.gpu_config,
        devices=(),
        simulated=any(device.simulated for device in devices),
    )


# A form has its request checked at every change, and the same data is created with then.
@lru_cache(maxsize=32)
def _read(
    path: Path,
    _files: tuple[tuple[object, ...], ...],
    split: tuple[tuple[str, float], ...] | None,
    seed: int,
    on_bad_rows: Literal["error", "skip"],
) -> CheckResult:
    """Read the data under `path` for a while; once as long as `_files` stay the same."""
    dataset = open_dataset(path, None if split is None else dict(split), seed)
    return check(dataset, on_bad_rows, CREATION_READS_SECONDS)


def _identity(file: Path) -> tuple[object, ...]:
    """Return what changes when `file` is written to or replaced."""
    try:
        stat = file.stat()
    except OSError:  # whoever reads it will tell
        return (file,)
    return file, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _data_problem(failure: RunFailure) -> FieldProblem:
    of_split = failure.code in ("dataset_has_splits", "split_impossible")
    field = "trainingArgs.split" if of_split else "datasetPath"
    return FieldProblem(field, f"field.{failure.code}", failure.params)


def _checkpoint_problems(path: Path, field: str) -> Iterator[FieldProblem]:
    """Whether it fits this run is found out when that has data and model: by the trainer."""
    if not path.is_dir():
        yield FieldProblem(field, "field.checkpoint_missing", {"path": str(path)})
        return
    for name in ("trainer_state.json", "optimizer.pt", "rng_state.pt"):
        if not (path / name).is_file():
            params = {"path": str(path), "missing": name}
            yield FieldProblem(field, "field.checkpoint_incomplete", params)
            return


def _output_problems(output: Path, settings: Settings) -> Iterator[FieldProblem]:
    def problem(code: str, **params: str) -> FieldProblem:
        return FieldProblem("outputPath", f"field.{code}", {"path": str(output), **params})

    if output.is_relative_to(settings.tasks_dir):
        yield problem("output_in_tasks")
        return
    if output.is_relative_to(settings.outputs_dir):
        yield problem("output_is_default")
        return
    try:
        nearest = next(path for path in (output, *output.parents) if path.exists())
        if not nearest.is_dir():
            yield problem("output_not_directory")
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield problem("output_not_writable", reason=f"{nearest} is not writable")
        elif nearest == output and any(output.iterdir()):
            yield problem("output_not_empty")
    except OSError as error:
        yield problem("output_not_writable", reason=error.strerror or str(error))


def _device_problems(request: TaskRequest, devices: Sequence[Device]) -> Iterator[FieldProblem]:
    field = "gpuConfig.cuda_visible_devices"
    wanted = request.gpu_config.devices
    if wanted and not devices:
        yield FieldProblem(field, "field.no_gpu")
    elif missing := sorted(set(wanted) - {device.index for device in devices}):
        params = {"missing": missing, "count": len(devices)}
        yield FieldProblem(field, "field.devices_unknown", params)
