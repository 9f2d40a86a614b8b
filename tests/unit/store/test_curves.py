"""A few points of long series."""

from itertools import pairwise

import pytest

from tests.unit.store.samples import running
from tunesmith.events import Evaluation, Event, Metrics
from tunesmith.store import Curves, Store


def metrics(step: int, loss: float) -> Metrics:
    return Metrics(
        seq=step, at=1.0, step=step, epoch=0.1, loss=loss, learning_rate=1e-4, grad_norm=1.0,
        tokens_per_second=1.0, eta_seconds=1.0,
    )  # fmt: skip


def evaluation(seq: int, loss: float) -> Evaluation:
    return Evaluation(
        seq=seq, at=1.0, step=seq, epoch=0.1, eval_loss=loss, token_accuracy=0.5, seconds=1.0
    )


def report(store: Store, task_id: int, *events: Event) -> None:
    store.record(task_id, 1, events, 0)


def test_short_series_come_whole_and_unknown_tasks_not_at_all(store: Store) -> None:
    task, quiet, deleted = (running(store, output_path=f"/{n}") for n in range(3))
    report(store, task.id, metrics(1, 3.0), evaluation(2, 2.5), metrics(3, 2.0), metrics(4, 1.0))
    assert store.update(deleted, delete_requested_at=1.0)
    assert store.curves([quiet.id, 99, task.id, deleted.id, 10**30, -1, 0], 30) == {
        quiet.id: Curves([], []),
        task.id: Curves([3.0, 2.0, 1.0], [2.5]),
    }
    assert store.curves([], 30) == {}


@pytest.mark.parametrize("points", [2, 7, 60])
def test_long_series_of_tasks_side_by_side_are_thinned_evenly(store: Store, points: int) -> None:
    tasks = [running(store, output_path=f"/{number}") for number in range(2)]
    for start in range(1, 1001, 50):
        for task in tasks:
            report(store, task.id, *(metrics(n, float(n)) for n in range(start, start + 50)))
    curves = store.curves([task.id for task in tasks], points)
    for task in tasks:
        loss = curves[task.id].loss
        assert len(loss) <= points
        assert (loss[0], loss[-1]) == (1.0, 1000.0)
        assert loss == sorted(set(loss))
        if points == 60:
            # Reports of the other task lie between: a gap is as long as one of them.
            assert max(b - a for a, b in pairwise(loss)) <= 50
            assert len(loss) > 30


def test_a_loss_that_was_no_number_is_left_out(store: Store) -> None:
    task = running(store)
    report(store, task.id, metrics(1, 3.0), metrics(2, float("nan")), metrics(3, float("inf")))
    assert store.curves([task.id], 30) == {task.id: Curves([3.0], [])}
