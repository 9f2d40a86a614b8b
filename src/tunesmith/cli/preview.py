"""`tunesmith preview`: a sample as a model will see it, with what is learnt of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.options import JsonOption

if TYPE_CHECKING:
    from tunesmith.wire import Preview


def preview(
    base_model: Annotated[
        str, typer.Option(metavar="DIR", help="Directory of the base model, or its name.")
    ],
    dataset: Annotated[
        str, typer.Option(metavar="PATH", help="Directory with train.jsonl, or one file.")
    ],
    row: Annotated[int, typer.Option(min=1, help="Which row, from 1.")] = 1,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="System text of rows that have none.")
    ] = None,
    max_seq_length: Annotated[int, typer.Option(min=8, help="Tokens at most.")] = 512,
    json: JsonOption = False,
) -> None:
    """Show a sample's text, tokens and what is learnt of it. Needs no server.

    What is learnt is bold green, control tokens are dim; without colour «» stand around what is
    learnt.
    """
    from tunesmith.cli.request import absolute
    from tunesmith.cli.terminal import console, is_terminal, notice, print_json, text
    from tunesmith.hub import find_base_model
    from tunesmith.settings import load_settings
    from tunesmith.side_process import ask
    from tunesmith.wire import Preview as Shown

    if Path(base_model).expanduser().is_dir():
        directory = absolute(base_model)
    else:  # a name
        directory = str(find_base_model(base_model, load_settings()).path)
    request = {
        "base_model": directory,
        "dataset_path": absolute(dataset),
        "row": row,
        "system_prompt": system,
        "max_seq_length": max_seq_length,
    }
    shown = Shown.model_validate(ask("tunesmith.trainer.preview", request))
    if json:
        print_json(shown)
        return
    if is_terminal():
        from rich.text import Text

        coloured = Text()
        for token in shown.tokens:
            style = "bold green" if token.learnt else ""
            coloured.append(_visible(token.text), f"{style} dim" if token.control else style)
        console().print(coloured, soft_wrap=True)
    else:
        typer.echo(_visible(_marked(shown)))
    notice(
        text(
            "preview",
            family=shown.family,
            format=shown.prompt_format,
            learnt=shown.learnt_tokens,
            total=shown.total_tokens,
        )
    )
    if shown.truncated:
        notice(text("preview_cut", limit=max_seq_length))


def _marked(shown: "Preview") -> str:
    parts: list[str] = []
    learnt = False
    for token in shown.tokens:
        if token.learnt is not learnt:
            parts.append("«" if token.learnt else "»")
            learnt = token.learnt
        parts.append(token.text)
    return "".join(parts) + ("»" if learnt else "")


def _visible(value: str) -> str:
    """Data of somebody else must not move the cursor or clear the screen."""
    return "".join(char if char.isprintable() or char in "\n\t" else " " for char in value)
