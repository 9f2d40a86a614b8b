"""`tunesmith plan`: the memory that a training takes, before it starts. Needs no server."""

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunesmith.cli.options import JsonOption, SetOption

if TYPE_CHECKING:
    from tunesmith.plan_memory import PlanRequest
    from tunesmith.wire import MemoryPlan


def plan(
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="DIR_OR_NAME", help="Directory of the base model, or its name."
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="lora, qlora or full.  [default: lora]")
    ] = None,
    lora_r: Annotated[int | None, typer.Option(help="Rank of the LoRA matrices.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples per device and pass.")] = None,
    max_seq_length: Annotated[int | None, typer.Option(help="Tokens per sample at most.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    gradient_checkpointing: Annotated[
        bool | None,
        typer.Option(
            "--gradient-checkpointing/--no-gradient-checkpointing",
            help="Recompute activations.  [default: where memory needs it]",
        ),
    ] = None,
    settings: SetOption = None,
    device: Annotated[
        str | None, typer.Option(help="cuda or cpu.  [default: what this machine has]")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="How many devices.")] = 1,
    device_memory: Annotated[
        float | None, typer.Option(metavar="GIB", help="Free memory of each device.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="By the formula, in no time and less exactly.")
    ] = False,
    catalogue: Annotated[
        bool, typer.Option("--catalogue", help="All base models of the specification.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="What past runs of the server took.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Tell the memory that a training will take, whether it fits, and what would help.

    From the base model's config.json alone: it may be anywhere, or only a name of the catalogue.
    The real training step is traced without weights, which takes some seconds.
    """
    arguments: dict[str, Any] = {
        "method": method,
        "lora_r": lora_r,
        "per_device_train_batch_size": batch_size,
        "max_seq_length": max_seq_length,
        "dtype": dtype,
        "gradient_checkpointing": gradient_checkpointing,
    }
    arguments = {name: value for name, value in arguments.items() if value is not None}
    if history:
        _show_history(json)
        return
    from tunesmith.cli.request import assignment

    arguments |= dict(map(assignment, settings or []))
    if catalogue:
        _show_catalogue(arguments, json)
        return
    if model is None:
        raise typer.BadParameter("is missing", param_hint="--model")
    _show_plan(
        {
            "baseModel": _meant(model),
            "trainingArgs": arguments,
            "mode": "formula" if quick else "trace",
            "deviceType": device,
            "devices": devices,
            "deviceMemoryGib": device_memory,
        },
        json,
    )


def _show_plan(values: dict[str, Any], json: bool) -> None:
    from tunesmith.cli.terminal import print_json
    from tunesmith.devices import inventory
    from tunesmith.plan_memory import plan_memory
    from tunesmith.settings import load_settings

    settings = load_settings()
    found = plan_memory(_request(values), settings, None, inventory(settings.devices), _learnt)
    if json:
        print_json(found)
    else:
        _print_plan(found)


def _show_catalogue(arguments: dict[str, Any], json: bool) -> None:
    from tunesmith.cli.terminal import notice, print_json, print_table, text
    from tunesmith.plan_memory import plan_catalogue

    training = _request({"baseModel": "-", "trainingArgs": arguments}).training_args
    found = plan_catalogue(training)
    if json:
        print_json(found)
        return
    heads = ("model", "parameters", "memory_need", "plan_lora", "plan_qlora", "plan_full")
    print_table(
        [text(f"head.{head}") for head in heads],
        (
            (each.name, each.size, each.memory, *map(_gib, (each.lora, each.qlora, each.full)))
            for each in found
        ),
        right=(1, 2, 3, 4, 5),
    )
    notice(
        text(
            "plan_catalogue",
            batch=training.per_device_train_batch_size,
            length=training.max_seq_length,
            rank=training.lora_r,
        )
    )


def _show_history(json: bool) -> None:
    from tunesmith.cli.terminal import notice, print_json, print_table, text
    from tunesmith.client import Client

    with Client() as client:
        runs = client.memory_history()
    if json:
        print_json(runs)
        return
    if not runs:
        notice(text("plan_no_history"))
        return
    heads = ("task", "base_model", "method", "device", "checkpointing", "planned", "measured")
    print_table(
        [text(f"head.{head}") for head in (*heads, "error")],
        (
            (
                run.task_id,
                run.base_model,
                run.method,
                run.device_type,
                text("yes" if run.gradient_checkpointing else "no"),
                _gib(run.planned),
                _gib(run.measured),
                f"{100 * run.error:+.1f} %",
            )
            for run in runs
        ),
        right=(0, 5, 6, 7),
        folded=(1,),
    )


def _print_plan(found: "MemoryPlan") -> None:
    from tunesmith.cli.terminal import notice, print_pairs, print_table, text

    held = text("plan_divided" if found.sharded else "plan_whole", devices=found.devices)
    print_pairs(
        [
            (text("head.base_model"), found.base_model),
            (text("head.planned_by"), text(f"plan_by_{found.mode}")),
            *([(text("head.each_device"), held)] if found.devices > 1 else []),
            (text("head.parameters"), f"{found.parameters / 1e9:.2f}B"),
            (text("head.trained"), f"{found.trainable_parameters / 1e6:.2f}M"),
            (text("head.method"), f"{found.method}, {found.dtype}, {found.device_type}"),
            (text("head.checkpointing"), text("yes" if found.gradient_checkpointing else "no")),
            (text("head.weights"), _gib(found.weights)),
            (text("head.gradients"), _gib(found.gradients)),
            (text("head.optimizer"), _gib(found.optimizer)),
            (text("head.activations"), _gib(found.activations)),
            (text("head.peak"), _gib(found.peak)),
            (text("head.needed"), _gib(found.needed)),
            (text("head.available"), "" if found.available is None else _gib(found.available)),
        ]
    )
    if found.fits:
        notice(text("plan_fits"))
    if found.fits is not False:
        return
    if not found.changes:
        notice(text("plan_nothing_helps" if found.advised else "plan_not_advised"))
        return
    notice(text("plan_does_not_fit"))
    print_table(
        [text("head.change"), text("head.peak")],
        ((_flags(change.arguments), _gib(change.peak)) for change in found.changes),
        right=(1,),
        folded=(0,),
    )


def _request(values: dict[str, Any]) -> "PlanRequest":
    from pydantic import ValidationError

    from tunesmith.errors import InvalidInput
    from tunesmith.plan_memory import PlanRequest
    from tunesmith.request_problems import field_problems

    try:
        return PlanRequest.model_validate(values)
    except ValidationError as error:
        raise InvalidInput(*field_problems(error.errors())) from None


def _learnt(family: str, method: str, device_type: str, mode: str) -> float:
    """Return what the server of this machine has learnt from its runs; 1 where none answers."""
    from tunesmith.client.discovery import running_server
    from tunesmith.errors import TunesmithError
    from tunesmith.memory_plan.history import ratio_of

    with contextlib.suppress(TunesmithError):
        url = running_server()  # the client and its HTTP only where there is one to ask
        from tunesmith.client import Client

        with Client(url) as client:
            runs = client.memory_history()
        kind = (family, method, device_type, mode)
        # What was told had been corrected already.
        return ratio_of(
            run.measured * run.ratio / run.planned
            for run in runs
            if (run.family, run.method, run.device_type, run.mode) == kind and run.planned
        )
    return 1.0


def _meant(value: str) -> str:
    """A directory that is here is meant before a name."""
    from pathlib import Path

    from tunesmith.cli.request import absolute

    if not value.strip():
        return value  # not the directory that we are in
    here = Path(value).expanduser().is_dir() or value.startswith((".", "~", "/"))
    return absolute(value) if here else value


def _flags(arguments: dict[str, Any]) -> str:
    return " ".join(f"{name}={str(value).lower()}" for name, value in arguments.items())


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
