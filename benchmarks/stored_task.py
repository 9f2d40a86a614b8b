"""A task in a store, begun as the server begins one, without any trainer: for benchmarks."""

import time
from pathlib import Path

from tunesmith.spec import GpuConfig, Spec, TrainingArguments
from tunesmith.store import AttemptRecord, NewTask, Store, TaskRecord


def begun_task(
    store: Store, data_dir: Path, *, run_directory: Path, log: Path, handle: str | None = None
) -> TaskRecord:
    """Store a task and the beginning of its first attempt; return it, running."""
    spec = Spec(
        task_id=0,
        attempt=0,
        name="benchmark",
        description=None,
        base_model="/m",
        dataset_path="/d",
        output_path="",
        training=TrainingArguments(),
        given=(),
        gpu=GpuConfig(),
        devices=(),
    )
    task = store.insert(NewTask(spec, str(data_dir / "outputs"), "/m", None, checked=True))
    attempt = AttemptRecord(task.id, 1, str(run_directory), handle, (), 0, 0, None)
    running = store.begin_attempt(
        task, attempt, spec, command="", log_path=str(log), started_at=time.time()
    )
    assert running is not None
    return running
