"""`tunesmith metrics`: the series of a task as a table."""

from typing import Annotated

import typer

from tunesmith.cli.options import JsonOption, TaskIdArgument


def metrics(
    task_id: TaskIdArgument,
    max_points: Annotated[
        int | None, typer.Option(min=10, help="Thin the training points out to so many.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show loss, learning rate, speed and validation by step."""
    from tunesmith.cli.task_view import number
    from tunesmith.cli.terminal import print_json, print_table
    from tunesmith.client import Client

    with Client() as client:
        series = client.metrics(task_id, max_points)
    if json:
        print_json(series)
        return
    names = (
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens_per_second",
        "eval_loss",
        "token_accuracy",
    )
    points = sorted(
        series.training + series.evaluation, key=lambda point: (point.attempt, point.step)
    )
    print_table(
        ("step", "epoch", *names),
        (
            (point.step, number(point.epoch), *(number(getattr(point, name)) for name in names))
            for point in points
        ),
        right=range(2 + len(names)),
    )
