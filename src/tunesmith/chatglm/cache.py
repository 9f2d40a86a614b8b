"""Converts a base model once and keeps the result below the data directory's cache."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunesmith.chatglm.convert import Conversion, convert, read_record
from tunesmith.draft import ENDING

VERSION = 1  # another one when the same original gives another result


def converted(source: Path, cache_dir: Path) -> tuple[Path, Conversion]:
    """Return the converted directory of the original one `source`, made now if there is none.

    Another process that converts the same one is waited for. Raises what `convert` raises.
    """
    root = cache_dir / "converted"
    root.mkdir(parents=True, exist_ok=True)
    target = root / f"{source.resolve().name}-{_key(source)}"
    _sweep(root)
    with _locked(_lock_of(target)):
        record = read_record(target)
        if not record:
            return target, convert(source, target)
    return target, Conversion(record["family"], tuple(record["warnings"]))


def _key(source: Path) -> str:
    """Of the place, and of all that a conversion could read: name, size and time of change."""
    found = []
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            status = path.stat()
            found.append([path.name, status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps([VERSION, str(source.resolve()), found]).encode()).hexdigest()[
        :16
    ]


def _sweep(root: Path) -> None:
    """Remove the drafts that converters which were killed have left."""
    for left in root.glob(f".*{ENDING}"):
        name = left.name.removeprefix(".").removesuffix(ENDING)
        with suppress(BlockingIOError), _locked(_lock_of(root / name), fcntl.LOCK_NB):
            shutil.rmtree(left, ignore_errors=True)


def _lock_of(target: Path) -> Path:
    """Return the file whose lock is held by the one process that converts to `target`."""
    return target.with_name(f".{target.name}.lock")


@contextmanager
def _locked(file: Path, how: int = 0) -> Iterator[None]:
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(handle)
