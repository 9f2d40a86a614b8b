"""The store: every question that is asked of the database and every change made to it.

A method is one transaction. Methods may be called from any thread.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from tunesmith.errors import Conflict, NotFound
from tunesmith.events import Download, Event, Phase, Progress
from tunesmith.memory_plan.history import RUNS_AT_MOST, MemoryRun
from tunesmith.spec import Spec
from tunesmith.status import TERMINAL, Status, advance
from tunesmith.store.curves import Curves, read_curves
from tunesmith.store.database import open_database
from tunesmith.store.lists import LARGEST, read_base_models, read_counts, read_page
from tunesmith.store.memory_runs import add_memory_run, read_memory_runs
from tunesmith.store.records import AttemptRecord, NewTask, StoredEvent, TaskQuery, TaskRecord
from tunesmith.store.rows import (
    UNREPORTED,
    attempt_record,
    event_row,
    new_task_row,
    select_attempts,
    select_events,
    select_tasks,
    stored_event,
    task_record,
)
from tunesmith.store.tables import attempts, specs, tasks
from tunesmith.store.tables import events as event_table


class Store:
    """Tasks with their specs, attempts and events.

    A task's row has a version. A change that names the record it was decided on is made only if
    the version is still that record's; None as an answer means that somebody was faster.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(writes=True)

    @classmethod
    def open(cls, url: str) -> "Store":
        """Open the store at an SQLAlchemy URL, made or migrated if need be.

        Raises Misconfigured: `store_newer`, `store_unreadable`.
        """
        return cls(open_database(url))

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    # Tasks

    def insert(self, new: NewTask) -> TaskRecord:
        """Store a new task as pending and claim its output path.

        Raises Conflict `output_claimed` if a task that has not ended writes there.
        """
        now = time.time()
        with self._write() as connection:
            made = connection.execute(insert(tasks).values(new_task_row(new, now)))
            assert made.inserted_primary_key is not None
            task_id: int = made.inserted_primary_key[0]
            path = new.spec.output_path or f"{new.default_outputs}/{task_id}"
            _claim_output(connection, task_id, path)
            spec = new.spec.model_copy(update={"task_id": task_id, "output_path": path})
            connection.execute(insert(specs).values(task_id=task_id, spec=spec.model_dump_json()))
            _add_event(connection, task_id, 0, "status", {"status": Status.PENDING}, now)
            return _task(connection, task_id)

    def task(self, task_id: int) -> TaskRecord:
        """Return a task; raise NotFound if there is none or its deletion was requested."""
        visible = tasks.c.delete_requested_at.is_(None)
        with self._read() as connection:
            query = select_tasks().where(tasks.c.id == _storable(task_id), visible)
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("task_not_found", id=task_id)
        return task_record(row)

    def exists(self, task_id: int) -> bool:
        """Whether the task's row is still there, even if its deletion was requested."""
        with self._read() as connection:
            return _exists(connection, task_id)

    def page(self, query: TaskQuery) -> tuple[list[TaskRecord], int]:
        """Return a page of the tasks whose deletion was not requested, and how many there are."""
        with self._read() as connection:
            return read_page(connection, query)

    def find(self, task_id: int) -> TaskRecord | None:
        """Return a task, even if its deletion was requested; None if there is none."""
        with self._read() as connection:
            query = select_tasks().where(tasks.c.id == _storable(task_id))
            row = connection.execute(query).one_or_none()
        return task_record(row) if row else None

    def pending(self) -> list[TaskRecord]:
        """Return the tasks that wait, oldest first."""
        visible = tasks.c.delete_requested_at.is_(None)
        return self._tasks(tasks.c.status == Status.PENDING, visible)

    def running(self) -> list[TaskRecord]:
        """Return the tasks that run, oldest first, also those whose deletion was requested."""
        return self._tasks(tasks.c.status == Status.RUNNING)

    def to_delete(self) -> list[TaskRecord]:
        """Return the tasks whose deletion was requested, oldest first."""
        # `> 0` because IS NOT NULL uses no index.
        return self._tasks(tasks.c.delete_requested_at > 0)

    def _tasks(self, *wanted: ColumnElement[bool]) -> list[TaskRecord]:
        # Sorted here: asked for the order, SQLite walks all tasks by id instead of the index.
        with self._read() as connection:
            found = map(task_record, connection.execute(select_tasks().where(*wanted)))
            return sorted(found, key=lambda task: task.id)

    def count_pending(self) -> int:
        """Return how many tasks wait."""
        return self.counts()[Status.PENDING]

    def counts(self) -> dict[Status, int]:
        """Return how many tasks have each status, without those whose deletion was requested."""
        with self._read() as connection:
            return read_counts(connection)

    def base_models(self, limit: int = 100) -> list[str]:
        """Return the base models that tasks use, as users gave them, the latest first."""
        with self._read() as connection:
            return read_base_models(connection, limit)

    def curves(self, ids: Sequence[int], points: int) -> dict[int, Curves]:
        """Return the losses of tasks in at most `points` points each; of those there are."""
        with self._read() as connection:
            return read_curves(connection, [each for each in ids if _storable(each)], points)

    def set_status(self, task: TaskRecord, new: Status, **changes: Any) -> TaskRecord | None:
        """Give a task its next status, and change other columns with it.

        Raises IllegalTransition.
        """
        with self._write() as connection:
            return _set_status(connection, task, new, changes)

    def update(self, task: TaskRecord, **changes: Any) -> TaskRecord | None:
        """Change columns of a task that its user or the scheduler decides on."""
        with self._write() as connection:
            assert "status" not in changes, "set_status sets a status"
            changed = _change(connection, task, changes, time.time())
            return _task(connection, task.id) if changed else None

    def explain(self, reasons: Mapping[int, Mapping[str, Any]]) -> None:
        """Remember why tasks wait, by task id. A task that no longer waits is left alone.

        Not a decision on the task: its version stays, and so does the time of its last update.
        """
        if not reasons:
            return
        statement = (
            update(tasks)
            .where(tasks.c.id == bindparam("task"), tasks.c.status == Status.PENDING)
            .values(queue_reason=bindparam("reason"))
        )
        with self._write() as connection:
            connection.execute(
                statement, [{"task": task, "reason": reason} for task, reason in reasons.items()]
            )

    def remove(self, task_id: int) -> None:
        """Forget a task with its spec, attempts and events."""
        with self._write() as connection:
            for table in (event_table, attempts, specs):
                connection.execute(delete(table).where(table.c.task_id == task_id))
            connection.execute(delete(tasks).where(tasks.c.id == task_id))

    # Attempts

    def begin_attempt(
        self,
        task: TaskRecord,
        attempt: AttemptRecord,
        spec: Spec,
        *,
        command: str,
        log_path: str,
        started_at: float,
    ) -> TaskRecord | None:
        """Store an attempt and set its task to running, with nothing reported yet."""
        changes = dict(UNREPORTED) | {
            "attempt": attempt.number,
            "devices": spec.devices,
            "command": command,
            "log_path": log_path,
            "started_at": started_at,
            "phase": Phase.STARTING,
            "queue_reason": None,
        }
        with self._write() as connection:
            begun = _set_status(connection, task, Status.RUNNING, changes)
            if begun is None:
                return None
            connection.execute(insert(attempts).values(asdict(attempt)))
            connection.execute(
                update(specs).where(specs.c.task_id == task.id).values(spec=spec.model_dump_json())
            )
            return replace(begun, spec=spec)

    def save_handle(self, task_id: int, number: int, handle: str) -> None:
        """Remember how the executor calls an attempt."""
        with self._write() as connection:
            _change_attempt(connection, task_id, number, handle=handle)

    def attempt(self, task_id: int, number: int) -> AttemptRecord:
        """Return an attempt; raise NotFound if there is none."""
        query = select_attempts().where(*_of_attempt(task_id, number))
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("task_not_found", id=task_id)
        return attempt_record(row)

    def end_attempt(
        self,
        task: TaskRecord,
        new: Status,
        *,
        exit: Mapping[str, Any],
        error: Mapping[str, Any] | None,
        ended_at: float,
    ) -> TaskRecord | None:
        """End a task and its attempt: a reader sees status, `exited` and times all at once.

        `exit` is what the supervisor saw, {} where it left nothing. Raises IllegalTransition.
        """
        changes = {"error": error, "finished_at": ended_at, "phase": None, "eta_seconds": None}
        with self._write() as connection:
            if _set_status(connection, task, new, changes) is None:
                return None
            _add_event(connection, task.id, task.attempt, "exited", exit, ended_at)
            _change_attempt(connection, task.id, task.attempt, ended_at=ended_at)
            return _task(connection, task.id)

    # Events

    def record(
        self,
        task_id: int,
        number: int,
        events: Sequence[Event],
        offset: int,
        **changes: Any,
    ) -> None:
        """Take in what an attempt reported, up to byte `offset` of its report.

        Events that were taken in before are skipped; progress and download are kept only as the
        task's live columns, in `changes`; those of an attempt that is no longer the task's are
        dropped. Raises NotFound if there is no such attempt.
        """
        with self._write() as connection:
            query = select(attempts.c.last_seq).where(*_of_attempt(task_id, number))
            last_seq = connection.scalar(query.with_for_update())
            if last_seq is None:
                raise NotFound("task_not_found", id=task_id)
            rows = []
            for event in events:
                if event.seq > last_seq:
                    last_seq = event.seq
                    if not isinstance(event, Progress | Download):
                        rows.append(event_row(task_id, number, event))
            if rows:
                connection.execute(insert(event_table), rows)
            connection.execute(
                update(attempts)
                .where(*_of_attempt(task_id, number))
                .values(events_offset=offset, last_seq=last_seq)
            )
            connection.execute(
                update(tasks)
                .where(tasks.c.id == task_id, tasks.c.attempt == number)
                .values(changes | {"updated_at": time.time()})
            )

    def events_after(self, task_id: int, after: int, limit: int = 1000) -> list[StoredEvent]:
        """Return a task's events with an id above `after`, in the order they came."""
        return self._events(task_id, event_table.c.id > min(after, LARGEST), limit)

    def events_of_types(
        self,
        task_id: int,
        types: Sequence[str],
        *,
        after: int = 0,
        limit: int | None = None,
        from_step: int | None = None,
        to_step: int | None = None,
    ) -> list[StoredEvent]:
        """Return a task's events of `types` with an id above `after`, in the order they came.

        Where a first or last step is given, those of steps outside, or of no step, are left out.
        """
        wanted = and_(event_table.c.type.in_(types), event_table.c.id > min(after, LARGEST))
        if from_step is not None:
            wanted &= event_table.c.step >= min(from_step, LARGEST)
        if to_step is not None:
            wanted &= event_table.c.step <= min(to_step, LARGEST)
        # `+ 0`: asked for the order of ids, SQLite reads all events instead of the index by type.
        return self._events(task_id, wanted, limit, order=event_table.c.id + 0)

    def last_event_id(self, task_id: int) -> int:
        """Return the id of a task's newest event, 0 if it has none."""
        query = select(func.max(event_table.c.id)).where(event_table.c.task_id == task_id)
        with self._read() as connection:
            return connection.scalar(query) or 0

    # Memory

    def add_memory_run(self, run: MemoryRun) -> None:
        """Remember what a run took; a run that is known already is left as it is."""
        with self._write() as connection:
            add_memory_run(connection, run)

    def memory_runs(self, limit: int = 1000) -> list[MemoryRun]:
        """Return what past runs took, the newest first."""
        with self._read() as connection:
            return read_memory_runs(connection, limit)

    def memory_runs_of(
        self, family: str, method: str, device_type: str, mode: str
    ) -> list[MemoryRun]:
        """Return the newest runs of one kind, as many as `learnt_ratio` looks at."""
        kind = {"family": family, "method": method, "device_type": device_type, "mode": mode}
        with self._read() as connection:
            return read_memory_runs(connection, RUNS_AT_MOST, kind)

    def _events(
        self,
        task_id: int,
        wanted: ColumnElement[bool],
        limit: int | None,
        order: ColumnElement[int] = event_table.c.id,
    ) -> list[StoredEvent]:
        query = (
            select_events()
            .where(event_table.c.task_id == task_id, wanted)
            .order_by(order)
            .limit(limit)
        )
        with self._read() as connection:
            return [stored_event(row) for row in connection.execute(query)]

    def _read(self) -> AbstractContextManager[Connection]:
        return self._engine.connect()

    def _write(self) -> AbstractContextManager[Connection]:
        return self._writing.begin()


