"""What past runs took, planned and measured: added once, read by kind."""

from collections.abc import Mapping
from dataclasses import asdict, fields

from sqlalchemy import Connection, insert, select

from tunesmith.memory_plan.history import MemoryRun
from tunesmith.store.tables import memory_runs


def add_memory_run(connection: Connection, run: MemoryRun) -> None:
    """Remember a run, unless it is known already."""
    known = select(memory_runs.c.id).where(
        memory_runs.c.task_id == run.task_id, memory_runs.c.attempt == run.attempt
    )
    if connection.scalar(known) is None:
        connection.execute(insert(memory_runs).values(asdict(run)))


def read_memory_runs(
    connection: Connection, limit: int, kind: Mapping[str, str] | None = None
) -> list[MemoryRun]:
    """Return the newest runs, of one kind where columns and their values are given."""
    columns = [memory_runs.c[field.name] for field in fields(MemoryRun)]
    wanted = (memory_runs.c[name] == value for name, value in (kind or {}).items())
    query = select(*columns).where(*wanted).order_by(memory_runs.c.id.desc()).limit(limit)
    return [MemoryRun(**row._asdict()) for row in connection.execute(query)]
