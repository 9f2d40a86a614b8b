"""What a server answers, for tests of the client and the command line without one."""

import json
from collections.abc import Callable
from typing import Any

import httpx

Route = Callable[[httpx.Request], httpx.Response]


def task_answer(task_id: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a task as the wire has it."""
    return {
        "ID": task_id,
        "CreatedAt": "2026-11-24T04:00:00Z",
        "UpdatedAt": "2026-11-24T04:00:01Z",
        "name": "persona",
        "description": None,
        "userID": None,
        "status": "running",
        "progress": 40.0,
        "baseModel": "/models/a very long directory name/smol",
        "datasetPath": "/data/persona",
        "outputPath": "/data/outputs/1",
        "trainingArgs": {"learning_rate": 0.0002, "lora_r": 16},
        "givenArgs": ["learning_rate"],
        "gpuConfig": {},
        "command": "python -m tunesmith.trainer /data/tasks/1/1",
        "logPath": "/data/tasks/1/1/train.log",
        "errorMessage": None,
        "startedAt": 1_790_000_000,
        "finishedAt": None,
        "pid": 4711,
        "metrics": {"loss": 1.25},
        "attempt": 1,
        "phase": "training",
        "step": 4,
        "totalSteps": 10,
        "epoch": 0.4,
        "elapsedSeconds": 65.0,
        "etaSeconds": 90.0,
        "tokensPerSecond": 100.0,
        "download": None,
        "queueReason": None,
        "error": None,
        "devices": [],
        "simulated": False,
        "lastEventId": 7,
    } | changes


def success(data: Any) -> httpx.Response:
    return httpx.Response(200, json={"code": 0, "data": data, "msg": "ok"})


def refusal(status: int, message: str, data: Any = None) -> httpx.Response:
    return httpx.Response(status, json={"code": status, "data": data, "msg": message})


def events(*told: tuple[int | None, str, Any]) -> httpx.Response:
    """Return an event stream of (id, name, data)."""
    text = "retry: 10\n\n"
    for number, name, data in told:
        first = "" if number is None else f"id: {number}\n"
        text += f"{first}event: {name}\ndata: {json.dumps(data)}\n\n"
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


class Routes(httpx.MockTransport):
    """Answers by the path's last part; keeps the requests it got."""

    def __init__(self, **routes: Route | list[Route]) -> None:
        self.requests: list[httpx.Request] = []
        self._routes = routes
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        route = self._routes[request.url.path.rsplit("/", 1)[-1]]
        if isinstance(route, list):  # one answer after another, the last one for good
            route = route.pop(0) if len(route) > 1 else route[0]
        return route(request)

    def queries(self) -> list[dict[str, str]]:
        return [dict(request.url.params) for request in self.requests]
