"""`tunesmith list`: a page of tasks."""

from typing import Annotated

import typer

from tunesmith.cli.options import JsonOption
from tunesmith.status import Status


def list_tasks(
    status: Annotated[Status | None, typer.Option(help="Only tasks of this status.")] = None,
    name: Annotated[str | None, typer.Option(help="Only names that contain this.")] = None,
    keyword: Annotated[
        str | None, typer.Option(help="Only where name or description contains this.")
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(help="Only base models that contain this.")
    ] = None,
    page: Annotated[int, typer.Option(min=1, help="Which page.")] = 1,
    page_size: Annotated[int, typer.Option(min=1, help="Tasks on a page.")] = 20,
    order_key: Annotated[
        str | None,
        typer.Option(
            help="Order by ID, CreatedAt, UpdatedAt, name, status, progress, baseModel, "
            "startedAt or finishedAt.  [default: newest first]"
        ),
    ] = None,
    desc: Annotated[bool | None, typer.Option("--desc/--asc", help="Largest first.")] = None,
    json: JsonOption = False,
) -> None:
    """List tasks, newest first."""
    from tunesmith.cli.task_view import print_tasks
    from tunesmith.cli.terminal import is_terminal, notice, print_json, text
    from tunesmith.client import Client

    with Client() as client:
        answer = client.tasks(
            page,
            page_size,
            status=status,
            name=name,
            keyword=keyword,
            base_model=base_model,
            order_key=order_key,
            desc=desc,
        )
    if json:
        print_json(answer)
        return
    print_tasks(answer.items)
    if not answer.items:
        notice(text("no_tasks"))
    elif is_terminal():
        notice(text("page", page=page, shown=len(answer.items), total=answer.total))
