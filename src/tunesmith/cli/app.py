"""Puts the commands together; errors become a sentence and an exit code here, once."""

import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tunesmith import __version__
from tunesmith.cli.check import check
from tunesmith.cli.convert import convert
from tunesmith.cli.delete import delete
from tunesmith.cli.devices import devices
from tunesmith.cli.list import list_tasks
from tunesmith.cli.logs import logs
from tunesmith.cli.metrics import metrics
from tunesmith.cli.models import models
from tunesmith.cli.plan import plan
from tunesmith.cli.preview import preview
from tunesmith.cli.serve import serve
from tunesmith.cli.show import show
from tunesmith.cli.stop import stop
from tunesmith.cli.submit import submit
from tunesmith.cli.train import train

HELP = """Fine-tune open language models on your own machines, and see all the way what happens.

\b
    tunesmith serve                                  in one shell
    tunesmith submit --base-model DIR --dataset DIR --follow    in another
    tunesmith train --base-model DIR --dataset DIR   without a server
"""
EPILOG = """
Which server: the one that runs on this machine's data directory (TUNESMITH_DATA_DIR, by default
~/.tunesmith), or the one that TUNESMITH_URL and TUNESMITH_TOKEN name.

\b
Exit codes: 0 done, 1 the task failed or the data has errors, 2 wrong usage or refused input,
3 the task was stopped, 4 not found, 5 conflict with how things are,
69 no server answers, 70 the server met an error, 77 not signed in,
78 wrong settings, 130 interrupted.
"""


class Commands(TyperGroup):
    """Typer's group, with the boundary where errors become exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            from tunesmith.cli.failure import tell

            code = tell(error)
            if code is None:
                raise
            raise typer.Exit(code) from None


app = typer.Typer(
    cls=Commands,
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich's help costs a tenth of a second and breaks pipes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tunesmith {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command()(serve)
app.command()(submit)
app.command()(train)
app.command("list")(list_tasks)
app.command()(show)
app.command()(logs)
app.command()(metrics)
app.command()(stop)
app.command()(delete)
app.command()(devices)
app.command()(models)
app.command()(preview)
app.command()(plan)
app.command()(convert)
app.command()(check)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal cannot show must not end the command.
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="tunesmith")
