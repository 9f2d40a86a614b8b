"""Tells waiting streams that the store has changed, so that they need not poll it."""

import asyncio
import threading


class Changes:
    """A bell: `publish` may be called from any thread, `wait` from any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def publish(self) -> None:
        """Wake everybody who waits now."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def listen(self) -> asyncio.Event:
        """Return an event that the next `publish` sets. Take it before reading the store."""
        event = asyncio.Event()
        with self._lock:
            self._waiting.append((asyncio.get_running_loop(), event))
        return event

    def forget(self, event: asyncio.Event) -> None:
        """Drop an event that nobody waits for any more."""
        with self._lock:
            self._waiting = [pair for pair in self._waiting if pair[1] is not event]
