"""What the tests of the API work with: calls, a server, tasks as the daemon would leave them."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from tests.specs import make_spec
from tunesmith.api.app import create_app
from tunesmith.api.serve import listen, url_of
from tunesmith.api.server import HttpServer
from tunesmith.api.state import ServerState
from tunesmith.changes import Changes
from tunesmith.client.server_sent_events import ServerSentEvent, parse
from tunesmith.events import Event
from tunesmith.status import Status
from tunesmith.store import AttemptRecord, NewTask, TaskRecord

TOKEN = "a-token-for-tests"
EXITED: Mapping[str, Any] = {"exit_code": 0, "signal": None}


class WokenDaemon:
    """Publishes as the daemon does; tests play the rest of its part."""

    def __init__(self, changes: Changes) -> None:
        self.woken = 0
        self._changes = changes

    def wake(self) -> None:
        self.woken += 1
        self._changes.publish()


@dataclass(frozen=True)
class Api:
    """Calls the application without a socket."""

    app: FastAPI
    state: ServerState

    def __call__(self, method: str, path: str, *, token: str | None = TOKEN, **options: Any):
        headers = {"accept-language": "en"} | ({"x-token": token} if token else {})
        headers |= options.pop("headers", {})

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(ask())

    def get(self, name: str, /, **query: Any):
        return self("GET", f"/finetuning/{name}", params=query)

    def data(self, name: str, /, **query: Any):
        response = self.get(name, **query)
        assert response.status_code == 200, response.text
        assert response.json()["code"] == 0
        return response.json()["data"]


@contextmanager
def served(state: ServerState) -> Iterator[str]:
    """Serve `state` on a free port, for answers that stream; yield the URL."""
    settings = state.settings.model_copy(update={"port": 0})
    with listen(settings) as listener:
        server = HttpServer(create_app(state), state)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join()


def stored(state: ServerState, name: str = "n", **changes: Any) -> TaskRecord:
    """Store a pending task that nobody checks."""
    spec = make_spec().model_copy(
        update={"task_id": 0, "attempt": 0, "name": name, "output_path": "", **changes}
    )
    return state.store.insert(
        NewTask(spec, str(state.settings.outputs_dir), spec.base_model, None, checked=True)
    )


def started(state: ServerState, task: TaskRecord, devices: tuple[int, ...] = ()) -> TaskRecord:
    """Begin the task's next attempt, as the daemon does; its log may be written then."""
    number = task.attempt + 1
    run = state.settings.tasks_dir / str(task.id) / str(number)
    run.mkdir(parents=True)
    running = state.store.begin_attempt(
        task,
        AttemptRecord(task.id, number, str(run), None, devices, 0, 0, None),
        task.spec.model_copy(update={"attempt": number, "devices": devices}),
        command="python -m tunesmith.trainer",
        log_path=str(run / "train.log"),
        started_at=1000.0,
    )
    assert running is not None
    state.changes.publish()
    return running


def reported(state: ServerState, task: TaskRecord, *events: Event, **changes: Any) -> None:
    """Store what the trainer of `task` reports; `seq` goes on from the last call."""
    attempt = state.store.attempt(task.id, task.attempt)
    numbered = [
        event.model_copy(update={"seq": attempt.last_seq + number, "at": 1000.0 + number})
        for number, event in enumerate(events, 1)
    ]
    state.store.record(task.id, task.attempt, numbered, 0, **changes)
    state.changes.publish()


def ended(
    state: ServerState,
    task: TaskRecord,
    new: Status = Status.COMPLETED,
    exit: Mapping[str, Any] = EXITED,
    error: Mapping[str, Any] | None = None,
) -> TaskRecord:
    """End the attempt of `task`, as the daemon does."""
    now = state.store.task(task.id)
    found = state.store.end_attempt(now, new, exit=exit, error=error, ended_at=1010.0)
    assert found is not None
    return found


def events_of(response: httpx.Response) -> Iterator[ServerSentEvent]:
    return parse(response.iter_bytes())


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.01)
