"""What every handler works with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from tunesmith.api.line_index import LineIndexes
from tunesmith.api.shared_readings import SharedReadings
from tunesmith.api.tries import AddressTries
from tunesmith.changes import Changes
from tunesmith.daemon import Daemon
from tunesmith.devices import Device
from tunesmith.settings import Settings
from tunesmith.store import Store


@dataclass(frozen=True)
class ServerState:
    """The parts of a running server."""

    store: Store
    settings: Settings
    daemon: Daemon
    changes: Changes
    token: str
    inventory: Callable[[], list[Device]]
    closing: threading.Event
    """The server ends: set it, then publish a change, and every stream ends."""
    readings: SharedReadings = field(default_factory=SharedReadings)
    """What many followers read at once."""
    tries: AddressTries = field(default_factory=AddressTries)
    """Wrong tokens, by the address they came from."""
    lines: LineIndexes = field(default_factory=LineIndexes)
    """Where the lines of logs are."""


def state_of(request: Request) -> ServerState:
    return cast(ServerState, request.app.state.server)


State = Annotated[ServerState, Depends(state_of)]
