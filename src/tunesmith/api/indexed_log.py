"""A log by the numbers of its lines, each as a terminal would show it at the end.

What a carriage return overwrote is gone, colours are left in, and a very long line is cut.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tunesmith.api.line_index import LineIndex, LineIndexes

LONGEST_READ = 1 << 16  # bytes of a line that are looked at, from its beginning and to its end
LONGEST_SHOWN = 4096  # characters of a line
ANSWER_LIMIT = 4 << 20  # characters of all lines together

Mark = Callable[[int], str]
"""What follows the beginning of a line of so many bytes that was cut."""


class IndexedLog:
    """An open log as it was when it was opened; what is written since is left out."""

    def __init__(self, file: BinaryIO, index: LineIndex) -> None:
        self.file, self._index = file, index
        self.size, self.whole = index.extend(file)
        """Bytes, and lines that have ended."""
        self.offset = self.start(self.whole)
        """The byte after the last whole line."""
        self.total = self.whole + (self.offset < self.size)
        """Lines, an unfinished last one among them."""

    def start(self, line: int) -> int:
        """Return the byte at which a line begins; that of line `total` is the end."""
        return self._index.start(self.file, line) if line <= self.whole else self.size

    def lines(self, first: int, count: int, mark: Mark) -> list[str]:
        """Return `count` lines from number `first` on; fewer where they are very long."""
        shown: list[str] = []
        room = ANSWER_LIMIT
        self.file.seek(self.start(first))
        for line in range(first, min(first + count, self.total)):
            text = self._next(line, mark)
            room -= len(text)
            if room < 0:
                break
            shown.append(text)
        return shown

    def line(self, line: int, mark: Mark) -> str:
        """Return one line."""
        self.file.seek(self.start(line))
        return self._next(line, mark)

    def _next(self, line: int, mark: Mark) -> str:
        """Return the line at which the file stands, and move on to the next one."""
        begin = self.file.tell()
        # An unfinished line may have grown since.
        head = self.file.readline(min(LONGEST_READ, self.size - begin))
        if len(head) < LONGEST_READ or head.endswith(b"\n"):
            return cut(last_state(head), len(head), mark)
        end = self.start(line + 1)
        self.file.seek(max(begin, end - LONGEST_READ))
        tail = self.file.read(end - self.file.tell())
        # The beginning tells most of a long line, but not of one that overwrites itself.
        overwritten = b"\r" in tail.rstrip(b"\r\n")
        return cut(last_state(tail if overwritten else head), end - begin, mark)


@contextmanager
def open_log(path: Path, indexes: LineIndexes) -> Iterator[IndexedLog]:
    """Open the log at `path`; one that is not there (yet) is empty."""
    try:
        file: BinaryIO = path.open("rb")
    except FileNotFoundError:
        yield IndexedLog(io.BytesIO(), LineIndex())
        return
    with file:
        yield IndexedLog(file, indexes.of(path, file))


def last_state(line: bytes) -> str:
    """Return what a terminal shows of `line` at its end."""
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    return text.rpartition("\r")[2]


def cut(text: str, size: int, mark: Mark) -> str:
    """Return a line of `size` bytes, or its beginning and that it was cut."""
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + mark(size)
