"""What reaches the screen, and how: colour and tables for a person, plain text for a pipe."""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.messages import sentence, user_language

if TYPE_CHECKING:
    from rich.console import Console

# A name from somebody else must not move the cursor or clear the screen.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def console(*, stderr: bool = False) -> "Console":
    """Return a console on the stream as it is now; nothing in a text is taken for markup."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def is_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def text(key: str, **params: Any) -> str:
    """Return a text of the catalogue's part `cli`, in the user's language."""
    return sentence(f"cli.{key}", user_language(), params)


def notice(message: str) -> None:
    """Tell something beside the result: it goes to standard error."""
    print(message, file=sys.stderr)  # noqa: T201


def plain(value: Any) -> str:
    """Return `value` on one line, without control characters; "" for None."""
    return "" if value is None else _CONTROL.sub(" ", str(value))


def print_json(value: Any) -> None:
    """Print models or plain values as JSON, under their names on the wire."""
    print(json.dumps(_json_values(value), ensure_ascii=False, indent=2))  # noqa: T201


def print_table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Sequence[int] = (),
    folded: Sequence[int] = (),
) -> None:
    """Print a table; in a pipe one line a row, the cells between tabs, nothing cut.

    `right` are the columns of numbers, `folded` those that may take several lines.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    if not is_terminal():
        for row in [heads, *cells]:
            print("\t".join(row))  # noqa: T201
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, head in enumerate(heads):
        table.add_column(
            head,
            justify="right" if index in right else "left",
            overflow="fold",
            no_wrap=index not in folded,
        )
    for row in cells:
        table.add_row(*row)
    console().print(table)


def print_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names with their values, those without one left out."""
    shown = [(name, plain(value)) for name, value in pairs if value not in (None, "")]
    if not is_terminal():
        for name, value in shown:
            print(f"{name}\t{value}")  # noqa: T201
        return
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in shown:
        grid.add_row(name, value)
    console().print(grid)


def _json_values(value: Any) -> Any:
    if isinstance(value, list):
        return [_json_values(each) for each in value]
    return value.model_dump(mode="json", by_alias=True) if hasattr(value, "model_dump") else value
