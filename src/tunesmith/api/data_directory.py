"""Keeps a data directory to one server, and tells clients of this machine where that one is."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from tunesmith.errors import Misconfigured
from tunesmith.run_directory import read_json
from tunesmith.settings import Settings


@contextlib.contextmanager
def held(settings: Settings) -> Iterator[None]:
    """Hold the data directory, made if new, for as long as the block runs.

    The lock is the kernel's: it goes with the process, however that ends. Raises Misconfigured:
    `data_dir_in_use`, `data_dir_unusable`.
    """
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(settings.data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(settings, error) from None
    try:
        _lock(lock, settings)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def announced(settings: Settings, url: str) -> Iterator[None]:
    """Leave URL and pid in the data directory, for its owner, for as long as the block runs."""
    file = settings.server_file
    try:
        _write_private(file, json.dumps({"url": url, "pid": os.getpid()}))
    except OSError as error:
        raise _unusable(settings, error) from None
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _lock(lock: int, settings: Settings) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        raise Misconfigured(
            "data_dir_in_use", path=str(settings.data_dir), url=_url_of_other(settings), pid=pid
        ) from None
    except OSError as error:  # a file system without locks
        raise _unusable(settings, error) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _url_of_other(settings: Settings) -> str:
    """Return the URL of the server that holds the lock; "?" while it is starting."""
    try:
        return str((read_json(settings.server_file) or {}).get("url", "?"))
    except (OSError, ValueError):
        return "?"


def _write_private(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    draft.replace(file)


def _unusable(settings: Settings, error: OSError) -> Misconfigured:
    reason = error.strerror or str(error)
    return Misconfigured("data_dir_unusable", path=str(settings.data_dir), reason=reason)
