"""The one thing a trainer hears from outside: a stop (SIGTERM; Ctrl-C at a terminal)."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(BaseException):
    """Ends a run that has not begun to train. No `Exception`: nobody may swallow it."""


class Stop:
    """A flag set by the signal; the training loop looks at it between micro-batches."""

    def __init__(self) -> None:
        self.requested = False
        self._at_once = False

    def listen(self) -> None:
        """Take SIGTERM and SIGINT from now on."""
        signal.signal(signal.SIGTERM, self._hear)
        signal.signal(signal.SIGINT, self._hear)

    def check(self) -> None:
        """Raise StopRequested if a stop was asked for."""
        if self.requested:
            raise StopRequested

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within this block a stop raises StopRequested right where the run is.

        For work that leaves nothing behind: checking, importing, loading, tokenising.
        """
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False
        # The exception is lost if the signal came inside a destructor or a callback.
        self.check()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C means now
        if self._at_once:
            raise StopRequested
