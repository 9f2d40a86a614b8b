"""Shows a task's progress while it runs: a bar on a terminal, lines every few seconds elsewhere."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from tunesmith import Client
from tunesmith.wire import Task

LINE_EVERY = 5.0  # seconds


@dataclass
class Course:
    """What is known of a run so far."""

    phase: str = "waiting"
    step: int = 0
    total: int | None = None
    loss: float | None = None
    remaining: float | None = None

    def take(self, event: str, data: dict[str, Any]) -> str | None:
        """Take an event in; return what is worth a line of its own."""
        if event == "progress":
            waits = data["queueReason"]["message"] if data["queueReason"] else data["status"]
            self.phase = data["phase"] or waits
            self.step, self.total = data["step"], data["totalSteps"]
            self.remaining = data["etaSeconds"]
        elif event == "metrics":
            self.loss = data["loss"]
        elif event == "plan":
            return (
                f"{data['samples']} samples, {data['totalSteps']} steps;"
                f" {data['trainableParameters'] / 1e6:.1f} of"
                f" {data['totalParameters'] / 1e6:.1f} million parameters are trained,"
                f" on {data['device']} in {data['dtype']}"
            )
        elif event == "evaluation":
            return (
                f"Validation after step {data['step']}: loss {data['eval_loss']:.3f},"
                f" {data['token_accuracy']:.0%} of the answers' tokens right"
            )
        elif event == "warning":
            return str(data["message"])
        return None

    @property
    def shown(self) -> dict[str, Any]:
        """The numbers as a person reads them."""
        return {
            "loss": "-" if self.loss is None else f"{self.loss:.3f}",
            "remaining": "-:--" if self.remaining is None else duration(self.remaining),
        }


def duration(seconds: float) -> str:
    """Return 75.2 as 1:15."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def follow(client: Client, task_id: int, console: Console) -> Task:
    """Show the task's progress until it ends; return it as it ended."""
    course = Course()
    bar = _bar(console) if console.is_terminal else None
    with bar or nullcontext():
        show = _on_bar(bar, course) if bar else _in_lines(console, course)
        for event in client.stream(task_id):
            if line := course.take(event.event, event.data):
                console.print(line)
            show()
    return client.wait(task_id)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("step {task.completed}/{task.total}  loss {task.fields[loss]}"),
        TimeElapsedColumn(),
        TextColumn("remaining {task.fields[remaining]}"),
        console=console,
        refresh_per_second=4,  # the cores are the trainer's
    )


def _on_bar(bar: Progress, course: Course) -> Callable[[], None]:
    row = bar.add_task(course.phase, total=None, **course.shown)

    def show() -> None:
        bar.update(
            row,
            description=course.phase,
            total=course.total,
            completed=course.step,
            **course.shown,
        )

    return show


def _in_lines(console: Console, course: Course) -> Callable[[], None]:
    began = time.monotonic()
    last = began - LINE_EVERY
    phase = ""

    def show() -> None:
        nonlocal last, phase
        now = time.monotonic()
        if now - last < LINE_EVERY and course.phase == phase:
            return
        last, phase = now, course.phase
        percent = 100 * course.step / course.total if course.total else 0
        shown = course.shown
        console.print(
            f"{percent:3.0f} %  {phase}  step {course.step}/{course.total or '-'}"
            f"  loss {shown['loss']}  elapsed {duration(now - began)}"
            f"  remaining {shown['remaining']}"
        )

    return show
