"""`tunesmith submit`: hands a task to the server."""

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli import options as asked


def submit(
    base_model: asked.BaseModelOption = None,
    dataset: asked.DatasetOption = None,
    name: asked.NameOption = None,
    output: asked.OutputOption = None,
    description: asked.DescriptionOption = None,
    settings: asked.SetOption = None,
    gpu: asked.GpuOption = None,
    memory_optimization: asked.MemoryOptimizationOption = None,
    max_memory_gib: asked.MaxMemoryOption = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="YAML or JSON file with the task; options win over it."),
    ] = None,
    follow: asked.FollowOption = False,
    json: asked.JsonOption = False,
) -> None:
    """Hand a task to the server.

    It runs when its devices are free.

    tunesmith submit --base-model ./SmolLM2-135M --dataset ./persona --set num_train_epochs=5

    With --follow the exit code says how it ended: 0 completed, 1 failed, 3 stopped. Ctrl-C ends
    the showing, not the task.
    """
    from tunesmith.cli.follow import follow_task
    from tunesmith.cli.request import build_request
    from tunesmith.cli.terminal import notice, print_json, text
    from tunesmith.client import Client

    request = build_request(
        file,
        name=name,
        base_model=base_model,
        dataset=dataset,
        output=output,
        description=description,
        settings=settings,
        gpu=gpu,
        memory_optimization=memory_optimization,
        max_memory_gib=max_memory_gib,
    )
    with Client() as client:
        task = client.create_task_from(request)
        if follow:
            notice(text("created", id=task.id))
            raise typer.Exit(follow_task(client, task, json=json))
    if json:
        print_json(task)
    else:
        typer.echo(text("created", id=task.id))
        notice(text("created_next", id=task.id))
