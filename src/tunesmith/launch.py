"""Makes an attempt of a task and hands it to the executor."""

import shlex
import shutil
import time
from pathlib import Path

from tunesmith import allocator
from tunesmith.base_model import link_problem
from tunesmith.dataset import open_dataset
from tunesmith.errors import InvalidInput, RunFailure
from tunesmith.executor import Executor
from tunesmith.executor.supervisor import trainer_command
from tunesmith.families import family_of
from tunesmith.hub import TOKEN_VARIABLE, access_of
from tunesmith.memory_plan.history import learnt_ratio
from tunesmith.paths import inside_roots
from tunesmith.run_directory import RunDirectory, write_json
from tunesmith.settings import Settings
from tunesmith.spec import Spec
from tunesmith.store import AttemptRecord, Store, TaskRecord


def launch(
    task: TaskRecord,
    devices: tuple[int, ...],
    store: Store,
    executor: Executor,
    settings: Settings,
) -> None:
    """Start the next attempt of `task` on `devices`; nothing happens if the task changed meanwhile.

    Raises OSError when the run directory cannot be written or nothing could be started.
    """
    number = task.attempt + 1
    _still_as_created(task, settings)
    run = run_directory_of(settings, task.id, number)
    ratio = _memory_ratio(task, devices, store)
    changes = {"attempt": number, "devices": devices, "memory_ratio": ratio}
    spec = task.spec.model_copy(update=changes)
    run.path.mkdir(parents=True, exist_ok=True)
    write_json(run.spec, spec.model_dump(mode="json"))
    begun = store.begin_attempt(
        task,
        AttemptRecord(
            task_id=task.id,
            number=number,
            run_directory=str(run.path),
            handle=None,
            devices=devices,
            events_offset=0,
            last_seq=0,
            ended_at=None,
        ),
        spec,
        command=command_of(run, devices),
        log_path=str(run.log),
        started_at=time.time(),
    )
    if begun is None:  # stopped or deleted in between
        shutil.rmtree(run.path, ignore_errors=True)
        return
    store.save_handle(task.id, number, executor.start(run.path, environment_of(spec, settings)))


def _memory_ratio(task: TaskRecord, devices: tuple[int, ...], store: Store) -> float:
    """Return what past runs of this kind say of the trainer's own plan, which is the formula's."""
    device_type = "cuda" if devices and not task.spec.simulated else "cpu"
    family = family_of(Path(task.spec.base_model)).name
    method = task.spec.training.method
    return learnt_ratio(store.memory_runs_of(family, method, device_type, "formula"))


def _still_as_created(task: TaskRecord, settings: Settings) -> None:
    """Raise OSError if a path or a file leads elsewhere now, or the output is no longer free.

    A task may wait for days; paths were resolved and looked at when it was created.
    """
    spec = task.spec
    given = [spec.base_model, spec.dataset_path, spec.output_path]
    if spec.training.resume_from_checkpoint is not None:
        given.append(spec.training.resume_from_checkpoint)
    for path in map(Path, given):
        if path.resolve() != path:
            raise OSError(f"{path} has become a symbolic link since the task was created")
    # A directory's files may be links, and others than they were.
    models = [*settings.roots, settings.models_dir]
    if problem := link_problem(Path(spec.base_model), models, "baseModel"):
        raise OSError(str(InvalidInput(problem)))
    try:
        for file in open_dataset(Path(spec.dataset_path)).files.values():
            inside_roots(str(file), "datasetPath", settings.roots)
    except RunFailure:
        pass  # the trainer tells what is wrong with the data, and has a hint for it
    except InvalidInput as refused:
        raise OSError(str(refused)) from None
    output = Path(spec.output_path)
    if task.attempt == 0 and output.is_dir() and any(output.iterdir()):
        raise OSError(f"{output} has been filled since the task was created")


def run_directory_of(settings: Settings, task_id: int, number: int) -> RunDirectory:
    """Return where an attempt of a task lies, made or not."""
    return RunDirectory(settings.tasks_dir / str(task_id) / str(number))


def environment_of(spec: Spec, settings: Settings) -> dict[str, str]:
    """Return the variables by which a trainer sees its GPUs and no others, and knows the hub.

    On a CPU those of its allocator too.
    """
    variables = {
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, spec.devices)),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # the driver's order, which `devices` counts in
    }
    on_cpu = not spec.devices or spec.simulated
    # A cap counts address space, of which jemalloc holds more than it uses.
    if on_cpu and spec.gpu.max_memory_gib is None:
        variables |= allocator.environment()
    access = access_of(settings)
    # A token is for the hub that it was set for, and for nobody else.
    if spec.hub and access.token and access.endpoint == spec.hub.endpoint:
        variables[TOKEN_VARIABLE] = access.token
    return variables


def command_of(run: RunDirectory, devices: tuple[int, ...]) -> str:
    """Return the command of an attempt as a person would type it. For reference, never run."""
    visible = ",".join(map(str, devices)) or "''"
    return f"CUDA_VISIBLE_DEVICES={visible} {shlex.join(trainer_command(run.path))}"
