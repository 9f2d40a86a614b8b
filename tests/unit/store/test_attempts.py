"""Attempts and what they report."""

import json
import math
import time

import pytest

from tests.unit.store.samples import begin, new_task, running
from tunesmith import events
from tunesmith.errors import NotFound
from tunesmith.ingest import live_values
from tunesmith.status import Status
from tunesmith.store import Store


def metrics(seq: int, step: int, loss: float = 1.5) -> events.Metrics:
    return events.Metrics(
        seq=seq,
        at=100.0 + seq,
        step=step,
        epoch=0.5,
        loss=loss,
        learning_rate=1e-4,
        grad_norm=0.5,
        tokens_per_second=900.0,
        eta_seconds=60.0,
    )


def progress(seq: int, step: int) -> events.Progress:
    return events.Progress(
        seq=seq, at=100.0 + seq, step=step, epoch=0.1, tokens_per_second=9.0, eta_seconds=6.0
    )


def reported(store: Store, task_id: int) -> list[tuple[str, float]]:
    return [
        (event.type, event.at) for event in store.events_after(task_id, 0) if event.type != "status"
    ]


def test_an_attempt_starts_with_nothing_reported(store: Store) -> None:
    task = store.insert(new_task())
    waiting = store.update(task, queue_reason={"code": "queue.starting", "params": {}})
    assert waiting is not None
    task = begin(store, waiting)
    assert task is not None
    assert task == store.task(task.id)
    assert (task.status, task.attempt, task.phase) == (Status.RUNNING, 1, "starting")
    assert (task.devices, task.spec.devices, task.spec.attempt) == ((1, 0), (1, 0), 1)
    assert task.command.startswith("python -m tunesmith.trainer")
    assert (task.log_path, task.started_at) == ("/srv/tasks/1/1/train.log", 1000.0)
    assert task.queue_reason is None
    attempt = store.attempt(task.id, 1)
    assert (attempt.run_directory, attempt.devices) == (f"/srv/tasks/{task.id}/1", (1, 0))
    assert (attempt.handle, attempt.ended_at) == (None, None)
    assert store.events_after(task.id, 0)[-1].data == {"status": "running"}


def test_a_second_attempt_forgets_what_the_first_reported(store: Store) -> None:
    task = running(store)
    store.record(
        task.id, 1, [metrics(1, 5)], 9, step=5, total_steps=10, pid=77, metrics={"loss": 1.5}
    )
    back = store.set_status(store.task(task.id), Status.PENDING)
    assert back is not None
    second = begin(store, back, number=2)
    assert second is not None
    assert (second.attempt, second.step, second.total_steps, second.pid) == (2, 0, None, None)
    assert (second.progress, second.metrics, second.reported_at) == (0.0, {}, None)
    assert store.attempt(task.id, 1).last_seq == 1
    assert store.attempt(task.id, 2).last_seq == 0


def test_an_attempt_remembers_its_handle_and_its_end(store: Store) -> None:
    task = running(store)
    store.save_handle(task.id, 1, "/srv/tasks/1/1")
    ended = store.end_attempt(
        task, Status.COMPLETED, exit={"exit_code": 0}, error=None, ended_at=2000.5
    )
    attempt = store.attempt(task.id, 1)
    assert (attempt.handle, attempt.ended_at) == ("/srv/tasks/1/1", 2000.5)
    assert ended == store.task(task.id)
    assert ended is not None and ended.finished_at == 2000.5
    assert [event.type for event in store.events_after(task.id, 0)][-2:] == ["status", "exited"]


def test_an_attempt_whose_task_was_changed_meanwhile_is_not_ended(store: Store) -> None:
    task = running(store)
    store.update(task, stop_requested_at=1.0)
    end = store.end_attempt(task, Status.COMPLETED, exit={}, error=None, ended_at=2000.5)
    assert end is None
    assert store.attempt(task.id, 1).ended_at is None
    assert [event.type for event in store.events_after(task.id, 0)] == ["status", "status"]


def test_an_unknown_attempt_is_not_found(store: Store) -> None:
    task = store.insert(new_task())
    with pytest.raises(NotFound):
        store.attempt(task.id, 1)
    with pytest.raises(NotFound):
        store.record(task.id, 1, [metrics(1, 1)], 10)


def test_a_download_is_kept_only_as_it_stands(store: Store) -> None:
    task = running(store)
    told = {"downloaded_bytes": 5, "total_bytes": 10, "bytes_per_second": 1.0, "eta_seconds": 5.0}
    download = events.Download(seq=1, at=101.0, **told)
    store.record(task.id, 1, [download], 10, **live_values([download], {}))
    assert store.task(task.id).download == told
    assert reported(store, task.id) == []
    loading = events.PhaseChanged(seq=2, at=102.0, phase=events.Phase.LOADING)
    store.record(task.id, 1, [loading], 20, **live_values([loading], {}))
    assert store.task(task.id).download is None


def test_recorded_events_move_the_attempt_and_the_live_columns(store: Store) -> None:
    task = running(store)
    report = [progress(1, 1), metrics(2, 2), progress(3, 3)]
    store.record(
        task.id,
        1,
        report,
        345,
        step=3,
        total_steps=12,
        epoch=0.25,
        tokens_per_second=9.0,
        eta_seconds=6.0,
        reported_at=103.0,
        metrics={"loss": 1.5},
        pid=4711,
        phase="training",
    )
    now = store.task(task.id)
    assert (now.step, now.total_steps, now.progress, now.epoch) == (3, 12, 25.0, 0.25)
    assert (now.metrics, now.pid, now.phase, now.reported_at) == (
        {"loss": 1.5},
        4711,
        "training",
        103.0,
    )
    assert now.version == task.version  # a status decided meanwhile still counts
    assert now.updated_at > task.updated_at
    assert (store.attempt(task.id, 1).events_offset, store.attempt(task.id, 1).last_seq) == (345, 3)
    (event,) = store.events_of_types(task.id, ["metrics"])
    assert (event.task_id, event.attempt, event.at) == (task.id, 1, 102.0)
    assert event.data == metrics(2, 2).model_dump(exclude={"v", "seq", "at", "type"})
    assert reported(store, task.id) == [("metrics", 102.0)]


