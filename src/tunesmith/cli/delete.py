"""`tunesmith delete`: removes tasks with their logs."""

from typing import Annotated

import typer

from tunesmith.cli.options import TaskIdsArgument


def delete(
    task_ids: TaskIdsArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete tasks: their log, events and run directory. The output (the adapter) stays.

    A running task is stopped first.
    """
    from tunesmith.cli.task_view import status
    from tunesmith.cli.terminal import plain, text
    from tunesmith.client import Client

    with Client() as client:
        tasks = [client.task(task_id) for task_id in dict.fromkeys(task_ids)]
        if not yes:
            for task in tasks:
                typer.echo(f"{task.id}  {plain(task.name)}  {status(task.status)}")
                typer.echo(text("delete_keeps", path=plain(task.output_path)))
            typer.confirm(text("delete_loses", count=len(tasks)), abort=True)
        for task in tasks:
            client.delete_task(task.id)
            typer.echo(text("deleted", id=task.id))
