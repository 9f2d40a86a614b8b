"""The demo's server: the one that runs on the data directory, or one started for the demo."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from tunesmith import Client
from tunesmith.errors import TunesmithError
from tunesmith.run_directory import read_json
from tunesmith.settings import Settings

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 15.0


class ServerProblem(Exception):
    """No server could be had; the text says why."""


@contextmanager
def running_or_started(
    settings: Settings, root: Path, console: Console
) -> Iterator[tuple[str, subprocess.Popen[bytes] | None]]:
    """Yield a server's URL, and its process if it was started here; that one is stopped after.

    A server that is started may read `root` beside its allowed roots. Raises ServerProblem.
    """
    url = _answering(settings)
    if url is not None:
        console.print(f"Using the server that runs on {settings.data_dir}: {url}")
        yield url, None
        return
    log = settings.data_dir / "server.log"
    process = _start(settings, root, log, console)
    try:
        url = _wait_until_ready(settings, process, log)
        console.print(f"Server started: {url} (its log: {log})")
        yield url, process
    finally:
        _stop(process)


def _answering(settings: Settings, pid: int | None = None) -> str | None:
    """Return the URL of the server on the data directory, if it answers (and has this pid)."""
    with suppress(OSError, ValueError, TunesmithError):
        left = read_json(settings.server_file)
        if left and pid in (None, left["pid"]):
            url = str(left["url"])
            # A listing needs the token: another server on an old file's port does not know it.
            with Client(url, timeout=5) as client:
                client.tasks(page_size=1)
            return url
    return None


def _start(settings: Settings, root: Path, log: Path, console: Console) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tunesmith", "serve"]
    if not _is_free(settings.host, settings.port):
        console.print(f"Port {settings.port} is taken; a free one is used.")
        command += ["--port", "0"]
    roots = [str(path) for path in (*settings.roots, Path.home(), root)]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=os.environ | {"TUNESMITH_ALLOWED_ROOTS": ":".join(roots)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C is for the demo, which stops its task before the server.
            start_new_session=True,
        )


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _wait_until_ready(settings: Settings, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if url := _answering(settings, process.pid):
            return url
        time.sleep(0.1)
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    reason = "did not answer" if process.poll() is None else "ended"
    raise ServerProblem("\n".join([f"The server {reason}. The end of {log}:", *tail]))


def _stop(process: subprocess.Popen[bytes]) -> None:
    # A second Ctrl-C must not leave the server behind.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.terminate()
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
