"""Who may start now, and why the others wait. Pure: a decision from the state of things.

First come, first served. A task holds the GPUs it names alone; one that names none gets the first
free GPU. GPUs that an earlier task waits for are kept free for it, so that later ones cannot
starve it. Without GPUs, so many trainings run at a time on the CPU as the operator allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """A pending task. `wanted` are the GPUs it names; () lets us choose."""

    task_id: int
    wanted: tuple[int, ...]


@dataclass(frozen=True)
class Start:
    """Start the task now on `devices`; () is the CPU."""

    task_id: int
    devices: tuple[int, ...]


@dataclass(frozen=True)
class Wait:
    """Let the task wait; `reason` is {"code", "params"} for the message catalogue."""

    task_id: int
    reason: dict[str, Any]


def decide(
    waiting: Sequence[Candidate],
    running: Mapping[int, tuple[int, ...]],
    gpus: Sequence[int],
    cpu_tasks: int,
) -> list[Start | Wait]:
    """Return one decision per waiting task, in order.

    `waiting` is oldest first; `running` maps task ids to the GPUs they hold; `gpus` are the
    indices that the machine has.
    """
    holders = {device: task_id for task_id, devices in running.items() for device in devices}
    on_cpu = [task_id for task_id, devices in running.items() if not devices]
    reserved: set[int] = set()
    decisions: list[Start | Wait] = []
    for task in waiting:
        if missing := [device for device in task.wanted if device not in gpus]:
            decisions.append(_wait(task, "devices_missing", devices=missing))
        elif not gpus:
            if len(on_cpu) < cpu_tasks:
                on_cpu.append(task.task_id)
                decisions.append(Start(task.task_id, ()))
            else:
                decisions.append(
                    _wait(task, "waiting_for_slot", running=sorted(on_cpu), limit=cpu_tasks)
                )
        elif task.wanted:
            taken = [device for device in task.wanted if device in holders or device in reserved]
            if taken:
                reserved.update(task.wanted)
                by = sorted({holders[device] for device in taken if device in holders})
                decisions.append(_wait(task, "waiting_for_devices", devices=taken, holders=by))
            else:
                holders.update(dict.fromkeys(task.wanted, task.task_id))
                decisions.append(Start(task.task_id, task.wanted))
        else:
            free = [device for device in gpus if device not in holders and device not in reserved]
            if free:
                holders[free[0]] = task.task_id
                decisions.append(Start(task.task_id, (free[0],)))
            else:
                decisions.append(_wait(task, "waiting_for_any_device", count=len(gpus)))
    return decisions


def _wait(task: Candidate, code: str, **params: Any) -> Wait:
    return Wait(task.task_id, {"code": f"queue.{code}", "params": params})
