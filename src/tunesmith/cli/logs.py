"""`tunesmith logs`: what the trainer printed."""

import sys
from typing import Annotated

import typer

from tunesmith.cli.options import JsonOption, TaskIdArgument


def logs(
    task_id: TaskIdArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the task has ended.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="So many lines.")] = 1000,
    offset: Annotated[
        int | None,
        typer.Option(min=0, help="Skip so many lines from the start.  [default: the last lines]"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print a task's log: its last lines, or lines from --offset on.

    Ctrl-C ends --follow, not the task.
    """
    from tunesmith.cli.exit_codes import ExitCode
    from tunesmith.cli.terminal import notice, print_json, text
    from tunesmith.client import Client

    if follow and (json or offset is not None):
        raise typer.BadParameter("--follow goes with neither --json nor --offset")
    with Client() as client:
        if not follow:
            log = client.log(task_id, lines, offset)
            if json:
                print_json(log)
            else:
                _write(log if log.endswith("\n") or not log else log + "\n")
            return
        try:
            end, after = client.log_end(task_id, lines)
            _write(end)
            for part in client.stream_log(task_id, after):
                _write(part)
        except KeyboardInterrupt:
            notice(text("goes_on", id=task_id))
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def _write(part: str) -> None:
    sys.stdout.write(part)
    sys.stdout.flush()
