"""Reads Server-Sent Events out of the bytes of an answer, as the HTML standard defines them.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# Not str.splitlines: it also splits at U+2028 and others, which a log or JSON text may hold.
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class ServerSentEvent:
    event: str
    data: str
    id: str
    """The last id so far: an event without one of its own repeats it; "" before the first."""
    retry: int | None
    """Milliseconds to wait before connecting again, when the server has said so."""


def parse(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Yield the events; one without data or cut off by the end is no event."""
    kind, last_id = "", ""
    data: list[str] = []
    retry: int | None = None
    for line in _lines(chunks):
        if not line:
            if data:
                yield ServerSentEvent(kind or "message", "\n".join(data), last_id, retry)
            kind, data = "", []
            continue
        name, _, value = line.partition(":")  # a comment has the name ""
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            retry = int(value)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    rest = ""
    returned = False  # the text so far ends with "\r": a "\n" that follows belongs to it
    for chunk in chunks:
        text = decoder.decode(chunk)
        if not text:
            continue
        if returned:
            text = text.removeprefix("\n")
        returned = text.endswith("\r")
        *lines, rest = _LINE_END.split(rest + text)
        yield from lines
