"""Finds lines of a log, a part of a large one at a time."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import AnyStr

from tunesmith.api.indexed_log import IndexedLog, last_state

CHUNK = 1 << 20  # bytes searched at once
AT_ONCE = 64 << 20  # bytes of a search; more would keep the others of this server waiting
SHOWN = 500  # characters of a line that was found
BEFORE = 100  # of them, before what was found in a longer line

# Rare texts, each of which is found fast; then their lines are looked at closely.
ERROR_WORDS = (
    b"Traceback",
    b"rror",
    b"RROR",
    b"xception",
    b"CRITICAL",
    b"FATAL",
    b"Killed",
    b"Segmentation",
    b"core dumped",
)
ERROR = re.compile(
    r"Traceback \(most recent call last\)"
    r"|(?<!\w)\w*(?:Error|Exception)\b"
    r"|\b(?:ERROR|CRITICAL|FATAL)\b"
    r"|\berror:|\bSegmentation fault|\bcore dumped|^Killed\b"
    r"|^(?:[^\W\d]\w*\.)+[A-Z]\w*(?=:|$)"
)
# Python's last line of an exception of any name: `module.Name: text`. After a newline: found fast.
EXCEPTION = re.compile(rb"\n(?:[^\W\d]\w*\.)+[A-Z]\w*(?=:|\r?(?:\n|\Z))")


@dataclass(frozen=True)
class Pattern:
    """What is looked for."""

    words: Sequence[bytes]
    """A line has one of them; lower-case with `fold`."""
    place: Callable[[str], int]
    """Where in a line as it is shown; -1 for one that is none."""
    fold: bool = False
    begin: re.Pattern[bytes] | None = None
    """Or a line begins so, after a newline."""


@dataclass(frozen=True)
class Found:
    """Lines by number and text, and how far the search came."""

    lines: list[tuple[int, str]]
    next: int
    """The line to go on from."""


def for_text(query: str, ignore_case: bool) -> Pattern:
    """Return the pattern of lines that hold `query`."""
    if ignore_case:
        folded = query.lower()
        return Pattern([folded.encode()], lambda text: text.lower().find(folded), fold=True)
    return Pattern([query.encode()], lambda text: text.find(query))


def for_errors() -> Pattern:
    """Return the pattern of lines that tell of an error."""
    return Pattern(ERROR_WORDS, _place_of_error, begin=EXCEPTION)


def search(log: IndexedLog, pattern: Pattern, begin: int, limit: int) -> Found:
    """Return the first `limit` lines of `pattern` from line `begin` on, within AT_ONCE bytes."""
    found: list[tuple[int, str]] = []
    line, at = begin, log.start(begin)
    end = min(log.size, at + AT_ONCE)
    while line < log.total and at < end:
        log.file.seek(at)
        data = log.file.read(min(CHUNK, log.size - at))
        last = at + len(data) == log.size
        whole = len(data) if last else data.rfind(b"\n") + 1
        if not whole:  # a line longer than a chunk
            _add(found, line, log.line(line, mark=lambda size: ""), pattern)
            line += 1
            at = log.start(line)
        else:
            lines: list[bytes] = []
            for number in _candidates(data[:whole], pattern):
                lines = lines or data.split(b"\n")
                _add(found, line + number, last_state(lines[number]), pattern)
                if len(found) == limit:
                    return Found(found, line + number + 1)
            line = log.total if last else line + data.count(b"\n")
            at += whole
        if len(found) == limit:
            break
    return Found(found, line)


def _add(found: list[tuple[int, str]], line: int, text: str, pattern: Pattern) -> None:
    place = pattern.place(text)
    if place < 0:  # overwritten, or no error after all
        return
    start = max(0, place - BEFORE) if len(text) > SHOWN else 0
    part = text[start : start + SHOWN]
    found.append((line, f"{'…' if start else ''}{part}{'…' if start + SHOWN < len(text) else ''}"))


def _candidates(data: bytes, pattern: Pattern) -> Iterator[int]:
    """Yield the numbers of the lines of `data` that hold one of the words, in their order."""
    if not pattern.fold:
        hits = {number for word in pattern.words for number in _numbers(data, word, b"\n")}
    elif all(word.isascii() for word in pattern.words):
        small = data.lower()
        hits = {number for word in pattern.words for number in _numbers(small, word, b"\n")}
    else:
        text = data.decode("utf-8", "replace").lower()
        words = [word.decode() for word in pattern.words]
        hits = {number for word in words for number in _numbers(text, word, "\n")}
    if pattern.begin:
        hits.update(_beginnings(data, pattern.begin))
    return iter(sorted(hits))


def _numbers(text: AnyStr, word: AnyStr, newline: AnyStr) -> Iterator[int]:
    """Yield the number of each line of `text` that holds `word`."""
    number = counted = 0
    at = text.find(word)
    while at >= 0:
        number += text.count(newline, counted, at)
        yield number
        counted = text.find(newline, at)
        at = text.find(word, counted) if counted >= 0 else -1


def _beginnings(data: bytes, begin: re.Pattern[bytes]) -> Iterator[int]:
    """Yield the number of each line of `data` that begins so."""
    data = b"\n" + data
    number = counted = 0
    for match in begin.finditer(data):
        number += data.count(b"\n", counted, match.start())
        yield number
        counted = match.start()


def _place_of_error(text: str) -> int:
    match = ERROR.search(text)
    return match.start() if match else -1
