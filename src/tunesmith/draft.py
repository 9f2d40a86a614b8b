"""A directory that appears whole or not at all."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.errors import Conflict, FieldProblem, InvalidInput, RunFailure

ENDING = ".tunesmith-draft"  # of its name


def draft_of(target: Path) -> Path:
    """Return where `target` is written before it has its name."""
    return target.with_name(f".{target.name}{ENDING}")


@contextmanager
def draft(target: Path) -> Iterator[Path]:
    """Give an empty directory beside `target` that gets its name when the block ends well.

    Raises InvalidInput `output_not_empty` or `output_not_directory`, Conflict `draft_busy` where
    another process writes the same, and RunFailure `disk_full` where the disk fills meanwhile.
    """
    _require_new(target)
    directory = draft_of(target)
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
        _lock(handle, directory)
        for left in directory.iterdir():  # of one that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield directory
            _flush(directory)
            directory.rename(target)
        except BaseException as error:
            shutil.rmtree(directory, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise RunFailure("disk_full", path=str(target.parent)) from error
            raise
        flush_one(target.parent)
    finally:
        os.close(handle)


def _require_new(target: Path) -> None:
    if target.is_dir():
        if any(target.iterdir()):
            raise InvalidInput(
                FieldProblem("target", "field.output_not_empty", {"path": str(target)})
            )
    elif target.exists() or target.is_symlink():
        raise InvalidInput(
            FieldProblem("target", "field.output_not_directory", {"path": str(target)})
        )


def _lock(handle: int, directory: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(directory.stat(), os.fstat(handle)):
            return
    except (BlockingIOError, FileNotFoundError):  # the latter: renamed in this moment
        pass
    raise Conflict("draft_busy", path=str(directory))


def _flush(directory: Path) -> None:
    for path in directory.iterdir():
        _flush(path) if path.is_dir() else flush_one(path)
    flush_one(directory)


def flush_one(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
