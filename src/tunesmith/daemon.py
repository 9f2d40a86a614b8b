"""The loop that moves tasks on: follow what runs, start what waits, clear what was deleted.

One thread; it alone starts attempts and gives them their final status. Whatever it needs to know
is in the store and the run directories, so it can be killed at any point and started again.
"""

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.changes import Changes
from tunesmith.data_checks import DataChecks
from tunesmith.devices import Device
from tunesmith.diagnosis import suggested_change, verdict
from tunesmith.events import Finished, Phase, decode
from tunesmith.executor import Executor
from tunesmith.ingest import memory_run, take_events
from tunesmith.launch import launch, run_directory_of
from tunesmith.run_directory import EXIT, LOG, RunDirectory
from tunesmith.scheduler import Candidate, Start, decide
from tunesmith.settings import Settings
from tunesmith.status import TERMINAL, Status
from tunesmith.store import AttemptRecord, Store, TaskRecord

FOLLOW_EVERY = 0.2  # seconds between looks at the reports of running attempts
IDLE_LOOK_EVERY = 5.0  # seconds; everything else wakes the loop itself
DELETE_GRACE = 5.0  # seconds; a deleted task's trainer has nothing to save
TEARDOWN_LIMIT = 60.0  # seconds from `finished` to the end of the process
CHECKING_DATA: dict[str, Any] = {"code": "queue.checking_data", "params": {}}
LOG_TAIL = 64 << 10  # bytes read to explain a failure

log = logging.getLogger(__name__)


