"""A few points of many tasks' losses, without reading all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from tunesmith.store.tables import events, tasks

FIELDS = {"metrics": "loss", "evaluation": "eval_loss"}  # of the data of these events


@dataclass(frozen=True)
class Curves:
    """Losses in the order they came, evenly spaced."""

    loss: list[float]
    eval_loss: list[float]


def read_curves(connection: Connection, ids: Sequence[int], points: int) -> dict[int, Curves]:
    """Return at most `points` losses of each task of `ids` that is there, first and last kept.

    Events are picked by evenly spaced ids, each of which an index finds at once: the whole of
    long series would be read otherwise.
    """
    visible = (tasks.c.id.in_(ids), tasks.c.delete_requested_at.is_(None))
    ends = [_end(function, type) for type in FIELDS for function in (func.min, func.max)]
    rows = connection.execute(select(tasks.c.id, *ends).where(*visible)).all()
    picked: set[int] = set()
    for task_id, *found in rows:
        for number, type in enumerate(FIELDS):
            first, last = found[2 * number : 2 * number + 2]
            if first is not None:
                picked |= _picked(connection, task_id, type, first, last, points)
    there = {row[0] for row in rows}
    curves = {task_id: Curves([], []) for task_id in ids if task_id in there}
    for event in _events(connection, sorted(picked)):
        name = FIELDS[event.type]
        loss = event.data.get(name)
        if isinstance(loss, int | float):  # one that was not finite is left out by the store
            getattr(curves[event.task_id], name).append(loss)
    return curves


def _end(function: Any, type: str) -> Any:
    of_task = (events.c.task_id == tasks.c.id, events.c.type == type)
    return select(function(events.c.id)).where(*of_task).scalar_subquery()


def _picked(
    connection: Connection, task_id: int, type: str, first: int, last: int, points: int
) -> set[int]:
    places = {first + (last - first) * number // (points - 1) for number in range(points)}
    of_series = (events.c.task_id == task_id, events.c.type == type)
    nearest = [
        select(func.min(events.c.id)).where(*of_series, events.c.id >= place).scalar_subquery()
        for place in sorted(places)
    ]
    return set(connection.execute(select(*nearest)).one())


def _events(connection: Connection, ids: Sequence[int]) -> Iterable[Any]:
    columns = (events.c.task_id, events.c.type, events.c.data)
    for start in range(0, len(ids), 1000):
        chosen = events.c.id.in_(ids[start : start + 1000])
        yield from connection.execute(select(*columns).where(chosen).order_by(events.c.id))
