"""`tunesmith serve`: runs the server."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one.  [default: 8000]")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where tasks, outputs, store and token live.  [default: ~/.tunesmith]"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file.  [default: tunesmith.toml in the data directory]"),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            help="GPUs to use: auto, none, or simulated:4x24GiB for trying.  [default: auto]"
        ),
    ] = None,
    cpu_tasks: Annotated[
        int | None,
        typer.Option(help="Trainings at a time on a machine without a GPU.  [default: 1]"),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error.  [default: info]")
    ] = None,
) -> None:
    """Run the server: it takes tasks, runs them, and shows how they go.

    Prints its address and the login token. Trainings go on when it ends, and it takes them up
    again at the next start. Every option is also a setting: TUNESMITH_PORT, or port in
    tunesmith.toml.
    """
    from tunesmith.api.serve import serve as run
    from tunesmith.settings import load_settings

    flags = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "devices": devices,
        "cpu_tasks": cpu_tasks,
        "log_level": log_level,
    }
    run(load_settings(config, flags))
