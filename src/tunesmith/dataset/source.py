"""Raw rows of a file: lines of JSONL, values of a JSON array, rows of CSV and Parquet.

All are read in a stream: memory does not grow with the file. What a reader cannot make a row of
is a RowProblem in its place; one of `ENDS_FILE` is the last.
"""

import codecs
import csv
import io
import json
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

from tunesmith.dataset.encoding import recognise_wide
from tunesmith.dataset.formats import KNOWN_KEYS
from tunesmith.dataset.row_problem import RowProblem, Unit
from tunesmith.errors import RunFailure
from tunesmith.messages.json_reason import json_reason

LONGEST_ROW = 64 << 20  # bytes; a file without newlines is no JSONL and must not fill the memory
BLOCK = 1 << 20  # bytes read at once
BATCH = 256  # rows of a Parquet file
HEAD = 64 << 10  # bytes by which a file is recognised
AFTER_VALUE: dict[str, Any] = {"code": "json_error.after_value", "params": {}}
AFTER_ARRAY: dict[str, Any] = {"code": "json_error.after_array", "params": {}}

Kind = Literal["jsonl", "json", "csv", "parquet"]
Numbered = Iterator[tuple[int, Any]]


class TimeOver(Exception):
    """The time allowed for reading is over."""


class Source:
    """An open file. `rows` gives (line or row from 1, bytes of a JSONL line or parsed row)."""

    def __init__(self, file: Path, deadline: float | None = None) -> None:
        self._file = file
        self._deadline = deadline
        self._stream = io.BufferedReader(_Timed(file.open("rb", buffering=0), deadline), BLOCK)
        try:
            self.head = bytes(self._stream.peek(HEAD)[:HEAD])
            self.kind: Kind = _kind_of(file, self.head)
            if self.kind != "parquet" and (wide := recognise_wide(self.head)):
                raise RunFailure("dataset_encoding", file=file.name, encoding=wide)
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def unit(self) -> Unit:
        """What the numbers of `rows` count."""
        return "line" if self.kind == "jsonl" else "row"

    def rows(self) -> Numbered:
        if self.kind == "jsonl":
            return _lines(self._stream)
        if self.kind == "json":
            return _Array(self._stream).rows()
        if self.kind == "csv":
            return _csv_rows(self._stream)
        return _parquet_rows(self._file, self._deadline)


