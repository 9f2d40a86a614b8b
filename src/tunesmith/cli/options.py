"""Options that several commands share."""

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
FollowOption = Annotated[
    bool, typer.Option("--follow", "-f", help="Show the progress until the task has ended.")
]
TaskIdArgument = Annotated[int, typer.Argument(metavar="ID")]
TaskIdsArgument = Annotated[list[int], typer.Argument(metavar="ID...")]

# What to train: of submit and train.
BaseModelOption = Annotated[
    str | None,
    typer.Option(
        "--base-model",
        metavar="DIR",
        help="Directory of the base model, its name, or a hub's ORGANISATION/NAME[@REVISION].",
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="PATH",
        help="Directory with train.jsonl (and valid.jsonl), or one file.",
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of the task.  [default: the data set's]"),
]
OutputOption = Annotated[
    str | None,
    typer.Option("--output", metavar="DIR", help="Where the adapter goes: a new directory."),
]
DescriptionOption = Annotated[
    str | None, typer.Option("--description", metavar="TEXT", help="For people.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A training argument, such as learning_rate=1e-4. Give it again for more.",
    ),
]
GpuOption = Annotated[
    str | None,
    typer.Option(
        "--gpu", metavar="GPUS", help="GPUs to use: 0 or 0,1 or 0-2.  [default: a free one]"
    ),
]
MemoryOptimizationOption = Annotated[
    bool | None,
    typer.Option(
        "--memory-optimization/--no-memory-optimization",
        help="Gradient checkpointing: less memory, about a third more time.",
    ),
]
MaxMemoryOption = Annotated[
    float | None,
    typer.Option("--max-memory-gib", metavar="GIB", help="Most memory to use on each GPU."),
]
