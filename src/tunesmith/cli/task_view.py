"""How a task looks: its status, its numbers, its row in a table, its end."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from tunesmith.cli.terminal import is_terminal, notice, plain, print_pairs, print_table, text
from tunesmith.status import Status
from tunesmith.wire import Download, Task

MARKS = {
    Status.PENDING: "🟡",
    Status.RUNNING: "🟢",
    Status.COMPLETED: "✅",
    Status.FAILED: "❌",
    Status.STOPPED: "⏹️",
}
COLUMNS = ("id", "name", "status", "progress", "loss", "base_model", "started", "elapsed", "left")
WIDE_ONLY = frozenset({"base_model", "started"})
NUMBERS = frozenset({"id", "loss", "elapsed", "left"})
TEXTS = frozenset({"name", "base_model"})  # may be long
BAR = 10  # characters
WIDE = 100  # characters of a terminal


def status(value: Status) -> str:
    """Return mark and word for a person; in a pipe the word that the wire has."""
    return f"{MARKS[value]} {text(f'status.{value}')}" if is_terminal() else value.value


def duration(seconds: float | None) -> str:
    """Return seconds as 0:42, 12:05 or 3:00:00."""
    if seconds is None:
        return ""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def fetched(downloaded_bytes: int, total_bytes: int, bytes_per_second: float) -> str:
    """Return how far a download is: 3.2/15.2 GB, 45.0 MB/s."""
    there, total = downloaded_bytes / 1e9, total_bytes / 1e9
    return f"{there:.2f}/{total:.2f} GB, {bytes_per_second / 1e6:.1f} MB/s"


def moment(seconds: float | None) -> str:
    """Return Unix seconds as local time."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def print_tasks(tasks: Sequence[Task]) -> None:
    """Print a table of tasks: for a person what fits, in a pipe everything."""
    narrow = is_terminal() and get_terminal_size().columns < WIDE
    columns = [name for name in COLUMNS if not (narrow and name in WIDE_ONLY)]

    def places(kind: frozenset[str]) -> list[int]:
        return [index for index, name in enumerate(columns) if name in kind]

    print_table(
        [text(f"head.{name}") for name in columns],
        ([_cell(task, name, narrow) for name in columns] for task in tasks),
        right=places(NUMBERS),
        folded=places(TEXTS),
    )


def _cell(task: Task, column: str, narrow: bool) -> Any:
    match column:
        case "id" | "name":
            return getattr(task, column)
        case "status":
            return status(task.status)
        case "progress":
            percent = f"{task.progress:.1f} %"
            if narrow or not is_terminal():
                return percent
            full = round(BAR * task.progress / 100)
            return f"{'━' * full}{'╌' * (BAR - full)} {percent:>7}"
        case "loss":
            return number(task.metrics.get("loss"))
        case "base_model":
            return Path(task.base_model).name if is_terminal() else task.base_model
        case "started":
            # A person needs neither year nor seconds.
            return moment(task.started_at)[5:-3] if is_terminal() else moment(task.started_at)
        case "elapsed":
            return duration(task.elapsed_seconds)
        case _:
            return duration(task.eta_seconds)


def print_task(task: Task) -> None:
    """Print everything about a task."""
    steps = f"{task.step}/{task.total_steps}" if task.total_steps else ""
    gpus = ", ".join(map(str, task.devices)) or ("CPU" if task.attempt else "")
    if task.simulated and gpus:
        gpus += f" ({text('simulated')})"
    print_pairs(
        [
            (text("head.id"), task.id),
            (text("head.name"), task.name),
            (text("head.description"), task.description),
            (text("head.status"), status(task.status)),
            (text("head.waits"), task.queue_reason and task.queue_reason.message),
            (text("head.phase"), task.phase and text(f"phase.{task.phase}")),
            (text("head.download"), task.download and fetched(*_counts(task.download))),
            (text("head.progress"), f"{task.progress:.1f} %"),
            (text("head.step"), steps),
            *((name, number(value)) for name, value in task.metrics.items()),
            (text("head.tokens"), number(task.tokens_per_second)),
            (text("head.created"), moment(task.created_at.timestamp())),
            (text("head.started"), moment(task.started_at)),
            (text("head.finished"), moment(task.finished_at)),
            (text("head.elapsed"), duration(task.elapsed_seconds)),
            (text("head.left"), duration(task.eta_seconds)),
            (text("head.base_model"), task.base_model),
            (text("head.dataset"), task.dataset_path),
            (text("head.output"), task.output_path),
            (text("head.log"), task.log_path),
            (text("head.devices"), gpus),
            (text("head.pid"), task.pid),
            (text("head.arguments"), arguments(task.training_args)),
            (text("head.command"), task.command),
        ]
    )
    if task.status is Status.FAILED:
        print_failure(task)


def _counts(download: Download) -> tuple[int, int, float]:
    return download.downloaded_bytes, download.total_bytes, download.bytes_per_second


def print_end(task: Task) -> None:
    """Say how a task ended, and where the result is."""
    if task.status is Status.FAILED:
        notice(f"{status(task.status)}: {text('task', id=task.id)}")
        print_failure(task)
        return
    line = f"{status(task.status)}: {text('task', id=task.id)}"
    if task.status is Status.COMPLETED or task.step:
        line += f", {text('output', path=task.output_path)}"
    notice(line)


def print_failure(task: Task) -> None:
    """Say why a task failed: sentence, hint, log lines and what to change."""
    if task.error is None:
        notice(task.error_message or "")
        return
    explain(task.error.message, task.error.hint, task.error.log_lines, task.error.suggested_change)


def explain(message: str, advice: str | None, lines: list[str], change: Mapping[str, Any]) -> None:
    """Say why a run failed, on standard error."""
    notice(message)
    if advice:
        notice(advice)
    if lines:
        notice(text("log_says"))
        for line in lines:
            notice(f"  | {plain(line)}")
    if change:
        flags = " ".join(f"--set {name}={plain(value)}" for name, value in change.items())
        notice(text("try_with", flags=flags))


def arguments(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items() if value is not None)
