"""Tasks and attempts as the tests of the store make them."""

from typing import Any

from tunesmith.spec import GpuConfig, Spec, TrainingArguments
from tunesmith.store import AttemptRecord, NewTask, Store, TaskRecord


def new_task(**changes: Any) -> NewTask:
    spec = {
        "task_id": 0,
        "attempt": 0,
        "name": "persona",
        "description": None,
        "base_model": "/srv/models/Qwen3-0.6B",
        "dataset_path": "/srv/data/persona",
        "output_path": "",
        "training": TrainingArguments(),
        "given": (),
        "gpu": GpuConfig(),
        "devices": (),
    }
    task = {
        "default_outputs": "/srv/outputs",
        "base_model": "Qwen3-0.6B",
        "user_id": None,
        "checked": True,
    }
    for name, value in changes.items():
        (task if name in task else spec)[name] = value
    return NewTask(spec=Spec(**spec), **task)


def begin(store: Store, task: TaskRecord, number: int = 1) -> TaskRecord | None:
    attempt = AttemptRecord(
        task_id=task.id,
        number=number,
        run_directory=f"/srv/tasks/{task.id}/{number}",
        handle=None,
        devices=(1, 0),
        events_offset=0,
        last_seq=0,
        ended_at=None,
    )
    return store.begin_attempt(
        task,
        attempt,
        task.spec.model_copy(update={"attempt": number, "devices": (1, 0)}),
        command="python -m tunesmith.trainer /srv/tasks/1/1",
        log_path="/srv/tasks/1/1/train.log",
        started_at=1000.0,
    )


def running(store: Store, **changes: Any) -> TaskRecord:
    task = begin(store, store.insert(new_task(**changes)))
    assert task is not None
    return task
