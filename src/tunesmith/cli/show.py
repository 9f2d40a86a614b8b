"""`tunesmith show`: a task as it is, or live until it ends."""

import typer

from tunesmith.cli.options import FollowOption, JsonOption, TaskIdArgument


def show(
    task_id: TaskIdArgument,
    follow: FollowOption = False,
    json: JsonOption = False,
) -> None:
    """Show a task.

    With --follow the exit code says how it ended: 0 completed, 1 failed, 3 stopped. Ctrl-C ends
    the showing, not the task.
    """
    from tunesmith.cli.follow import follow_task
    from tunesmith.cli.task_view import print_task
    from tunesmith.cli.terminal import print_json
    from tunesmith.client import Client

    with Client() as client:
        task = client.task(task_id)
        if follow:
            raise typer.Exit(follow_task(client, task, json=json))
    if json:
        print_json(task)
    else:
        print_task(task)
