"""Tells waiting streams that the store has changed, so that they need not poll it."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class Bell:
    """Rung by every change of one task, or of any; made by `Changes.bell`, for one event loop."""

    def __init__(self, task_id: int | None) -> None:
        self._task_id = task_id
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self._lock = threading.Lock()
        self._tasks: set[int] | None = set()

    def ring(self, task_ids: tuple[int, ...]) -> None:
        """Wake who waits, unless the change is of other tasks; none named means any."""
        if self._task_id is not None and task_ids and self._task_id not in task_ids:
            return
        with self._lock:
            if not task_ids:
                self._tasks = None
            elif self._tasks is not None:
                self._tasks.update(task_ids)
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(self._rung.set)

    @property
    def rung(self) -> bool:
        return self._rung.is_set()

    def take(self) -> set[int] | None:
        """Return the tasks that have rung it since the last time, None for any; be silent again.

        To be called before the store is read: what comes after the reading rings anew.
        """
        self._rung.clear()
        with self._lock:
            tasks, self._tasks = self._tasks, set()
        return tasks

    async def wait(self, seconds: float) -> bool:
        """Return whether it has rung, after `seconds` at the latest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        return self.rung


class Changes:
    """`publish` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bells: list[Bell] = []
        self._count = 0

    @property
    def count(self) -> int:
        """How many changes were published. What was read at a count holds all of them."""
        return self._count

    def publish(self, *task_ids: int) -> None:
        """Ring the bells of these tasks, or all bells. To be called when the store has changed."""
        with self._lock:
            self._count += 1
            bells = tuple(self._bells)
        for bell in bells:
            bell.ring(task_ids)

    @contextlib.contextmanager
    def bell(self, task_id: int | None = None) -> Iterator[Bell]:
        """Give a bell that rings for a task, or for all, as long as the block runs."""
        bell = Bell(task_id)
        with self._lock:
            self._bells.append(bell)
        try:
            yield bell
        finally:
            with self._lock:
                self._bells.remove(bell)
