"""The running server: store, daemon and HTTP put together, from the first request to a signal."""

import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial

import uvicorn
from fastapi import FastAPI

from tunesmith import __version__
from tunesmith.api.app import create_app
from tunesmith.api.data_directory import announced
from tunesmith.api.state import ServerState
from tunesmith.changes import Changes
from tunesmith.daemon import Daemon
from tunesmith.devices import inventory
from tunesmith.executor.local import LocalExecutor
from tunesmith.messages import sentence, user_language
from tunesmith.settings import Settings, login_token
from tunesmith.status import Status
from tunesmith.store import Store

GRACE = 1  # seconds for requests under way when the server ends


def run(settings: Settings, listener: socket.socket, url: str) -> None:
    """Answer at `listener` until a signal; then streams end, and trainings go on."""
    devices = partial(inventory, settings.devices)
    changes = Changes()
    with contextlib.closing(Store.open(settings.store_url)) as store:
        daemon = Daemon(
            store=store,
            executor=LocalExecutor(),
            settings=settings,
            changes=changes,
            inventory=devices,
        )
        state = ServerState(
            store=store,
            settings=settings,
            daemon=daemon,
            changes=changes,
            token=login_token(settings),
            inventory=devices,
            closing=threading.Event(),
        )
        server = HttpServer(create_app(state), state)
        daemon.start()
        try:
            with announced(settings, url):
                _say(
                    f"Tunesmith {__version__}  {url}",
                    f"token: {state.token}",
                    f"data: {settings.data_dir}",
                )
                server.run(sockets=[listener])
        finally:
            daemon.close()
        if running := store.counts()[Status.RUNNING]:
            _say(sentence("trainings_go_on", user_language(), {"count": running}))


class HttpServer(uvicorn.Server):
    """uvicorn, which ends open streams and leaves the process to us when a signal comes."""

    def __init__(self, app: FastAPI, state: ServerState) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=logging.getLogger("uvicorn").isEnabledFor(logging.INFO),
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self._state = state

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Not in the signal's handler: it may have interrupted somebody who holds a lock.
        self._state.closing.set()
        self._state.changes.publish()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal once more at the end, and what follows would not run.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
