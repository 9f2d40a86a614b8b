"""Follows a task of a server until it has ended."""

from tunesmith.cli.exit_codes import OF_STATUS, ExitCode
from tunesmith.cli.run_view import RunView
from tunesmith.cli.task_view import print_end, status
from tunesmith.cli.terminal import notice, print_json, text
from tunesmith.client import Client, StreamEvent
from tunesmith.status import Status
from tunesmith.wire import Task


def follow_task(client: Client, task: Task, *, json: bool) -> ExitCode:
    """Show `task` live, say how it ended and return that as exit code.

    With `json` nothing is shown but the ended task. Ctrl-C leaves the task running.
    """
    try:
        task = client.wait(task.id) if json else watch(client, task)
    except KeyboardInterrupt:
        notice(text("goes_on", id=task.id))
        return ExitCode.INTERRUPTED
    if json:
        print_json(task)
    else:
        print_end(task)
    return OF_STATUS[task.status]


def watch(client: Client, task: Task) -> Task:
    """Show `task` live and return it as it ended."""
    with RunView(loss=task.metrics.get("loss")) as view:
        for event in client.stream(task.id, task.last_event_id):
            _take(view, event)
    return client.task(task.id)


def _take(view: RunView, event: StreamEvent) -> None:
    """Show an event of `streamTask`; the names are those of the wire."""
    data = event.data
    match event.event:
        case "progress":
            waits = data["queueReason"]
            fetched = data.get("download")  # an older server does not tell
            view.show(
                doing=(waits and waits["message"])
                or (data["phase"] and text(f"phase.{data['phase']}"))
                or status(Status(data["status"])),
                step=data["step"],
                total_steps=data["totalSteps"],
                elapsed=data["elapsedSeconds"],
                left=fetched["etaSeconds"] if fetched else data["etaSeconds"],
                download=fetched
                and (fetched["downloadedBytes"], fetched["totalBytes"], fetched["bytesPerSecond"]),
            )
        case "plan":
            view.planned(data["samples"], data["evalSamples"], data["totalSteps"], data["device"])
        case "metrics":
            view.measured(data["step"], data.get("loss"), data.get("etaSeconds"))
        case "evaluation":
            view.evaluated(data["step"], data.get("eval_loss"), data.get("token_accuracy"))
        case "checkpoint":
            view.saved(data["step"], data["path"])
        case "warning":
            view.warn(data["message"])
