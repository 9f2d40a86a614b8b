"""`tunesmith convert`: ChatGLM and GLM-4 into what stock transformers loads, and back."""

from typing import Annotated, Literal

import typer

from tunesmith.cli.options import JsonOption


def convert(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Directory of the base model.", show_default=False)
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="New or empty directory.", show_default=False)
    ],
    to: Annotated[
        Literal["transformers", "chatglm"],
        typer.Option("--to", help="transformers: what stock transformers loads; chatglm: back."),
    ] = "transformers",
    json: JsonOption = False,
) -> None:
    """Convert a ChatGLM2, ChatGLM3 or GLM-4 directory. Needs no server.

    A training on such a directory converts it by itself.
    """
    import shutil
    from pathlib import Path

    from tunesmith.cli.request import absolute
    from tunesmith.cli.terminal import notice, print_json, text
    from tunesmith.draft import draft_of
    from tunesmith.messages import sentence, user_language
    from tunesmith.side_process import ask

    request = {"source": absolute(source), "target": absolute(target), "to": to}
    try:
        done = ask("tunesmith.chatglm", request, quiet=False)
    except KeyboardInterrupt:  # its process has been killed and could not tidy up
        shutil.rmtree(draft_of(Path(request["target"])), ignore_errors=True)
        raise
    for warning in done["warnings"]:
        code = f"warning.{warning['code']}"
        notice(sentence(code, user_language(), warning["params"]))
    if json:
        print_json(done | {"path": request["target"]})
        return
    typer.echo(text("converted", family=done["family"], path=request["target"]))
