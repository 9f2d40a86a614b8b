"""A page of the task list: filters, order, total; and the figures of the whole list."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from tunesmith.status import Status
from tunesmith.store.records import TaskQuery, TaskRecord
from tunesmith.store.rows import select_tasks, task_record
from tunesmith.store.tables import tasks

# What a list may be ordered by, under the wire's names. Text is ordered without regard to case.
ORDER_KEYS: Mapping[str, ColumnElement[Any]] = {
    "ID": tasks.c.id,
    "CreatedAt": tasks.c.created_at,
    "UpdatedAt": tasks.c.updated_at,
    "name": tasks.c.search_name,
    "status": tasks.c.status,
    "progress": tasks.c.progress,
    "baseModel": tasks.c.search_base_model,
    "startedAt": tasks.c.started_at,
    "finishedAt": tasks.c.finished_at,
}
LARGEST = 2**63 - 1  # what a database takes as an integer


def read_page(connection: Connection, query: TaskQuery) -> tuple[list[TaskRecord], int]:
    """Return the tasks of a page and how many there are on all pages.

    The ids are selected first, which an index can do without the rows, and then the few rows.
    """
    wanted = _filters(query)
    total: int = connection.execute(
        select(func.count()).select_from(tasks).where(*wanted)
    ).scalar_one()
    before = min((query.page - 1) * query.page_size, LARGEST)
    if before >= total:
        return [], total
    order = _order(query)
    ids = select(tasks.c.id).where(*wanted).order_by(*order).limit(query.page_size).offset(before)
    on_page = ids.subquery()
    rows = select_tasks().join(on_page, on_page.c.id == tasks.c.id).order_by(*order)
    return [task_record(row) for row in connection.execute(rows)], total


def read_counts(connection: Connection) -> dict[Status, int]:
    """Return how many tasks have each status, without those whose deletion was requested."""
    # Grouped by status, SQLite would read every row; so each count comes from an index alone.
    visible = tasks.c.delete_requested_at.is_(None)
    counted = select(func.count()).select_from(tasks).where(visible)
    each = (counted.where(tasks.c.status == status).scalar_subquery() for status in Status)
    return dict(zip(Status, connection.execute(select(*each)).one(), strict=True))


def read_base_models(connection: Connection, limit: int) -> list[str]:
    """Return the base models that tasks use, as users gave them, the latest first."""
    # IS NULL would have SQLite take the index of the list's order, and then read every row.
    query = (
        select(tasks.c.base_model)
        .where(func.coalesce(tasks.c.delete_requested_at, 0) == 0)
        .group_by(tasks.c.base_model)
        .order_by(func.max(tasks.c.id).desc())
        .limit(limit)
    )
    return list(connection.scalars(query))


def _filters(query: TaskQuery) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = [tasks.c.delete_requested_at.is_(None)]
    if query.status is not None:
        filters.append(tasks.c.status == query.status)
    for column, part in (
        (tasks.c.search_name, query.name),
        (tasks.c.search_base_model, query.base_model),
        (tasks.c.search_text, query.keyword),
    ):
        if part is not None:
            filters.append(column.contains(part.casefold(), autoescape=True))
    return filters


def _order(query: TaskQuery) -> list[ColumnElement[Any]]:
    if query.order_key is None:
        return [tasks.c.id.desc()]
    column = ORDER_KEYS[query.order_key]
    # Databases differ in where they put null: here a time that has not come yet is before all.
    if query.desc:
        return [column.desc().nulls_last(), tasks.c.id.desc()]
    return [column.asc().nulls_first(), tasks.c.id.asc()]