class _Timed(io.RawIOBase):
    """A file that can be read until a deadline: also one that holds no row at all."""

    def __init__(self, file: io.RawIOBase | io.FileIO, deadline: float | None) -> None:
        self._file, self._deadline = file, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        _look_at_clock(self._deadline)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _look_at_clock(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise TimeOver


def _kind_of(file: Path, head: bytes) -> Kind:
    if head.startswith(b"PAR1") or file.suffix.lower() == ".parquet":
        return "parquet"
    if file.suffix.lower() == ".csv":
        return "csv"
    # Both endings are used for both: the first character tells.
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    return "json" if text.startswith(b"[") else "jsonl"


def _lines(stream: BinaryIO) -> Numbered:
    read = partial(stream.readline, LONGEST_ROW)
    for number, line in enumerate(iter(read, b""), start=1):
        if len(line) == LONGEST_ROW:
            yield number, RowProblem("too_long", limit_mib=LONGEST_ROW >> 20)
            return
        # Some editors write a byte order mark at the start of a file.
        text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if text and not text.isspace():
            yield number, text


def parse_line(line: bytes) -> Any:
    """Return the JSON value of a JSONL line; raise RowProblem."""
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise RowProblem("encoding", position=error.start + 1) from None
    except json.JSONDecodeError as error:
        if line.strip() in (b"{", b"["):
            raise RowProblem("over_lines") from None
        raise RowProblem("json", reason=json_reason(error), column=error.pos + 1) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; deep nesting
        raise RowProblem("json", reason=json_reason(error), column=1) from None


class _Array:
    """Takes one value after another from a JSON array, with no more of it in memory than needed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        # Bytes that are no UTF-8 become lone surrogates, which are found in the row they are in.
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._text, self._at, self._ended = "", 0, False
        self._value = json.JSONDecoder().raw_decode

    def rows(self) -> Numbered:
        self._more()
        self._text = self._text.removeprefix("\ufeff")
        self._next()
        self._at += 1  # the bracket that it was recognised by
        number = 0
        if self._next() != "]":
            while True:
                number += 1
                try:
                    value = self._take()
                except RowProblem as problem:
                    yield number, problem
                    return
                yield number, value
                separator = self._next()
                if separator == "]":
                    break
                if separator != ",":
                    yield number + 1, self._broken(AFTER_VALUE)
                    return
                self._at += 1
                self._next()
        self._at += 1
        if self._next():
            yield number + 1, self._broken(AFTER_ARRAY)

    def _take(self) -> Any:
        while True:
            try:
                value, end = self._value(self._text, self._at)
            except json.JSONDecodeError as error:
                # Not an error yet where the value merely goes on beyond what was read.
                unsure = error.msg.startswith("Unterminated string") or (
                    error.pos > len(self._text) - 16
                )
                if self._ended or not unsure:
                    self._at = min(error.pos, len(self._text))
                    raise self._broken(json_reason(error)) from None
            except (ValueError, RecursionError) as error:  # as in `parse_line`
                raise self._broken(json_reason(error)) from None
            else:
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            if len(self._text) - self._at > LONGEST_ROW:
                limit = LONGEST_ROW >> 20
                raise RowProblem("value_too_long", limit_mib=limit)
            self._more()

    def _next(self) -> str:
        """Return the next character that is no blank, "" at the end; it stays to be read."""
        while True:
            match = BLANKS.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more()

    def _more(self) -> None:
        # As much again, so that a long value is not tried too often.
        data = self._stream.read(max(BLOCK, len(self._text) - self._at))
        self._ended = not data
        self._text = self._text[self._at :] + self._decode(data, self._ended)
        self._at = 0

    def _broken(self, reason: Any) -> RowProblem:
        near = self._text[max(self._at - 20, 0) : self._at + 20]
        shown = " ".join(near.encode("utf-8", "replace").decode().split())
        return RowProblem("json_array", reason=reason, near=shown)


BLANKS = re.compile(r"[ \t\r\n]*")
OTHER_SEPARATORS = ("\t", ";", "|")  # that spreadsheets put between cells, where not commas


def _csv_rows(stream: "io.BufferedReader[_Timed]") -> Numbered:
    csv.field_size_limit(LONGEST_ROW)
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=True)
    number = 0
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number + 1, RowProblem("csv", reason=str(error))
            return
        if not cells:
            continue
        if header is None:
            header = [name.strip() for name in cells]
            if wrong := _header_problem(header):
                yield 1, wrong
                return
            continue
        number += 1
        if len(cells) == len(header):
            yield number, dict(zip(header, cells, strict=True))
        else:
            yield number, RowProblem("columns", expected=len(header), found=len(cells))


def _header_problem(names: list[str]) -> RowProblem | None:
    """Return what keeps all rows of a CSV file from being read, None if nothing does."""
    if len(names) == 1:
        for separator in OTHER_SEPARATORS:
            if separator in names[0]:
                return RowProblem("csv_separator", separator=repr(separator))
    for name in names:
        if name in KNOWN_KEYS and names.count(name) > 1:  # of the rest nothing is used
            return RowProblem("csv_column_twice", name=name)
    return None


def _parquet_rows(file: Path, deadline: float | None) -> Numbered:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file, buffer_size=BLOCK, pre_buffer=False) as table:
            there = table.schema_arrow.names
            columns = [name for name in there if name in KNOWN_KEYS] or None
            number = 0
            for batch in table.iter_batches(BATCH, columns=columns, use_threads=False):
                _look_at_clock(deadline)
                for row in _rows_of(batch):
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise RunFailure("dataset_unreadable", path=str(file), reason=reason) from None


def _rows_of(batch: Any) -> Iterator[Any]:
    try:
        yield from batch.to_pylist()
    except ValueError:  # text that is no UTF-8: find the rows it is in
        for index in range(batch.num_rows):
            try:
                yield batch.slice(index, 1).to_pylist()[0]
            except ValueError as error:
                yield RowProblem("unreadable", reason=str(error))