def _claim_output(connection: Connection, task_id: int, path: str) -> None:
    claim = {"output_path": path, "active_output": path}
    try:
        # A savepoint, so that the owner can be looked up after the refusal.
        with connection.begin_nested():
            connection.execute(update(tasks).where(tasks.c.id == task_id).values(claim))
    except IntegrityError:
        owner = connection.scalar(select(tasks.c.id).where(tasks.c.active_output == path))
        raise Conflict("output_claimed", path=path, task_id=owner) from None


def _set_status(
    connection: Connection, task: TaskRecord, new: Status, changes: Mapping[str, Any]
) -> TaskRecord | None:
    advance(task.status, new)
    values = dict(changes) | {"status": new}
    if new in TERMINAL:
        values["active_output"] = None
    now = time.time()
    if not _change(connection, task, values, now):
        return None
    data = {"status": new}
    if values.get("error"):
        data["error_code"] = values["error"]["code"]
    _add_event(connection, task.id, values.get("attempt", task.attempt), "status", data, now)
    return _task(connection, task.id)


def _change(
    connection: Connection, task: TaskRecord, values: Mapping[str, Any], now: float
) -> bool:
    changed = connection.execute(
        update(tasks)
        .where(tasks.c.id == task.id, tasks.c.version == task.version)
        .values(dict(values) | {"version": task.version + 1, "updated_at": now})
    )
    return changed.rowcount == 1


def _task(connection: Connection, task_id: int) -> TaskRecord:
    return task_record(connection.execute(select_tasks().where(tasks.c.id == task_id)).one())


def _exists(connection: Connection, task_id: int) -> bool:
    query = select(tasks.c.id).where(tasks.c.id == _storable(task_id))
    return connection.scalar(query) is not None


def _add_event(
    connection: Connection, task_id: int, number: int, type: str, data: Any, at: float
) -> None:
    row = {"task_id": task_id, "attempt": number, "at": at, "type": type, "data": data}
    connection.execute(insert(event_table).values(row))


def _change_attempt(connection: Connection, task_id: int, number: int, **changes: Any) -> None:
    connection.execute(update(attempts).where(*_of_attempt(task_id, number)).values(changes))


def _of_attempt(task_id: int, number: int) -> tuple[ColumnElement[bool], ...]:
    return attempts.c.task_id == task_id, attempts.c.number == number


def _storable(task_id: int) -> int:
    # A caller may ask for any number, and a database refuses those that it cannot hold.
    return task_id if 0 < task_id <= LARGEST else 0
