"""Starts the server: logging, data directory and socket first, so that a fault is told at once."""

import errno
import logging
import socket
import sys
from ipaddress import ip_address

from tunesmith.api.data_directory import held
from tunesmith.errors import Misconfigured
from tunesmith.settings import Settings

BACKLOG = 512  # connections that wait while the rest of the server is being imported


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Running trainings go on then.

    Prints URL, token and data directory on standard output when it takes connections. Raises
    Misconfigured: `data_dir_in_use`, `data_dir_unusable`, `port_taken`, `setting_invalid`,
    `store_newer`.
    """
    _log_to_stderr(settings.log_level)
    with held(settings), listen(settings) as listener:
        # What takes long to import, after all that can be refused quickly.
        from tunesmith.api.server import run

        run(settings, listener, url_of(listener))


def listen(settings: Settings) -> socket.socket:
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # `localhost` is both; clients that write 127.0.0.1 are the more.
        family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Misconfigured("port_taken", host=host, port=port) from None
        name = "port" if error.errno == errno.EACCES else "host"
        reason = error.strerror or str(error)
        raise Misconfigured("setting_invalid", name=name, reason=reason) from None


def url_of(listener: socket.socket) -> str:
    """Return the URL for clients on this machine."""
    host, port = listener.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:  # all addresses: the loopback one is among them
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://{host}:{port}" if address.version == 4 else f"http://[{host}]:{port}"


def _log_to_stderr(level: str) -> None:
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(
        stream=sys.stderr,
        level=max(number, logging.WARNING),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("tunesmith").setLevel(number)
    # Its `info` says nothing that we do not say; at `debug`, a line a request.
    if level == "debug":
        logging.getLogger("uvicorn").setLevel(logging.INFO)
