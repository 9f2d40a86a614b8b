"""Times a task list over 100,000 tasks: page 500, by status, part of a name, keyword; ordered.

    python benchmarks/store_list.py [--tasks 100000] [--repeat 15]

Prints medians of `Store.page`, total count included. To be reached: by status at most
20 ms, by a part of the name at most 80 ms, ordered by anything but UpdatedAt at most 50 ms.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from tunesmith.spec import GpuConfig, Spec, TrainingArguments
from tunesmith.status import TERMINAL, Status
from tunesmith.store import ORDER_KEYS, NewTask, Store, TaskQuery
from tunesmith.store.database import open_database
from tunesmith.store.rows import new_task_row
from tunesmith.store.tables import specs, tasks

WORDS = ["persona", "support", "legal", "medical", "code", "story", "客服", "问答", "翻译", "chat"]
BASES = ["Qwen3-8B", "Qwen3-0.6B", "SmolLM2-135M-Instruct", "Llama-3.2-3B", "chatglm3-6b"]
STATUSES = [Status.COMPLETED] * 6 + [Status.FAILED] * 2 + [Status.STOPPED] * 2
BATCH = 5_000

QUERIES = {
    "by status": TaskQuery(status=Status.COMPLETED),
    "by another status": TaskQuery(status=Status.FAILED),
    "by part of the name": TaskQuery(name="LEGAL"),
    "by another part of the name": TaskQuery(name="r-7"),
    "by part of the name (no match)": TaskQuery(name="no such name"),
    "by status and part of the name": TaskQuery(status=Status.COMPLETED, name="legal"),
    "by keyword": TaskQuery(keyword="legal"),
    "by keyword (no match)": TaskQuery(keyword="no such word"),
    "by base model": TaskQuery(base_model="qwen3-8"),
    "no filter": TaskQuery(),
    **{f"ordered by {key}": TaskQuery(order_key=key) for key in ORDER_KEYS},
    **{f"ordered by {key}, descending": TaskQuery(order_key=key, desc=True) for key in ORDER_KEYS},
    "by status, ordered by startedAt": TaskQuery(status=Status.COMPLETED, order_key="startedAt"),
    "by part of the name, ordered by startedAt": TaskQuery(name="LEGAL", order_key="startedAt"),
    "by keyword (no match), ordered by startedAt": TaskQuery(
        keyword="no such word", order_key="startedAt"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "tunesmith.db"
        url = f"sqlite:///{file}"
        engine = open_database(url)
        fill(engine, options.tasks)
        engine.dispose()
        print(f"{options.tasks} tasks, {file.stat().st_size / 2**20:.0f} MiB; page 500 of 10")
        store = Store.open(url)
        for title, query in QUERIES.items():
            report(title, store, query, options.repeat)
        store.close()


def report(title: str, store: Store, query: TaskQuery, repeat: int) -> None:
    query = TaskQuery(**vars(query) | {"page": 500, "page_size": 10})
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        rows, total = store.page(query)
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds) * 1000
    print(f"{median:7.1f} ms  {title}: {len(rows)} of {total}")


def fill(engine: Engine, count: int) -> None:
    rows = task_rows(count)
    with engine.execution_options(writes=True).begin() as connection:
        while batch := list(islice(rows, BATCH)):
            connection.execute(insert(tasks), [row for row, _ in batch])
            connection.execute(insert(specs), [spec for _, spec in batch])


def task_rows(count: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Make tasks that have ended, and some that wait, as a store of some years holds them."""
    chance = random.Random(1)
    training = TrainingArguments()
    for task_id in range(1, count + 1):
        base = chance.choice(BASES)
        first, second, third = chance.sample(WORDS, 3)
        spec = Spec(
            task_id=task_id,
            attempt=1,
            name=f"{first.capitalize()} {second} r-{chance.randrange(100)} {task_id}",
            description=f"{third} {second}: tuned on what the team gathered in week {task_id % 53}",
            base_model=f"/srv/models/{base}",
            dataset_path=f"/srv/data/{first}/{second}/train.jsonl",
            output_path=f"/srv/tunesmith/outputs/{task_id}",
            training=training,
            given=("num_train_epochs", "learning_rate"),
            gpu=GpuConfig(),
            devices=(0,),
        )
        new = NewTask(spec=spec, default_outputs="", base_model=base, user_id=1, checked=True)
        at = 1_700_000_000.0 + task_id
        row = new_task_row(new, at) | ended(chance, task_id, at)
        yield row, {"task_id": task_id, "spec": spec.model_dump_json()}


def ended(chance: random.Random, task_id: int, at: float) -> dict[str, Any]:
    status = Status.PENDING if chance.random() < 0.005 else chance.choice(STATUSES)
    if status not in TERMINAL:
        waits = {"code": "queue.starting", "params": {}}
        unset = {"started_at": None, "finished_at": None, "error": None}
        return {"status": status, "queue_reason": waits, **unset}
    run_directory = f"/srv/tunesmith/tasks/{task_id}/1"
    failed = {"code": "out_of_memory", "params": {"device": "GPU 0"}, "log_lines": ["x" * 120] * 8}
    return {
        "status": status,
        "command": f"/srv/tunesmith/.venv/bin/python -m tunesmith.trainer {run_directory}",
        "log_path": f"{run_directory}/train.log",
        "attempt": 1,
        "devices": [0],
        "pid": 4000 + task_id,
        "started_at": at + 5,
        "finished_at": at + 3600,
        "step": chance.randrange(1000),
        "total_steps": 1000,
        "epoch": 3.0,
        "tokens_per_second": 5120.5,
        "metrics": {"loss": 1.25, "learning_rate": 1e-5, "grad_norm": 0.7, "eval_loss": 1.31},
        "queue_reason": None,
        "error": failed if status is Status.FAILED else None,
    }


if __name__ == "__main__":
    main()
