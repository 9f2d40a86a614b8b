"""`tunesmith train`: a training in this shell, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from tunesmith.cli import options as asked


def train(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="TASK.YAML", help="The task; options win over it."),
    ] = None,
    base_model: asked.BaseModelOption = None,
    dataset: asked.DatasetOption = None,
    name: asked.NameOption = None,
    output: asked.OutputOption = None,
    description: asked.DescriptionOption = None,
    settings: asked.SetOption = None,
    gpu: asked.GpuOption = None,
    memory_optimization: asked.MemoryOptimizationOption = None,
    max_memory_gib: asked.MaxMemoryOption = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="New directory for log and events, and for the output where none is given.  "
            "[default: one under the data directory's local/]"
        ),
    ] = None,
) -> None:
    """Train here and now, without a server.

    A task file holds what `submit` sends, such as

    \b
        base_model: /models/SmolLM2-135M-Instruct
        dataset_path: ./persona
        training_args:
          num_train_epochs: 5

    The exit code says how it ended: 0 completed, 1 failed, 3 stopped. Ctrl-C stops it after a
    checkpoint; Ctrl-C again ends it at once.
    """
    from tunesmith.cli.local_run import run_here
    from tunesmith.cli.request import build_request

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
    raise typer.Exit(run_here(request, run_dir))
