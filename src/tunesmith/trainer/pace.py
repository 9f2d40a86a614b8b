"""How fast this run is, measured on itself, and how long it will still take. Pure."""

from collections import deque

RECENT = 30  # steps: more would be slow to see that another program came or went


class Pace:
    """Counts the time of optimiser steps; evaluations and checkpoints are kept apart."""

    def __init__(self) -> None:
        self._steps = 0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._evaluation = 0.0
        self._window_tokens = 0
        self._window_seconds = 0.0

    def stepped(self, seconds: float, tokens: int) -> None:
        """Take note of an optimiser step over `tokens` real tokens."""
        if self._steps == 1:
            # The first step pays for caches and lazy set-up that no other one pays for.
            self._recent.clear()
        self._steps += 1
        self._recent.append(seconds)
        self._window_seconds += seconds
        self._window_tokens += tokens

    def evaluated(self, seconds: float) -> None:
        self._evaluation = seconds

    @property
    def tokens_per_second(self) -> float:
        """Since the last `next_window`."""
        return self._window_tokens / self._window_seconds if self._window_seconds else 0.0

    def next_window(self) -> None:
        self._window_tokens, self._window_seconds = 0, 0.0

    def eta(self, steps: int, evaluations: int) -> float:
        """Return the seconds that `steps` steps and `evaluations` evaluations will take."""
        if not self._recent:
            return 0.0
        mean = sum(self._recent) / len(self._recent)
        return steps * mean + evaluations * self._evaluation