def test_reading_again_from_the_start_repeats_nothing(store: Store) -> None:
    task = running(store)
    report = [metrics(n, n) for n in range(1, 7)]
    store.record(task.id, 1, report[:4], 400)
    seen = store.events_after(task.id, 0)
    store.record(task.id, 1, report[:2], 200)  # the offset was lost
    assert store.events_after(task.id, 0) == seen
    assert store.attempt(task.id, 1).events_offset == 200
    assert store.attempt(task.id, 1).last_seq == 4
    store.record(task.id, 1, [*report[2:], report[5]], 600)
    assert [at for _, at in reported(store, task.id)] == [101, 102, 103, 104, 105, 106]


def test_a_late_report_of_an_old_attempt_does_not_touch_the_new_one(store: Store) -> None:
    task = running(store)
    back = store.set_status(task, Status.PENDING)
    assert back is not None
    begin(store, back, number=2)
    store.record(task.id, 1, [metrics(1, 8)], 100, step=8)
    assert store.task(task.id).step == 0
    assert store.events_of_types(task.id, ["metrics"])[0].attempt == 1


def test_progress_is_steps_done_of_steps_planned(store: Store) -> None:
    task = running(store)
    store.record(task.id, 1, [], 0, step=3)
    assert store.task(task.id).progress == 0.0  # nothing is planned yet
    store.record(task.id, 1, [], 0, total_steps=8)
    assert store.task(task.id).progress == 37.5
    store.record(task.id, 1, [], 0, step=4)
    stopped = store.set_status(task, Status.STOPPED)
    assert stopped is not None
    assert stopped.progress == 50.0


def test_a_completed_task_is_at_100_percent(store: Store) -> None:
    task = running(store)
    store.record(task.id, 1, [], 0, step=3, total_steps=8)
    completed = store.set_status(task, Status.COMPLETED)
    assert completed is not None
    assert completed.progress == 100.0


def test_numbers_that_are_not_finite_are_left_out(store: Store) -> None:
    task = running(store)
    store.record(
        task.id,
        1,
        [metrics(1, 1, loss=math.nan), metrics(2, 2, loss=math.inf)],
        100,
        metrics={"loss": math.nan, "grad_norm": -math.inf, "learning_rate": 0.5},
    )
    warned = events.Warned(seq=3, at=5.0, code="w", params={"values": [1.0, math.nan]})
    store.record(task.id, 1, [warned], 200)
    assert store.task(task.id).metrics == {"learning_rate": 0.5}
    stored = store.events_after(task.id, 0)
    json.dumps([event.data for event in stored], allow_nan=False)
    assert all("loss" not in event.data for event in stored)
    assert stored[-1].data["params"] == {"values": [1.0, None]}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("half \ud83d of a pair", "half ? of a pair"),
        ("\ud83d\ude00", "??"),
        ("nul \0, bell \a, \x85, \u2028, \uffff", "nul \0, bell \a, \x85, \u2028, \uffff"),
        ("😀 客服 'quoted' \"twice\" \\", "😀 客服 'quoted' \"twice\" \\"),
    ],
)
def test_odd_characters_do_not_break_an_event(store: Store, text: str, kept: str) -> None:
    task = running(store)
    failed = events.Failed(seq=1, at=1.0, code="trainer_crashed", params={"reason": text})
    store.record(task.id, 1, [failed], 10)
    recorded = store.events_after(task.id, 0)[-1]
    assert recorded.data["params"] == {"reason": kept}
    json.dumps(recorded.data, ensure_ascii=False).encode()
    error = {"code": "trainer_crashed", "params": {}, "log_lines": [text]}
    ended = store.end_attempt(task, Status.FAILED, exit={text: text}, error=error, ended_at=2.0)
    assert ended is not None
    assert ended.error == error | {"log_lines": [kept]}
    assert store.events_after(task.id, 0)[-1].data == {kept: kept}


def test_events_come_in_order_after_an_id_and_up_to_a_limit(store: Store) -> None:
    task, other = running(store), running(store)
    store.record(task.id, 1, [metrics(n, n) for n in range(1, 4)], 10)
    store.record(other.id, 1, [metrics(1, 1)], 10)
    store.end_attempt(
        task, Status.COMPLETED, exit={"exit_code": 0}, error=None, ended_at=time.time()
    )
    whole = store.events_after(task.id, 0)
    assert [event.type for event in whole] == ["status"] * 2 + ["metrics"] * 3 + [
        "status",
        "exited",
    ]
    assert [event.id for event in whole] == sorted({event.id for event in whole})
    assert store.events_after(task.id, whole[2].id) == whole[3:]
    assert store.events_after(task.id, whole[1].id, limit=2) == whole[2:4]
    assert store.last_event_id(task.id) == whole[-1].id
    assert store.events_after(task.id, whole[-1].id) == []
    assert store.events_after(task.id, 10**30) == []
    assert store.events_of_types(task.id, ["exited", "status"]) == [*whole[:2], *whole[-2:]]


def test_a_task_that_is_not_there_has_no_events(store: Store) -> None:
    assert store.last_event_id(5) == 0
    assert store.events_of_types(5, ["metrics"]) == []
