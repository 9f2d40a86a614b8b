"""Where the lines of growing files are: newlines are counted every so many bytes, in memory.

1 GiB takes 4096 numbers, and half a second once. A file grows; one that was emptied and written
anew, or is another one, is counted anew.
"""

import os
import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 18  # bytes between two counts
FILES_KEPT = 64
SEAM = 64  # bytes before the end of what was counted, by which that is known again


class LineIndex:
    """The lines of a file that the caller opens. Numbers are from 0; offsets are bytes."""

    def __init__(self) -> None:
        # Newlines before each whole block, and after the last of them.
        self._before = array("Q", [0])
        self._seam = b""
        self._lock = threading.Lock()

    def extend(self, file: BinaryIO) -> tuple[int, int]:
        """Count what is new; return the bytes of the file, and how many newlines they hold."""
        with self._lock:
            file.seek((len(self._before) - 1) * BLOCK)
            while len(block := file.read(BLOCK)) == BLOCK:
                self._before.append(self._before[-1] + block.count(b"\n"))
                self._seam = block[-SEAM:]
            return file.tell(), self._before[-1] + block.count(b"\n")

    def start(self, file: BinaryIO, line: int) -> int:
        """Return where a line begins, which may be the one after the last newline."""
        if line == 0:
            return 0
        # The newline before it is in the last block that has fewer of them before itself.
        block = bisect_right(self._before, line - 1) - 1
        file.seek(block * BLOCK)
        data = file.read(BLOCK)
        place = -1
        for _ in range(line - self._before[block]):
            place = data.index(b"\n", place + 1)
        return block * BLOCK + place + 1

    @property
    def counted(self) -> int:
        """Bytes that need not be read again."""
        return (len(self._before) - 1) * BLOCK

    def fits(self, file: BinaryIO) -> bool:
        """Whether what was counted is still there: the file may have been emptied since."""
        with self._lock:
            file.seek(self.counted - len(self._seam))
            return file.read(len(self._seam)) == self._seam


class LineIndexes:
    """The indexes of the files that were read last. May be used from any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[Path, tuple[tuple[int, int], LineIndex]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, path: Path, file: BinaryIO) -> LineIndex:
        """Return the index of `file`, opened at `path`: a new one if that was another file."""
        stat = os.fstat(file.fileno())
        identity = (stat.st_dev, stat.st_ino)
        with self._lock:
            known = self._known.pop(path, None)
            if known is None or known[0] != identity or not known[1].fits(file):
                known = (identity, LineIndex())
            self._known[path] = known
            if len(self._known) > FILES_KEPT:
                self._known.popitem(last=False)
        return known[1]
