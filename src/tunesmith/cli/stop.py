"""`tunesmith stop`: asks tasks to end."""

from typing import Annotated

import typer

from tunesmith.cli.options import JsonOption, TaskIdsArgument


def stop(
    task_ids: TaskIdsArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Return when they have ended.")] = False,
    json: JsonOption = False,
) -> None:
    """Stop tasks. A running one saves a checkpoint first; one that waits ends at once.

    With --wait the exit code is that of the last task's end: 3 stopped, 0 completed meanwhile,
    1 failed.
    """
    from tunesmith.cli.exit_codes import OF_STATUS
    from tunesmith.cli.task_view import print_end
    from tunesmith.cli.terminal import print_json, text
    from tunesmith.client import Client
    from tunesmith.status import TERMINAL

    with Client() as client:
        tasks = [client.stop_task(task_id) for task_id in task_ids]
        if wait:
            tasks = [client.wait(task.id) for task in tasks]
    if json:
        print_json(tasks if len(tasks) > 1 else tasks[0])
    else:
        for task in tasks:
            if task.status in TERMINAL:
                print_end(task)
            else:
                typer.echo(text("stopping", id=task.id))
    if wait:
        raise typer.Exit(OF_STATUS[tasks[-1].status])
