"""`tunesmith check`: what is wrong with a data set, and what could be better."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.options import JsonOption

if TYPE_CHECKING:
    from tunesmith.check.report import Finding, Place, Report

BAD_ROWS_SHOWN = 20
BAR = 30  # characters of the longest bar


def check(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Directory with train.jsonl, or one file.")
    ],
    base_model: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Base model, or its name: lengths are its tokens."),
    ] = None,
    max_seq_length: Annotated[
        int, typer.Option(min=8, help="Tokens at which training cuts a sample.")
    ] = 512,
    system_prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="System text of rows that have none.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="PARTS", help="Split train.jsonl first, as a task does: 0.8,0.15,0.05"
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of the split and of what is sampled.")
    ] = 42,
    fix: Annotated[
        str | None,
        typer.Option(metavar="OUT", help="Write a cleaned copy to this new directory."),
    ] = None,
    drop_near_duplicates: Annotated[
        bool, typer.Option("--drop-near-duplicates", help="With --fix: near duplicates go too.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check a data set. Needs no server.

    The exit code is 1 if there are errors, which would end a training.
    """
    import shutil

    from tunesmith.check.report import Report, Verdict, with_messages
    from tunesmith.cli.exit_codes import ExitCode
    from tunesmith.cli.request import absolute
    from tunesmith.cli.terminal import print_json
    from tunesmith.draft import draft_of
    from tunesmith.messages import user_language
    from tunesmith.side_process import ask

    if drop_near_duplicates and fix is None:
        raise typer.BadParameter("needs --fix OUT", param_hint="--drop-near-duplicates")
    request = {
        "dataset_path": absolute(path),
        "base_model": None if base_model is None else _directory(base_model),
        "max_seq_length": max_seq_length,
        "system_prompt": system_prompt,
        "split": _parts(split),
        "seed": seed,
        "fix": None if fix is None else absolute(fix),
        "drop_near_duplicates": drop_near_duplicates,
        "progress": True,
    }
    try:
        # Not quiet: the progress is shown on our standard error.
        answer = ask("tunesmith.check", request, quiet=False)
    except KeyboardInterrupt:  # its process has been killed and could not tidy up
        if fix is not None:
            shutil.rmtree(draft_of(Path(absolute(fix))), ignore_errors=True)
        raise
    report = with_messages(Report.model_validate(answer), user_language())
    if json:
        print_json(report)
    else:
        _print(report)
    if report.verdict is Verdict.ERRORS:
        raise typer.Exit(ExitCode.FAILED)


def _directory(base_model: str) -> str:
    from tunesmith.cli.request import absolute
    from tunesmith.hub import find_base_model
    from tunesmith.settings import load_settings

    if Path(base_model).expanduser().is_dir():
        return absolute(base_model)
    return str(find_base_model(base_model, load_settings()).path)


def _parts(split: str | None) -> dict[str, float] | None:
    from pydantic import ValidationError

    from tunesmith.errors import InvalidInput
    from tunesmith.request_problems import field_problems
    from tunesmith.spec import TrainingArguments

    if split is None:
        return None
    try:
        return TrainingArguments.model_validate({"split": split}).split
    except ValidationError as error:
        raise InvalidInput(*field_problems(error.errors())) from None


def _print(report: "Report") -> None:
    from tunesmith.cli.terminal import plain, print_table, text

    def head(*names: str) -> list[str]:
        return [text(f"check.head.{name}") for name in names]

    print_table(
        head("split", "file", "format", "encoding", "rows", "bad_rows", "turns"),
        [
            (s.name, s.file, s.format, s.encoding, s.rows, s.bad_rows, s.turns)
            for s in report.splits
        ],
        right=(4, 5, 6),
        folded=(1,),
    )
    if report.bad_rows:
        typer.echo(text("check.bad_rows", shown=min(len(report.bad_rows), BAD_ROWS_SHOWN)))
        for row in report.bad_rows[:BAD_ROWS_SHOWN]:
            typer.echo(f"  {plain(row.file)}:{row.line}  {plain(row.message)}")
    if report.findings:
        rows = [
            (text(f"check.severity.{each.severity}"), each.message, _places(each))
            for each in report.findings
        ]
        print_table(head("severity", "finding", "examples"), rows, folded=(1, 2))
    if lengths := report.lengths:
        typer.echo(
            text(
                f"check.{lengths.unit}",
                samples=lengths.samples,
                mean=lengths.mean,
                median=lengths.percentiles["50"],
                most=lengths.percentiles["95"],
                longest=lengths.percentiles["100"],
            )
        )
        widest = max(bar.count for bar in lengths.histogram)
        for bar in lengths.histogram:
            drawn = "█" * max(round(BAR * bar.count / widest), bar.count > 0)
            typer.echo(f"  {bar.low:>9,}-{bar.high:<9,} {bar.count:>9,}  {drawn}")
    if fixed := report.fixed:
        typer.echo(
            text("check.fixed", path=plain(fixed.path), kept=fixed.kept, dropped=fixed.dropped)
        )
        for reason, count in fixed.reasons.items():
            typer.echo(f"  {count:>9,}  {text(f'check.reason.{reason}')}")
    if not report.complete:
        typer.echo(text("check.incomplete"))
    typer.echo(report.message)


def _places(finding: "Finding") -> str:
    return ", ".join(map(_place, finding.examples))


def _place(place: "Place") -> str:
    said = f"{place.file}:{place.line}"
    if place.other_line is None:
        return said
    return f"{said} = {place.other_file}:{place.other_line}"
