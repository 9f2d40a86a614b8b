"""One reading for all who ask the same at the same time: followers of a task all do."""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

Read = TypeVar("Read")

MOST_KEPT = 64  # a piece of a log is 64 KiB


class SharedReadings:
    """Keeps what was read lately. For one event loop."""

    def __init__(self) -> None:
        self._begun: dict[Hashable, tuple[float, asyncio.Task[Any]]] = {}

    async def read(self, key: Hashable, seconds: float, call: Callable[[], Read]) -> Read:
        """Return what `call` answers, in a thread; or answered under `key` in the last `seconds`.

        Raises what it raised, then for everybody.
        """
        now = time.monotonic()
        began, reading = self._begun.get(key, (now, None))
        if reading is None or now - began > seconds:
            reading = asyncio.create_task(_in_thread(call))
            # Whoever waits may be gone before it fails.
            reading.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._begun.pop(key, None)
            self._begun[key] = now, reading
            if len(self._begun) > MOST_KEPT:
                del self._begun[next(iter(self._begun))]
        # Shielded: a follower that leaves must not take it from the others.
        found: Read = await asyncio.shield(reading)
        return found


async def _in_thread(call: Callable[[], Read]) -> Read:
    return await run_in_threadpool(call)
