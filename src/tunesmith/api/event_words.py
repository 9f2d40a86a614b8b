"""An event in words and as the wire tells it: a record and a language in, values out. Pure."""

from typing import Any

from pydantic.alias_generators import to_camel

from tunesmith.api.metrics import point
from tunesmith.api.task_answer import error_answer
from tunesmith.messages import Language, sentence
from tunesmith.status import Status
from tunesmith.store import StoredEvent, TaskRecord

GIB = 1 << 30


def event_data(stored: StoredEvent, task: TaskRecord, language: Language) -> dict[str, Any]:
    """Return what the wire says of an event: camelCase, with a `message` but for the curves'."""
    data = stored.data
    if stored.type in ("metrics", "evaluation"):
        return point(stored).model_dump(by_alias=True, exclude_none=True)
    told: dict[str, Any] = {"attempt": stored.attempt, "at": stored.at}
    match stored.type:
        case "status":
            return told | _status_data(data, task, language)
        case "error":
            error = error_answer(data, language)
            assert error is not None
            return told | error.model_dump(by_alias=True, include={"code", "message", "hint"})
        case "warning":
            told |= data
        case _:
            told |= {to_camel(name): value for name, value in data.items()}
    return told | {"message": _message(stored.type, data, language)}


def _message(type: str, data: dict[str, Any], language: Language) -> str:
    match type:
        case "warning":
            return sentence(f"warning.{data['code']}", language, data["params"])
        case "phase":
            data = {"phase": {"code": f"cli.phase.{data['phase']}"}}
        case "memory_plan":
            planned, available = data["planned_bytes"], data["available_bytes"]
            data = {"planned": f"{planned / GIB:.1f}"}
            if available is not None:
                type, data["available"] = "memory_plan_of", f"{available / GIB:.1f}"
        case "finished":
            type = f"finished_{data['outcome']}"
        case "exited":
            if data.get("signal"):
                type = "exited_by_signal"
            elif data.get("exit_code") is None:
                type = "exited_unknown"
    return sentence(f"event.{type}", language, data)


def _status_data(data: dict[str, Any], task: TaskRecord, language: Language) -> dict[str, Any]:
    status = Status(data["status"])
    # An event read again may tell of a status that is past; the error belongs to the last one.
    error = error_answer(task.error, language) if status is task.status else None
    return {
        "status": status.value,
        "progress": task.progress,
        "message": error.message if error else sentence(f"status.{status}", language),
        "error": error.model_dump(by_alias=True) if error else None,
    }
