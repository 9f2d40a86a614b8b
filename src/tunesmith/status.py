"""Task status: what may follow what. Pure; the only place that knows."""

from enum import StrEnum

from tunesmith.errors import IllegalTransition


class Status(StrEnum):
    PENDING = "pending"  # waiting for its devices
    RUNNING = "running"  # handed to an executor
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"  # by request; never resumed


FOLLOWS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.RUNNING, Status.STOPPED, Status.FAILED}),
    # A task may finish in the moment it is asked to stop: believe the trainer. Back to pending
    # goes a task whose attempt never started because the server died in between.
    Status.RUNNING: frozenset({Status.COMPLETED, Status.FAILED, Status.STOPPED, Status.PENDING}),
}
TERMINAL: frozenset[Status] = frozenset(Status) - FOLLOWS.keys()


def advance(now: Status, new: Status) -> Status:
    """Return `new` if it may follow `now`; raise IllegalTransition if not."""
    if new not in FOLLOWS.get(now, frozenset()):
        raise IllegalTransition(now=now, new=new)
    return new
