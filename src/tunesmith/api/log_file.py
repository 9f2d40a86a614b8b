"""Reads a training log from its end, from a line or from a byte, never the whole of it."""

import codecs
import os
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 16  # bytes; a page of a thousand usual lines is one or two
SKIP_BLOCK = 1 << 20  # bytes; a big log is gone through from its start
ANSWER_LIMIT = 8 << 20  # bytes of an answer


def last_lines(path: Path, lines: int, limit: int = ANSWER_LIMIT) -> str:
    """Return the last `lines` lines, of them the newest `limit` bytes; "" without a file.

    A last line without its newline counts as one.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = _start_of_last(file, end, lines, limit)
            file.seek(max(0, start - 1))
            inside_line = start > 0 and file.read(1) != b"\n"
            data = file.read(end - start)
    except FileNotFoundError:
        return ""
    return (_from_line_start(data) if inside_line else data).decode("utf-8", "replace")


def lines_from(path: Path, skip: int, lines: int, limit: int = ANSWER_LIMIT) -> str:
    """Return `lines` lines after the first `skip` ones, at most `limit` bytes of them.

    What is too much is left off at the end: a reader goes on after the lines it got.
    """
    try:
        with path.open("rb") as file:
            if not _skip_lines(file, skip):
                return ""
            data = _some_lines(file, lines, limit)
    except FileNotFoundError:
        return ""
    if len(data) == limit:
        # A line longer than the limit comes cut; others come whole.
        data = data[: data.rfind(b"\n") + 1] or data
    return data.decode("utf-8", "replace")


def text_at(path: Path, offset: int, *, ended: bool, size: int = BLOCK) -> tuple[str, int]:
    """Return the whole lines among the `size` bytes at `offset`, and the offset after them.

    A line that fills `size` is cut between two characters, and so is the last line of a log
    that has `ended`. "" and the same offset: nothing more is there yet.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
    except FileNotFoundError:
        return "", offset
    whole = data.rfind(b"\n") + 1
    if whole:
        data = data[:whole]
    elif len(data) < size and not ended:
        return "", offset
    # The end of a log may hold half a character; elsewhere its other half comes next time.
    text, used = codecs.utf_8_decode(data, "replace", ended and len(data) < size)
    return text, offset + used


def offset_before_end(path: Path, size: int) -> int:
    """Return where the last `size` bytes begin, moved on to the start of a line."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if end <= size:
                return 0
            file.seek(end - size - 1)
            data = file.read(size + 1)
    except FileNotFoundError:
        return 0
    line_end = data.find(b"\n")
    return end if line_end < 0 else end - size + line_end


def _start_of_last(file: BinaryIO, end: int, lines: int, limit: int) -> int:
    """Return where the last `lines` lines begin, at most `limit` bytes before `end`."""
    stop = max(0, end - limit)
    at = end
    wanted = lines  # newlines before the first of the lines
    while at > stop:
        size = min(BLOCK, at - stop)
        at -= size
        file.seek(at)
        block = file.read(size)
        if at + size == end and block.endswith(b"\n"):
            wanted += 1  # the last newline ends a line, it does not begin one
        found = block.count(b"\n")
        if found < wanted:
            wanted -= found
            continue
        place = len(block)
        for _ in range(wanted):
            place = block.rindex(b"\n", 0, place)
        return at + place + 1
    return stop


def _skip_lines(file: BinaryIO, lines: int) -> bool:
    """Move after `lines` lines; False when the file has no more."""
    while lines:
        block = file.read(SKIP_BLOCK)
        if not block:
            return False
        found = block.count(b"\n")
        if found < lines:
            lines -= found
            continue
        place = -1
        for _ in range(lines):
            place = block.index(b"\n", place + 1)
        file.seek(place + 1 - len(block), os.SEEK_CUR)
        return True
    return True


def _some_lines(file: BinaryIO, lines: int, limit: int) -> bytes:
    data = bytearray()
    while lines and len(data) < limit:
        block = file.read(min(BLOCK, limit - len(data)))
        if not block:
            break
        found = block.count(b"\n")
        if found < lines:
            lines -= found
            data += block
            continue
        place = -1
        for _ in range(lines):
            place = block.index(b"\n", place + 1)
        data += block[: place + 1]
        break
    return bytes(data)


def _from_line_start(data: bytes) -> bytes:
    """Drop the rest of a line that the limit has cut, unless there is no other."""
    rest = data[data.find(b"\n") + 1 :]
    if rest and len(rest) < len(data):
        return rest
    # Half a character, if the cut went through one.
    start = next((index for index in range(4) if data[index] & 0xC0 != 0x80), 0)
    return data[start:]
