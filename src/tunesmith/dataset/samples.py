"""Reads alpaca JSONL: one object a line with `instruction`, `input` (optional) and `output`."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith.errors import RunFailure

LONGEST_LINE = 64 << 20  # bytes; a file without newlines is no JSONL and must not fill the memory

# Half of a pair, left where an export cut an emoji in two: no tokenizer takes it.
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Sample:
    """One question and its answer."""

    instruction: str
    input: str
    output: str
    line: int
    """From 1, for messages."""

    @property
    def prompt(self) -> str:
        """What the user says: the instruction, and below it the input if there is one."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction


def read_samples(file: Path) -> Iterator[Sample]:
    """Yield the samples of `file` in order; blank lines are skipped, other keys ignored.

    Raises RunFailure `bad_row` (file, line, problem) at the first line that is no sample, and
    `dataset_unreadable` when the file cannot be read.
    """
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(LONGEST_LINE), b""), start=1):
                if len(line) == LONGEST_LINE:
                    raise _bad_row(file, number, "too_long", limit_mib=LONGEST_LINE >> 20)
                # Some editors write a byte order mark at the start of a file.
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if text.strip():
                    yield _parse(text, file, number)
    except OSError as error:
        raise RunFailure(
            "dataset_unreadable", path=str(file), reason=error.strerror or str(error)
        ) from None


def _parse(line: bytes, file: Path, number: int) -> Sample:
    bad = partial(_bad_row, file, number)

    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise bad("encoding", position=error.start + 1) from None
    except json.JSONDecodeError as error:
        raise bad("json", reason=error.msg, column=error.colno) from None
    except ValueError as error:  # a number of thousands of digits
        raise bad("json", reason=str(error), column=1) from None
    except RecursionError:
        raise bad("json", reason="nested too deeply", column=1) from None
    if not isinstance(row, dict):
        raise bad("object")
    values: dict[str, str] = {}
    for name in ("instruction", "input", "output"):
        value = row.get(name)
        if name == "input" and value is None:
            value = ""
        if name not in row and name != "input":
            raise bad("field_missing", name=name, found=list(row)[:10])
        if not isinstance(value, str):
            raise bad("field_type", name=name, found=_json_type(value))
        if LONE_SURROGATE.search(value):
            raise bad("half_character", name=name)
        if name != "input" and not value.strip():
            raise bad("field_empty", name=name)
        values[name] = value
    return Sample(line=number, **values)


def _bad_row(file: Path, line: int, problem: str, **params: Any) -> RunFailure:
    shown = {"code": f"row.{problem}", "params": params}
    return RunFailure("bad_row", file=file.name, line=line, problem=shown)


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
