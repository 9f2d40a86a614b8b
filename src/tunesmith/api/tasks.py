"""createTask, deleteTask, stopTask, getTask, getTaskList."""

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from tunesmith import tasks, wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.event_stream import HEARTBEAT_EVERY
from tunesmith.api.language import RequestLanguage
from tunesmith.api.queries import TaskId, TaskIdAnywhere, not_empty
from tunesmith.api.state import ServerState, State
from tunesmith.api.task_answer import task_answer
from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.launch import run_directory_of
from tunesmith.messages import Language
from tunesmith.spec import TaskRequest, Text
from tunesmith.status import Status
from tunesmith.store import ORDER_KEYS, TaskQuery, TaskRecord

AFTER_GRACE = 15.0  # seconds beyond the grace period that deleteTask waits for the end

router = APIRouter()


class ListQuery(BaseModel):
    """What getTaskList may be asked for."""

    # Consoles add parameters of their own, such as a time stamp against caches.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    page: int = Field(1, ge=1)
    page_size: int = Field(10, ge=1, le=1000)
    keyword: Text | None = Field(None, description="A part of name or description")
    name: Text | None = Field(None, description="A part of the name")
    status: Status | None = None
    base_model: Text | None = Field(None, description="A part of the base model")
    order_key: str | None = Field(None, description=", ".join(ORDER_KEYS))
    desc: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _given_only(cls, values: Any) -> Any:
        return not_empty(values)


@router.post("/createTask", operation_id="createTask", response_model=Envelope[wire.Task])
def create_task(request: TaskRequest, state: State, language: RequestLanguage) -> Response:
    """Create a task. It starts by itself when its devices are free."""
    task = tasks.create(
        request, store=state.store, settings=state.settings, devices=state.inventory()
    )
    state.daemon.wake()
    return answer(_shown(task, state, language), language)


@router.delete("/deleteTask", operation_id="deleteTask", response_model=Envelope[None])
async def delete_task(id: TaskIdAnywhere, state: State, language: RequestLanguage) -> Response:
    """Stop a task and remove it with its log; the output stays. Answers when that is done."""
    await run_in_threadpool(tasks.delete, id, store=state.store)
    state.daemon.wake()
    # A trainer that does not end in this time is killed; the row goes when it is dead.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(state.settings.stop_grace_seconds + AFTER_GRACE):
            await _removed(id, state)
    return answer(None, language)


@router.post("/stopTask", operation_id="stopTask", response_model=Envelope[wire.Task])
def stop_task(id: TaskIdAnywhere, state: State, language: RequestLanguage) -> Response:
    """Stop a task: a pending one at once, a running one when its trainer has saved."""
    task = tasks.stop(id, store=state.store)
    state.daemon.wake()
    return answer(_shown(task, state, language), language)


@router.get("/getTask", operation_id="getTask", response_model=Envelope[wire.Task])
def get_task(id: TaskId, state: State, language: RequestLanguage) -> Response:
    """Return a task as it stands."""
    return answer(_shown(state.store.task(id), state, language), language)


@router.get("/getTaskList", operation_id="getTaskList", response_model=Envelope[wire.TaskPage])
def get_task_list(
    query: Annotated[ListQuery, Query()], state: State, language: RequestLanguage
) -> Response:
    """Return a page of tasks, newest first unless `orderKey` says otherwise."""
    if query.order_key is not None and query.order_key not in ORDER_KEYS:
        expected = {"expected": ", ".join(ORDER_KEYS)}
        raise InvalidInput(FieldProblem("orderKey", "field.literal_error", expected))
    found, total = state.store.page(TaskQuery(**query.model_dump()))
    page = wire.TaskPage(
        items=[_shown(task, state, language) for task in found],
        total=total,
        page=query.page,
        page_size=query.page_size,
    )
    return answer(page, language)


def _shown(task: TaskRecord, state: ServerState, language: Language) -> wire.Task:
    if not task.log_path:  # before the first attempt: where its log will be
        first = run_directory_of(state.settings, task.id, 1)
        task = replace(task, log_path=str(first.log))
    return task_answer(task, language, now=time.time())


async def _removed(task_id: int, state: ServerState) -> None:
    """Return when the task is gone, or when the server closes."""
    with state.changes.bell(task_id) as bell:
        while not state.closing.is_set():
            bell.take()
            if not await run_in_threadpool(state.store.exists, task_id):
                return
            await bell.wait(HEARTBEAT_EVERY)
