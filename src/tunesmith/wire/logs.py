"""Parts of a task's log."""

from tunesmith.wire.answer import Answer


class LogLines(Answer):
    """Lines of a log as a terminal would show them: what a carriage return overwrote is gone.

    Colours (ANSI escapes) are left in; a very long line is cut and says so.
    """

    lines: list[str]
    first: int
    """Number of the first of `lines`, from 0."""
    total: int
    """Lines there are, an unfinished last one among them."""
    whole: int
    """Lines that have ended. `streamTaskLog` goes on at `offset` with line number `whole`."""
    offset: int
    """The byte after the last whole line."""
    size: int
    """Bytes of the log now."""
    attempt: int
    """Each attempt has a log of its own; 0 before the first."""
    complete: bool
    """The task has ended: no more will come."""


class LogMatch(Answer):
    """A line that was found."""

    line: int
    """Its number, from 0."""
    text: str
    """The line, or the part of a long one around what was found."""


class LogMatches(Answer):
    """What a search found in a part of a log."""

    matches: list[LogMatch]
    next: int | None
    """The line to go on from; null when the end was reached."""
    total: int
    """Lines that were looked at."""
