"""Reads the rows of a file, or of a split, as conversations."""

from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from pathlib import Path

from tunesmith.dataset.conversation import Conversation
from tunesmith.dataset.encoding import recognise
from tunesmith.dataset.formats import conversation_of, half_character_in
from tunesmith.dataset.row_problem import BadRow, RowProblem, Unit
from tunesmith.dataset.source import Source, parse_line
from tunesmith.dataset.split import Split
from tunesmith.errors import RunFailure


def read_rows(
    file: Path, *, keep: Iterable[int] | None = None, deadline: float | None = None
) -> Iterator[Conversation | BadRow]:
    """Yield every row of `file` in order; blank lines are no rows, other keys are ignored.

    `keep` tells of each row, by a true or false value, whether it is wanted; the others are not
    even parsed, nor those beyond its end. Raises RunFailure `dataset_unreadable` or
    `dataset_encoding`, and TimeOver when the monotonic clock passes `deadline`.
    """
    try:
        with Source(file, deadline) as source:
            rows = source.rows()
            unit = source.unit
            for line, raw in rows if keep is None else compress(rows, keep):
                found: Conversation | BadRow
                try:
                    if type(raw) is bytes:
                        row = parse_line(raw)
                        # Half a character can only come from an escape.
                        doubtful = b"\\ud" in raw or b"\\uD" in raw
                    elif isinstance(raw, RowProblem):
                        raise raw
                    else:
                        row, doubtful = raw, source.kind != "parquet"
                    if doubtful:
                        _check_characters(row)
                    found = conversation_of(row, line)
                except RowProblem as problem:
                    if problem.code in ("encoding", "encoding_field"):
                        _name_encoding(file, source.head, raw, problem)
                    shown = {"code": f"row.{problem.code}", "params": problem.params}
                    found = BadRow(file.name, line, shown, unit)
                yield found
    except OSError as error:
        raise RunFailure(
            "dataset_unreadable", path=str(file), reason=error.strerror or str(error)
        ) from None


def read_conversations(
    split: Split, on_bad: Callable[[BadRow], None] | None = None
) -> Iterator[Conversation]:
    """Yield the samples of `split` in order.

    A bad row goes to `on_bad`; without it, or where nothing after it can be read, RunFailure
    `bad_row` is raised.
    """
    for row in read_rows(split.file, keep=split.mask()):
        if isinstance(row, Conversation):
            yield row
        elif on_bad is None or row.ends_file:
            raise row.failure()
        else:
            on_bad(row)


def unit_of(file: Path) -> Unit:
    """Return what `Conversation.line` counts in `file`."""
    with Source(file) as source:
        return source.unit


def _check_characters(row: object) -> None:
    if found := half_character_in(row):
        name, text = found
        # Bytes that were no UTF-8 were read as these.
        if any("\udc80" <= char <= "\udcff" for char in text):
            raise RowProblem("encoding_field", name=name)
        raise RowProblem("half_character", name=name)


def _name_encoding(file: Path, head: bytes, raw: object, problem: RowProblem) -> None:
    """Raise RunFailure if it is the whole file that is in another encoding."""
    if isinstance(raw, bytes):
        text = raw
    else:
        _, value = half_character_in(raw) or ("", "")
        text = value.encode("utf-8", "surrogateescape" if _is_raw(value) else "replace")
    # The head, where all is in order, tells a damaged row from a file in another encoding.
    if name := recognise(text if head.isascii() else head + b"\n" + text):
        raise RunFailure("dataset_encoding", file=file.name, encoding=name)


def _is_raw(value: str) -> bool:
    return all(not "\ud800" <= char <= "\udc7f" for char in value)
