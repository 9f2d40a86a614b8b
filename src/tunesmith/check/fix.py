"""Writes a cleaned copy of a data set, and line by line what was dropped from it."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tunesmith.check.corpus import Checked, ScannedFile
from tunesmith.check.quality import Rule
from tunesmith.check.report import Fixed
from tunesmith.dataset import BadRow, read_rows
from tunesmith.dataset.source import LONGEST_ROW
from tunesmith.draft import draft
from tunesmith.errors import Refused, RunFailure

DROPPED = "dropped.jsonl"

Lines = dict[int, str]
"""Line -> why it is dropped."""


def claim(target: Path) -> None:
    """Make sure that `target` is new or empty. Raises Refused."""
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise Refused("fix_not_empty", path=str(target))
    except OSError as error:
        raise Refused("file_unwritable", path=str(target), reason=error.strerror) from None


def fix(checked: Checked, target: Path, drop_near: bool) -> Fixed:
    """Write the cleaned copy to `target`, whole or not at all.

    JSONL keeps its lines as they are, in UTF-8; other formats become JSONL with `messages`. What
    validation or test has too is dropped from train. The copy is a data set whatever the file was
    called: the first file is `train.jsonl`. Raises Refused.
    """
    drops = _drops(checked, drop_near)
    kept = 0
    reasons: Counter[str] = Counter()
    try:
        with (
            draft(target) as directory,
            (directory / DROPPED).open("w", encoding="utf-8") as dropped,
        ):
            for number, file in enumerate(checked.files):
                name = file.path.stem if number else "train"
                lines = drops[file.path]
                for line, reason in sorted(lines.items()):
                    row = {"file": file.path.name, "line": line, "reason": reason}
                    dropped.write(json.dumps(row, ensure_ascii=False) + "\n")
                    reasons[reason] += 1
                with (directory / f"{name}.jsonl").open("wb") as out:
                    kept += _copy(checked.readable[file.path], file.format, lines, out)
    except RunFailure as failure:  # the disk has filled
        raise Refused(failure.code, **failure.params) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refused("file_unwritable", path=str(target), reason=reason) from None
    return Fixed(path=str(target), kept=kept, dropped=sum(reasons.values()), reasons=dict(reasons))


def _drops(checked: Checked, drop_near: bool) -> dict[Path, Lines]:
    """Return which lines go; the first reason in this order counts."""
    drops: dict[Path, Lines] = {file.path: {} for file in checked.files}

    def drop(file: ScannedFile, index: int, reason: str) -> None:
        drops[file.path].setdefault(int(file.scan.lines[index]), reason)

    for file in checked.files:
        for line in file.scan.bad_lines.tolist():
            drops[file.path][line] = "bad_row"
        if (last := file.scan.unreadable_from) is not None:
            drops[file.path][last] = "rest_unreadable"
    for split in checked.splits:
        for index in split.having(Rule.GARBLED).tolist():
            drop(split.file, index, "garbled")
    for split, copies, _ in checked.repeats.copies:
        for index in copies.tolist():
            drop(split.file, index, "duplicate")
    # A sample may be in train several times; all but the first were dropped above.
    train = checked.splits[0].file
    for _, _, sources in checked.repeats.leaks:
        for index in sources.tolist():
            drop(train, index, "leaked")
    if drop_near:
        for split, index, other, root in checked.repeats.near:
            if split is other:
                drop(split.file, index, "near_duplicate")
            elif other is checked.splits[0]:
                drop(train, root, "near_leaked")
            else:
                drop(split.file, index, "near_leaked")
    return drops


def _copy(file: Path, format: str, lines: Lines, out: BinaryIO) -> int:
    """Write the rows of `file` that are not in `lines`; return how many."""
    kept = 0
    for row in (_jsonl if format == "jsonl" else _messages)(file, lines):
        out.write(row + b"\n")
        kept += 1
    return kept


def _jsonl(file: Path, lines: Lines) -> Iterator[bytes]:
    with file.open("rb") as source:
        reading = iter(lambda: source.readline(LONGEST_ROW), b"")
        for number, line in enumerate(reading, start=1):
            if len(line) == LONGEST_ROW:  # as `read_rows` does: no line is that long
                return
            text = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
            if text and number not in lines:
                yield text


def _messages(file: Path, lines: Lines) -> Iterator[bytes]:
    for row in read_rows(file):
        if isinstance(row, BadRow) or row.line in lines:
            continue
        messages = [] if row.system is None else [{"role": "system", "content": row.system}]
        for question, answer in row.turns:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": answer})
        yield json.dumps({"messages": messages}, ensure_ascii=False).encode()
