"""Typed client of a Tunesmith server: the wire contract as Python calls.

    with Client() as client:
        task = client.create_task("persona", "/models/smol", "/data/persona")
        for event in client.stream(task.id):
            print(event.event, event.data)

Without arguments it finds the server of this machine: TUNESMITH_URL and TUNESMITH_TOKEN, else
what the running server left in the data directory. Errors are the package's own (`errors`):
Unreachable, NotSignedIn, InvalidInput, NotFound, Conflict.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tunesmith.check.report import Report
from tunesmith.client.connection import Connection
from tunesmith.errors import Unreachable
from tunesmith.messages import Language, user_language
from tunesmith.spec import TaskRequest
from tunesmith.status import TERMINAL, Status
from tunesmith.wire import (
    Argument,
    CheckedTask,
    Device,
    DirectoryList,
    Health,
    InspectedModel,
    LogMatch,
    LogMatches,
    MemoryPlan,
    MemoryRun,
    Metrics,
    ModelList,
    Preview,
    Task,
    TaskEvent,
    TaskEvents,
    TaskPage,
    TaskStatistics,
)

TIMEOUT = 30.0  # seconds for an answer
ENDING_TIMEOUT = 180.0  # a deletion waits until the trainer has saved, or its grace is over
CHECK_TIMEOUT = 60.0  # a check answers that long after its time at the latest
PATIENCE = 60.0  # seconds that a stream waits for a server that restarts
PAGE_SIZE = 100
BYTES_A_LINE = 256  # more than most lines of a log have
LOG_END = (64 << 10, 8 << 20)  # bytes that `log_end` reads, least and most


@dataclass(frozen=True)
class StreamEvent:
    """`progress` (how the task stands), `status`, or a type of `events`; data as on the wire."""

    id: int
    """Where to go on: `last_event_id` of `stream`."""
    event: str
    data: dict[str, Any]


class Client:
    """A connection to a server. Not for several threads at once."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
        language: Language | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`language` is that of the server's sentences, by default the user's (LANG).

        Raises Unreachable where no URL is given and no server runs on the data directory.
        """
        self._server = Connection(
            url, token, timeout, patience, language or user_language(), transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._server.url

    # Tasks

    def create_task(
        self,
        name: str,
        base_model: str,
        dataset_path: str | Path,
        *,
        description: str | None = None,
        output_path: str | Path | None = None,
        training_args: Mapping[str, Any] | None = None,
        gpu_config: Mapping[str, Any] | None = None,
    ) -> Task:
        """Create a task; paths are absolute ones of the server's machine. Raises InvalidInput."""
        request = {
            "name": name,
            "baseModel": base_model,
            "datasetPath": str(dataset_path),
            "description": description,
            "outputPath": None if output_path is None else str(output_path),
            "trainingArgs": None if training_args is None else dict(training_args),
            "gpuConfig": None if gpu_config is None else dict(gpu_config),
        }
        return self.create_task_from({key: v for key, v in request.items() if v is not None})

    def create_task_from(self, request: TaskRequest | Mapping[str, Any]) -> Task:
        """Create the task that `request` describes, under wire or Python names."""
        if isinstance(request, TaskRequest):
            request = request.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return self._server.ask(Task, "POST", "/finetuning/createTask", body=dict(request))

    def check_task(self, request: TaskRequest | Mapping[str, Any]) -> CheckedTask:
        """Return what `create_task_from` would make, and what is unusual; creates nothing."""
        if isinstance(request, TaskRequest):
            request = request.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return self._server.ask(CheckedTask, "POST", "/finetuning/checkTask", body=dict(request))

    def task(self, task_id: int) -> Task:
        return self._server.ask(Task, "GET", "/finetuning/getTask", id=task_id)

    def tasks(
        self,
        page: int = 1,
        page_size: int = 10,
        *,
        keyword: str | None = None,
        name: str | None = None,
        status: Status | str | None = None,
        base_model: str | None = None,
        order_key: str | None = None,
        desc: bool | None = None,
    ) -> TaskPage:
        """Return a page of tasks, newest first where no `order_key` is given."""
        return self._server.ask(
            TaskPage,
            "GET",
            "/finetuning/getTaskList",
            page=page,
            pageSize=page_size,
            keyword=keyword,
            name=name,
            status=None if status is None else str(status),
            baseModel=base_model,
            orderKey=order_key,
            desc=None if desc is None else str(desc).lower(),
        )

    def iter_tasks(self, **filters: Any) -> Iterator[Task]:
        """Yield the tasks of all pages; `filters` are those of `tasks`.

        A task created meanwhile moves the others to later pages: none is yielded twice.
        """
        seen: set[int] = set()
        page = 1
        while True:
            answer = self.tasks(page, PAGE_SIZE, **filters)
            yield from (task for task in answer.items if task.id not in seen)
            seen.update(task.id for task in answer.items)
            if page * answer.page_size >= answer.total or not answer.items:
                return
            page += 1

    def statistics(self) -> TaskStatistics:
        """Return how many tasks have each status, and which base models they use."""
        return self._server.ask(TaskStatistics, "GET", "/finetuning/getTaskStatistics")

    def stop_task(self, task_id: int) -> Task:
        """Ask a task to end; it saves what it has. Raises Conflict if it has ended already."""
        return self._server.ask(Task, "POST", "/finetuning/stopTask", id=task_id)

    def delete_task(self, task_id: int) -> None:
        """Stop a task if it runs, and remove it with its log. Its output stays."""
        timeout = max(self._server.timeout, ENDING_TIMEOUT)
        self._server.ask(object, "DELETE", "/finetuning/deleteTask", timeout=timeout, id=task_id)

    def wait(self, task_id: int, *, poll: float = 1.0, timeout: float | None = None) -> Task:
        """Return the task when it has ended; looks every `poll` seconds.

        A server that restarts is waited for. Raises TimeoutError after `timeout` seconds.
        """
        end = None if timeout is None else time.monotonic() + timeout
        alive = time.monotonic()
        while True:
            try:
                task = self.task(task_id)
                alive = time.monotonic()
                if task.status in TERMINAL:
                    return task
            except Unreachable:
                if time.monotonic() - alive > self._server.patience:
                    raise
                self._server.look_again()
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"task {task_id} has not ended after {timeout} s")
            time.sleep(poll)

    # What a task says

    def log(self, task_id: int, lines: int = 1000, offset: int | None = None) -> str:
        """Return the last `lines` lines, or `lines` lines after the first `offset` ones."""
        return self._server.ask(
            str, "GET", "/finetuning/getTaskLog", id=task_id, lines=lines, offset=offset
        )

    def download_log(self, task_id: int, to: Path) -> Path:
        """Write the whole log to the file `to`, which appears when it is complete."""
        draft = to.with_name(f".{to.name}.{os.getpid()}")
        try:
            with (
                self._server.open("/finetuning/downloadTaskLog", {"id": task_id}, {}) as response,
                draft.open("wb") as file,
            ):
                for chunk in response.iter_bytes():
                    file.write(chunk)
            return draft.replace(to)
        except httpx.TransportError:
            raise Unreachable(url=self.url) from None
        finally:
            draft.unlink(missing_ok=True)

    def search_log(
        self, task_id: int, query: str = "", *, ignore_case: bool = False, errors: bool = False
    ) -> Iterator[LogMatch]:
        """Yield the lines of the log that hold `query`, or with `errors` those that tell of one."""
        asked: dict[str, Any] = {
            "query": query,
            "kind": "error" if errors else "text",
            "ignoreCase": str(ignore_case).lower(),
            "from": 0,
        }
        while asked["from"] is not None:
            found = self._server.ask(
                LogMatches, "GET", "/finetuning/searchTaskLog", id=task_id, **asked
            )
            yield from found.matches
            asked["from"] = found.next

    def events(self, task_id: int, after: int = 0) -> list[TaskEvent]:
        """Return what has happened to a task after event `after`, without metrics, in words."""
        told: list[TaskEvent] = []
        while True:
            page = self._server.ask(
                TaskEvents, "GET", "/finetuning/getTaskEvents", id=task_id, after=after
            )
            told += page.events
            if not page.truncated:
                return told
            after = page.events[-1].id

    def metrics(
        self,
        task_id: int,
        max_points: int | None = None,
        *,
        from_step: int | None = None,
        to_step: int | None = None,
    ) -> Metrics:
        """Return the series of a task, or its part from and to a step, both included.

        The server thins what it answers to `max_points`.
        """
        return self._server.ask(
            Metrics,
            "GET",
            "/finetuning/getTaskMetrics",
            id=task_id,
            maxPoints=max_points,
            fromStep=from_step,
            toStep=to_step,
        )

    def stream(self, task_id: int, last_event_id: int = 0) -> Iterator[StreamEvent]:
        """Yield what happens to a task after `last_event_id`, until it has ended.

        A dropped connection is made again and goes on without gap or repeat; Unreachable is
        raised when no server answers for the client's `patience` seconds.
        """
        last = str(last_event_id)
        for event in self._server.events("/finetuning/streamTask", {"id": task_id}, last):
            last = event.id or last
            yield StreamEvent(int(last), event.event, json.loads(event.data))

    def stream_log(self, task_id: int, offset: int = 0) -> Iterator[str]:
        """Yield the log's text from byte `offset` on, as it is written, until the task ends."""
        for event in self._server.events("/finetuning/streamTaskLog", {"id": task_id}, str(offset)):
            yield json.loads(event.data)["text"]

    def log_end(self, task_id: int, lines: int = 1000) -> tuple[str, int]:
        """Return the last `lines` whole lines, and the byte after them: `stream_log` goes on there.

        They are fewer where lines are very long.
        """
        size = min(max(LOG_END[0], lines * BYTES_A_LINE), LOG_END[1])
        headers = {"range": f"bytes=-{size}"}
        try:
            with self._server.open(
                "/finetuning/downloadTaskLog", {"id": task_id}, headers
            ) as response:
                if response.status_code == 416:  # an empty log has no part that could be sent
                    return "", 0
                data = response.read()
        except httpx.TransportError:
            raise Unreachable(url=self.url) from None
        start = int(response.headers.get("content-range", "bytes 0-").split()[1].split("-")[0])
        whole = data[: data.rfind(b"\n") + 1]
        cut = whole.find(b"\n") + 1 if start else 0  # the range begins within a line
        kept = whole[cut:].decode("utf-8", "replace").splitlines(keepends=True)[-lines:]
        return "".join(kept), start + len(whole)

    # The server

    def preview_sample(
        self,
        base_model: str,
        dataset_path: str | Path | None = None,
        *,
        sample: Mapping[str, Any] | None = None,
        row: int = 1,
        training_args: Mapping[str, Any] | None = None,
    ) -> Preview:
        """Return a row of a data set, or `sample`, as a model will see it."""
        body = {
            "baseModel": base_model,
            "datasetPath": None if dataset_path is None else str(dataset_path),
            "sample": None if sample is None else dict(sample),
            "row": row,
            "trainingArgs": dict(training_args or {}),
        }
        body = {name: value for name, value in body.items() if value is not None}
        return self._server.ask(
            Preview, "POST", "/finetuning/previewSample", timeout=90.0, body=body
        )

    def check_dataset(
        self,
        dataset_path: str | Path,
        base_model: str | None = None,
        *,
        training_args: Mapping[str, Any] | None = None,
        seconds: float = 20.0,
    ) -> Report:
        """Check a data set of the server's machine for `seconds` at most (1-120)."""
        body = {
            "datasetPath": str(dataset_path),
            "baseModel": base_model,
            "trainingArgs": dict(training_args or {}),
            "seconds": seconds,
        }
        body = {name: value for name, value in body.items() if value is not None}
        timeout = seconds + CHECK_TIMEOUT
        return self._server.ask(
            Report, "POST", "/finetuning/checkDataset", timeout=timeout, body=body
        )

    def plan_memory(
        self,
        base_model: str,
        training_args: Mapping[str, Any] | None = None,
        *,
        gpu_config: Mapping[str, Any] | None = None,
        mode: str = "formula",
        devices: int = 1,
        device_type: str | None = None,
        device_memory_gib: float | None = None,
    ) -> MemoryPlan:
        """Return what a training would take, and whether it fits; `mode` is formula or trace."""
        body = {
            "baseModel": base_model,
            "trainingArgs": dict(training_args or {}),
            "gpuConfig": dict(gpu_config or {}),
            "mode": mode,
            "devices": devices,
            "deviceType": device_type,
            "deviceMemoryGib": device_memory_gib,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return self._server.ask(
            MemoryPlan, "POST", "/finetuning/planMemory", timeout=90.0, body=body
        )

    def memory_history(self) -> list[MemoryRun]:
        """Return planned and measured memory of past runs, the newest first."""
        return self._server.ask(list[MemoryRun], "GET", "/finetuning/getMemoryHistory")

    def list_directory(self, path: str | Path = "", *, show_hidden: bool = False) -> DirectoryList:
        """Return what is in a directory of the server's machine; "" lists the allowed roots."""
        return self._server.ask(
            DirectoryList,
            "GET",
            "/finetuning/listDirectory",
            path=str(path),
            showHidden=str(show_hidden).lower(),
        )

    def devices(self) -> list[Device]:
        return self._server.ask(list[Device], "GET", "/finetuning/getDeviceList")

    def model_list(self) -> ModelList:
        """Return the catalogue of base models, and what lies in the server's models directory."""
        return self._server.ask(ModelList, "GET", "/finetuning/getModelList")

    def inspect_model(self, path: str | Path) -> InspectedModel:
        """Return what a directory, name or hub id is, and what is wrong with it.

        Raises NotFound for one that nobody knows.
        """
        return self._server.ask(InspectedModel, "GET", "/finetuning/inspectModel", path=str(path))

    def training_schema(self) -> list[Argument]:
        """Describe every training argument: type, default, bounds, recommended range, hints."""
        return self._server.ask(list[Argument], "GET", "/finetuning/getTrainingSchema")

    def health(self) -> Health:
        return self._server.ask(Health, "GET", "/health")