class Daemon:
    """Runs the loop in a thread of its own."""

    def __init__(
        self,
        *,
        store: Store,
        executor: Executor,
        settings: Settings,
        changes: Changes,
        inventory: Callable[[], list[Device]],
    ) -> None:
        self._store = store
        self._executor = executor
        self._settings = settings
        self._changes = changes
        self._inventory = inventory
        self._checks = DataChecks()
        self._awake = threading.Event()
        self._called = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="daemon", daemon=True)
        self._asked_to_stop: dict[tuple[int, int], float] = {}  # attempt -> grace it was given
        self._finished_at: dict[tuple[int, int], float] = {}  # attempt -> when it said finished

    def start(self) -> None:
        """Take up the attempts that outlived the last server and begin to look after tasks."""
        self._adopt()
        self._thread.start()

    def close(self) -> None:
        """End the loop. Trainings go on."""
        self._closing.set()
        self._awake.set()
        self._thread.join()
        self._checks.cancel()

    def wake(self) -> None:
        """Look now: something was created, stopped or deleted."""
        self._changes.publish()
        self._awake.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                busy = self._turn()
            except Exception:  # the loop outlives whatever one turn meets; the next one tries again
                log.exception("a turn of the daemon failed")
                busy = True
            self._awake.wait(FOLLOW_EVERY if busy else IDLE_LOOK_EVERY)

    def _turn(self) -> bool:
        """Do all there is to do now; return whether to look again soon."""
        # Kept until a turn has done all there is to do: one that fails must not lose the call.
        self._called |= self._awake.is_set()
        self._awake.clear()
        running = self._store.running()
        changed = woken = self._called
        for task in running:
            try:
                changed |= self._follow(task)
            except Exception:  # one task that cannot be followed must not stop the others
                log.exception("task %d could not be followed", task.id)
        if woken:
            self._clear_deleted()
        changed |= self._check_data(look_for_more=changed)
        # The queue can only move when something has changed, or a GPU has come or gone.
        if changed or not running:
            self._start_waiting()
        self._called = False
        return bool(self._store.running()) or self._checks.task_id is not None

    # --- attempts that run

    def _adopt(self) -> None:
        for task in self._store.running():
            attempt = self._store.attempt(task.id, task.attempt)
            if attempt.handle is None:
                self._settle(task, attempt)
        self._awake.set()

    def _settle(self, task: TaskRecord, attempt: AttemptRecord) -> None:
        """Find out about an attempt whose start was not recorded: server or store failed in it."""
        run = RunDirectory(Path(attempt.run_directory))
        if run.supervisor.exists() or self._executor.alive(attempt.run_directory):
            self._store.save_handle(task.id, attempt.number, attempt.run_directory)
        elif task.stop_requested_at is not None:
            self._store.set_status(
                task, Status.STOPPED, finished_at=time.time(), phase=None, pid=None
            )
        else:
            self._store.set_status(task, Status.PENDING, phase=None, devices=(), pid=None)

    def _follow(self, task: TaskRecord) -> bool:
        """Take the events of a running task and see whether it has ended; return that."""
        attempt = self._store.attempt(task.id, task.attempt)
        if attempt.handle is None:
            self._settle(task, attempt)
            return True
        # In this order: what a process wrote before it was seen dead is read below.
        ended = bool(self._executor.read(attempt.handle, EXIT, 0, 1)) or not self._executor.alive(
            attempt.handle
        )
        events = take_events(self._store, self._executor, task)
        if any(isinstance(event, Finished) for event in events):
            self._finished_at[task.id, attempt.number] = time.monotonic()
        if events or ended:
            self._changes.publish(task.id)
        if ended:
            self._conclude(task, attempt)
        else:
            self._stop_if_asked(task, attempt)
        return ended

    def _stop_if_asked(self, task: TaskRecord, attempt: AttemptRecord) -> None:
        key = (task.id, attempt.number)
        grace: float | None = None
        if task.delete_requested_at is not None:
            grace = min(DELETE_GRACE, self._settings.stop_grace_seconds)
        elif task.stop_requested_at is not None:
            grace = self._settings.stop_grace_seconds
        if time.monotonic() - self._finished_at.get(key, time.monotonic()) > TEARDOWN_LIMIT:
            grace = 0.0
        if grace is not None and self._asked_to_stop.get(key) != grace:
            assert attempt.handle is not None
            self._executor.stop(attempt.handle, grace)
            self._asked_to_stop[key] = grace

    def _conclude(self, task: TaskRecord, attempt: AttemptRecord) -> None:
        """Give an ended attempt's task its final status."""
        handle = attempt.handle
        assert handle is not None
        exit = _json_object(self._executor.read(handle, EXIT, 0, 1 << 20))
        kinds = ("phase", "error", "finished", "memory_plan")
        told = self._store.events_of_types(task.id, kinds)
        events = [
            decode(event.data | {"type": event.type})
            for event in told
            if event.attempt == attempt.number
        ]
        if run := memory_run(events, task.id, attempt.number, task.base_model):
            self._store.add_memory_run(run)
        tail = self._executor.read(handle, LOG, -LOG_TAIL, LOG_TAIL)
        current = self._store.find(task.id) or task  # a stop may have been asked for meanwhile
        judged = verdict(
            task.spec,
            exit,
            events,
            tail.decode("utf-8", "replace").splitlines(),
            current.stop_requested_at is not None or current.delete_requested_at is not None,
        )
        ended_at = exit["ended_at"] if exit else time.time()
        if self._store.end_attempt(
            current, judged.status, exit=exit or {}, error=judged.error, ended_at=ended_at
        ):
            self._asked_to_stop.pop((task.id, attempt.number), None)
            self._finished_at.pop((task.id, attempt.number), None)
            log.info("task %d: %s", task.id, judged.status)
        self._changes.publish(task.id)
        self._awake.set()

    # --- tasks that wait

    def _check_data(self, look_for_more: bool) -> bool:
        """Move the checks of big data sets on; return whether one has ended."""
        result = self._checks.ended()
        if result and (task := self._store.find(result.task_id)):
            if result.error is None:
                self._store.update(task, checked=True, phase=None)
            elif task.status is Status.PENDING:
                self._fail(task, result.error["code"], result.error["params"])
            self._changes.publish(task.id)
        if self._checks.task_id is not None:
            task = self._store.find(self._checks.task_id)
            if task is None or task.status is not Status.PENDING or task.delete_requested_at:
                self._checks.cancel()
        if self._checks.task_id is None and (look_for_more or result):
            for task in self._store.pending():
                if not task.checked:
                    self._checks.start(task.id, task.spec)
                    self._store.update(task, phase=Phase.CHECKING.value)
                    break
        return result is not None

    def _start_waiting(self) -> None:
        waiting = {task.id: task for task in self._store.pending()}
        if not waiting:
            return
        running = {task.id: task.devices for task in self._store.running()}
        devices = self._inventory()
        ready = [
            Candidate(task.id, task.spec.gpu.devices) for task in waiting.values() if task.checked
        ]
        decisions = decide(
            ready, running, [device.index for device in devices], self._settings.cpu_tasks
        )
        reasons = {task.id: CHECKING_DATA for task in waiting.values() if not task.checked}
        for decision in decisions:
            if isinstance(decision, Start):
                self._start(waiting[decision.task_id], decision.devices)
            else:
                reasons[decision.task_id] = decision.reason
        self._store.explain(
            {id: reason for id, reason in reasons.items() if waiting[id].queue_reason != reason}
        )
        self._changes.publish()

    def _start(self, task: TaskRecord, devices: tuple[int, ...]) -> None:
        try:
            launch(task, devices, self._store, self._executor, self._settings)
        except OSError as error:
            log.exception("task %d could not be started", task.id)
            reason: dict[str, object] = {"reason": error.strerror or str(error)}
            while (current := self._store.find(task.id)) and current.status not in TERMINAL:
                self._fail(current, "start_failed", reason)  # again if a stop came in between
        self._awake.set()

    def _fail(self, task: TaskRecord, code: str, params: dict[str, object]) -> None:
        error = {
            "code": code,
            "params": params,
            "log_lines": [],
            "suggested_change": suggested_change(code, task.spec, params),
        }
        self._store.set_status(
            task, Status.FAILED, error=error, finished_at=time.time(), phase=None, queue_reason=None
        )

    # --- tasks that were deleted

    def _clear_deleted(self) -> None:
        """Remove deleted tasks that do not run (any more): run directory and log, then the row."""
        for task in self._store.to_delete():
            if task.status is Status.RUNNING:
                continue
            directory = run_directory_of(self._settings, task.id, 1).path.parent
            shutil.rmtree(directory, onerror=_log_left_over)
            self._store.remove(task.id)
            self._changes.publish(task.id)


def _json_object(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except ValueError:  # not there, or not written by a supervisor
        return None
    return value if isinstance(value, dict) else None


def _log_left_over(_function: object, path: str, error: object) -> None:
    if Path(path).exists():
        log.warning("%s could not be removed: %s", path, error)
