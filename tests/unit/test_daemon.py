"""The daemon's turns when something fails in the middle; an executor that is a stand-in."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.store.samples import new_task
from tunesmith import tasks
from tunesmith.changes import Changes
from tunesmith.daemon import Daemon
from tunesmith.settings import Settings
from tunesmith.status import Status
from tunesmith.store import Store


class StandIn:
    """An executor that fails to start with `error`, and knows which handles live."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.living: set[str] = set()
        self.stopped: list[str] = []

    def start(self, run_directory: Path, environment: dict[str, str]) -> str:
        if self.error:
            raise self.error
        self.living.add(str(run_directory))
        return str(run_directory)

    def alive(self, handle: str) -> bool:
        return handle in self.living

    def stop(self, handle: str, grace: float) -> None:
        self.stopped.append(handle)

    def read(self, handle: str, file: str, offset: int, size: int) -> bytes:
        return b""


@pytest.fixture
def store(tmp_path):
    with_files = Store.open(f"sqlite:///{tmp_path / 'tunesmith.db'}")
    yield with_files
    with_files.close()


@pytest.fixture
def executor():
    return StandIn()


@pytest.fixture
def daemon(store, executor, tmp_path):
    return Daemon(
        store=store,
        executor=executor,
        settings=Settings(data_dir=tmp_path),
        changes=Changes(),
        inventory=list,
    )


def turn(daemon):
    """One turn after a call, as the loop does it."""
    daemon.wake()
    return daemon._turn()


def insert(store, tmp_path, **changes):
    new = new_task(**changes)
    return store.insert(replace(new, default_outputs=str(tmp_path / "outputs")))


def test_a_start_that_fails_unexpectedly_is_tried_again_and_not_stuck(
    daemon, store, executor, tmp_path
):
    task = insert(store, tmp_path)
    executor.error = RuntimeError("can't start new thread")
    with pytest.raises(RuntimeError):
        turn(daemon)
    assert store.task(task.id).status is Status.RUNNING
    executor.error = None
    daemon._turn()  # settles it, and starts the next attempt
    now = store.task(task.id)
    assert (now.status, now.attempt) == (Status.RUNNING, 2)
    assert executor.living == {str(tmp_path / "tasks" / str(task.id) / "2")}


def test_a_start_that_was_not_recorded_but_lives_is_taken_up(daemon, store, executor, tmp_path):
    task = insert(store, tmp_path)
    executor.error = RuntimeError("after the process was made")
    with pytest.raises(RuntimeError):
        turn(daemon)
    executor.living.add(str(tmp_path / "tasks" / str(task.id) / "1"))
    daemon._turn()
    assert store.attempt(task.id, 1).handle is not None
    assert store.task(task.id).attempt == 1


def test_a_stop_of_a_start_that_was_not_recorded_is_not_forgotten(
    daemon, store, executor, tmp_path
):
    task = insert(store, tmp_path)
    executor.error = RuntimeError("no")
    with pytest.raises(RuntimeError):
        turn(daemon)
    tasks.stop(task.id, store=store)
    daemon._adopt()  # as a restarted server does
    assert store.task(task.id).status is Status.STOPPED


def test_a_turn_that_fails_does_not_lose_the_call(daemon, store, tmp_path, monkeypatch):
    doomed = insert(store, tmp_path)
    tasks.delete(doomed.id, store=store)
    real, failures = store.to_delete, [OSError("database is locked")]

    def flaky():
        if failures:
            raise failures.pop()
        return real()

    monkeypatch.setattr(store, "to_delete", flaky)
    with pytest.raises(OSError, match="locked"):
        turn(daemon)
    daemon._turn()
    assert not store.exists(doomed.id)


def test_an_end_is_stored_whole_or_not_at_all(daemon, store, executor, tmp_path):
    task = insert(store, tmp_path)
    turn(daemon)
    executor.living.clear()
    with sqlite3.connect(tmp_path / "tunesmith.db") as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON events WHEN NEW.type = 'exited'"
            " BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    turn(daemon)  # ends in the middle of what it stores
    assert store.task(task.id).status is Status.RUNNING
    assert [event.data["status"] for event in store.events_after(task.id, 0)] == [
        "pending", "running",
    ]  # fmt: skip
    with sqlite3.connect(tmp_path / "tunesmith.db") as other:
        other.execute("DROP TRIGGER full")
    turn(daemon)
    assert store.task(task.id).status is Status.FAILED
    assert store.attempt(task.id, 1).ended_at is not None
    assert [event.type for event in store.events_after(task.id, 0)] == [
        "status", "status", "status", "exited",
    ]  # fmt: skip


def test_one_task_that_cannot_be_followed_does_not_stop_the_others(
    daemon, store, executor, tmp_path, monkeypatch
):
    broken, waiting = insert(store, tmp_path), insert(store, tmp_path)
    turn(daemon)
    real = executor.alive
    monkeypatch.setattr(
        executor, "alive", lambda handle: real(handle) if "/2/" in handle else 1 / 0
    )
    tasks.delete(waiting.id, store=store)
    turn(daemon)
    assert store.task(broken.id).status is Status.RUNNING
    assert not store.exists(waiting.id)


def test_a_link_to_elsewhere_made_while_a_task_waited_is_not_followed(
    daemon, store, executor, tmp_path
):
    output = tmp_path / "free"
    task = insert(store, tmp_path, output_path=str(output))
    output.symlink_to("/etc")
    turn(daemon)
    failed = store.task(task.id)
    assert failed.status is Status.FAILED and failed.error["code"] == "start_failed"
    assert executor.living == set()


def test_a_file_of_a_base_model_that_leads_out_of_the_roots_by_now_is_not_read(
    daemon, store, executor, tmp_path
):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").symlink_to("/etc/passwd")
    new = new_task(output_path=str(tmp_path / "out"))
    spec = new.spec.model_copy(update={"base_model": str(model)})
    task = store.insert(replace(new, spec=spec))
    turn(daemon)
    failed = store.task(task.id)
    assert failed.status is Status.FAILED and failed.error["code"] == "start_failed"
    assert "config.json" in failed.error["params"]["reason"]
    assert executor.living == set()


def test_a_data_file_that_leads_out_of_the_roots_by_now_is_not_read(
    daemon, store, executor, tmp_path
):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.jsonl").symlink_to("/etc/passwd")
    task = insert(store, tmp_path, dataset_path=str(data), output_path=str(tmp_path / "out"))
    turn(daemon)
    failed = store.task(task.id)
    assert failed.status is Status.FAILED and failed.error["code"] == "start_failed"
    assert "/etc/passwd" in failed.error["params"]["reason"]
    assert executor.living == set()


def test_a_checkpoint_that_has_become_a_link_by_now_is_not_read(daemon, store, executor, tmp_path):
    checkpoint = tmp_path / "checkpoint-5"
    new = new_task(output_path=str(tmp_path / "out"))
    training = new.spec.training.model_copy(update={"resume_from_checkpoint": str(checkpoint)})
    task = store.insert(replace(new, spec=new.spec.model_copy(update={"training": training})))
    checkpoint.symlink_to("/etc")
    turn(daemon)
    failed = store.task(task.id)
    assert failed.status is Status.FAILED and failed.error["code"] == "start_failed"
    assert str(checkpoint) in failed.error["params"]["reason"]
    assert executor.living == set()
