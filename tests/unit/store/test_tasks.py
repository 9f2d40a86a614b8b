"""Tasks: create, change under guard, claim of the output, remove."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import pytest

from tests.unit.store.samples import begin, new_task, running
from tunesmith.errors import Conflict, IllegalTransition, NotFound
from tunesmith.status import Status
from tunesmith.store import Store, TaskQuery

T = TypeVar("T")


def test_a_new_task_is_pending_and_comes_back_as_it_was_made(store: Store) -> None:
    before = datetime.now(UTC)
    new = new_task(name="客服 persona", description="who I am", user_id=7, checked=False)
    task = store.insert(new)
    assert store.task(task.id) == task
    assert (task.status, task.version, task.attempt, task.progress) == ("pending", 1, 0, 0.0)
    assert (task.name, task.description, task.user_id) == ("客服 persona", "who I am", 7)
    assert (task.base_model, task.spec.base_model) == ("Qwen3-0.6B", "/srv/models/Qwen3-0.6B")
    assert task.dataset_path == "/srv/data/persona"
    assert not task.checked
    assert before <= task.created_at == task.updated_at <= datetime.now(UTC)
    assert task.created_at.tzinfo is UTC
    assert [(event.type, event.data) for event in store.events_after(task.id, 0)] == [
        ("status", {"status": "pending"})
    ]


def test_the_default_output_is_named_by_the_id(store: Store) -> None:
    store.insert(new_task())
    task = store.insert(new_task())
    assert task.output_path == task.spec.output_path == f"/srv/outputs/{task.id}"
    assert task.spec.task_id == task.id


def test_a_given_output_stays(store: Store) -> None:
    task = store.insert(new_task(output_path="/srv/mine"))
    assert task.output_path == task.spec.output_path == "/srv/mine"


def test_an_output_belongs_to_one_unfinished_task(store: Store) -> None:
    first = store.insert(new_task(output_path="/srv/mine"))
    with pytest.raises(Conflict) as refused:
        store.insert(new_task(output_path="/srv/mine"))
    assert refused.value.code == "output_claimed"
    assert refused.value.params == {"path": "/srv/mine", "task_id": first.id}
    assert store.page(TaskQuery())[1] == 1  # nothing half-made is left


@pytest.mark.parametrize("end", [Status.COMPLETED, Status.FAILED, Status.STOPPED])
def test_the_end_of_a_task_frees_its_output(store: Store, end: Status) -> None:
    task = running(store, output_path="/srv/mine")
    with pytest.raises(Conflict):
        store.insert(new_task(output_path="/srv/mine"))
    assert store.set_status(task, end) is not None
    assert store.insert(new_task(output_path="/srv/mine")).output_path == "/srv/mine"


def test_a_default_output_that_another_task_took_is_refused(store: Store) -> None:
    first = store.insert(new_task(output_path="/srv/outputs/2"))
    with pytest.raises(Conflict) as refused:
        store.insert(new_task())
    assert refused.value.params["task_id"] == first.id


def test_of_many_simultaneous_claims_one_is_granted(store: Store) -> None:
    outcomes = at_once(*[partial(attempt_claim, store)] * 4)
    assert sorted(outcomes) == ["claimed", "refused", "refused", "refused"]


@pytest.mark.parametrize("task_id", [1, 0, -1, 2**63, 10**40])
def test_an_unknown_task_is_not_found(store: Store, task_id: int) -> None:
    with pytest.raises(NotFound) as missing:
        store.task(task_id)
    assert (missing.value.code, missing.value.params) == ("task_not_found", {"id": task_id})
    assert not store.exists(task_id)


def test_a_task_to_be_deleted_is_out_of_sight_but_still_there(store: Store) -> None:
    kept = store.insert(new_task(name="kept"))
    doomed = store.insert(new_task(name="doomed"))
    assert store.update(doomed, delete_requested_at=time.time()) is not None
    with pytest.raises(NotFound):
        store.task(doomed.id)
    assert store.exists(doomed.id)
    assert store.page(TaskQuery()) == ([kept], 1)
    assert store.counts()[Status.PENDING] == store.count_pending() == 1
    assert [task.id for task in store.pending()] == [kept.id]
    assert [task.id for task in store.to_delete()] == [doomed.id]
    assert store.find(doomed.id) is not None


def test_why_tasks_wait_is_remembered_for_those_that_still_do(store: Store) -> None:
    waiting, gone = store.insert(new_task()), running(store)
    reason = {"code": "queue.waiting_for_slot", "params": {"running": [gone.id], "limit": 1}}
    store.explain({waiting.id: reason, gone.id: reason, 99: reason})
    assert store.task(waiting.id).queue_reason == reason
    assert store.task(waiting.id).version == waiting.version
    assert store.task(gone.id).queue_reason is None
    store.explain({})


def test_waiting_running_and_doomed_tasks_are_told_apart(store: Store) -> None:
    ended = running(store)
    store.set_status(ended, Status.COMPLETED)
    doomed = store.set_status(running(store), Status.FAILED)
    assert doomed is not None
    store.update(doomed, delete_requested_at=1.0)
    waiting, active = store.insert(new_task()), running(store)
    assert [task.id for task in store.pending()] == [waiting.id]
    assert [task.id for task in store.running()] == [active.id]
    assert [task.id for task in store.to_delete()] == [doomed.id]
    assert store.find(active.id + 1) is None


def test_a_removed_task_leaves_nothing_and_its_id_is_not_given_again(store: Store) -> None:
    task = running(store)
    store.remove(task.id)
    assert not store.exists(task.id)
    assert store.events_after(task.id, 0) == []
    with pytest.raises(NotFound):
        store.attempt(task.id, 1)
    assert store.insert(new_task()).id == task.id + 1
    store.remove(task.id)  # again: no error


def test_ids_of_tasks_and_events_are_not_reused_after_a_restart(url: str) -> None:
    store = Store.open(url)
    task = store.insert(new_task())
    last_event = store.last_event_id(task.id)
    store.remove(task.id)
    store.close()
    store = Store.open(url)
    again = store.insert(new_task())
    assert again.id == task.id + 1
    assert store.last_event_id(again.id) == last_event + 1
    store.close()


def test_set_status_changes_columns_and_appends_an_event(store: Store) -> None:
    task = running(store)
    error = {"code": "out_of_memory", "params": {}, "log_lines": ["€"], "suggested_change": {}}
    failed = store.set_status(task, Status.FAILED, error=error, finished_at=5.5, phase=None)
    assert failed is not None
    assert failed == store.task(task.id)
    assert (failed.status, failed.error, failed.finished_at) == (Status.FAILED, error, 5.5)
    assert failed.version == task.version + 1
    assert failed.updated_at > task.updated_at
    event = store.events_of_types(task.id, ["status"])[-1]
    assert event.data == {"status": "failed", "error_code": "out_of_memory"}
    assert event.attempt == 1


def test_a_status_that_cannot_follow_is_refused(store: Store) -> None:
    task = store.insert(new_task())
    with pytest.raises(IllegalTransition):
        store.set_status(task, Status.COMPLETED)
    assert store.task(task.id) == task


def test_a_change_decided_on_an_old_record_is_not_made(store: Store) -> None:
    old = store.insert(new_task())
    new = store.update(old, queue_reason={"code": "queue.starting", "params": {}})
    assert new is not None
    assert store.set_status(old, Status.STOPPED) is None
    assert store.update(old, checked=False) is None
    assert begin(store, old) is None
    assert store.task(old.id) == new
    assert len(store.events_after(old.id, 0)) == 1
    with pytest.raises(NotFound):
        store.attempt(old.id, 1)


def test_a_change_of_a_removed_task_is_not_made(store: Store) -> None:
    task = store.insert(new_task())
    store.remove(task.id)
    assert store.set_status(task, Status.STOPPED) is None
    assert store.update(task, checked=False) is None


def test_of_two_threads_that_set_a_status_exactly_one_wins(store: Store) -> None:
    for _ in range(20):
        task = running(store)
        complete = partial(store.set_status, task, Status.COMPLETED)
        stop = partial(store.set_status, task, Status.STOPPED)
        won = [record for record in at_once(complete, stop) if record]
        assert len(won) == 1
        assert store.task(task.id) == won[0]
        assert len(store.events_of_types(task.id, ["status"])) == 3


def test_threads_may_read_and_write_at_the_same_time(store: Store) -> None:
    def work() -> None:
        for _ in range(15):
            task = store.insert(new_task())
            store.page(TaskQuery(name="persona"))
            assert store.set_status(task, Status.STOPPED) is not None

    at_once(*[work] * 8)
    assert store.counts() == dict.fromkeys(Status, 0) | {Status.STOPPED: 120}
    assert store.pending() == store.running() == []


def test_update_sets_no_status(store: Store) -> None:
    with pytest.raises(AssertionError):
        store.update(store.insert(new_task()), status=Status.STOPPED)


def test_a_store_that_was_never_closed_keeps_everything(url: str) -> None:
    crashed = Store.open(url)  # its connections stay open, its WAL is not checkpointed
    task = running(crashed)
    reopened = Store.open(url)
    assert reopened.task(task.id) == task
    assert reopened.attempt(task.id, 1) == crashed.attempt(task.id, 1)
    assert reopened.events_after(task.id, 0) == crashed.events_after(task.id, 0)
    reopened.close()
    crashed.close()


def attempt_claim(store: Store) -> str:
    try:
        store.insert(new_task(output_path="/srv/mine"))
    except Conflict:
        return "refused"
    return "claimed"


def at_once(*work: Callable[[], T]) -> list[T]:
    """Call each in a thread of its own, all let go in the same moment."""
    gate = threading.Barrier(len(work), timeout=30)

    def go(call: Callable[[], T]) -> T:
        gate.wait()
        return call()

    with ThreadPoolExecutor(len(work)) as threads:
        return list(threads.map(go, work))
