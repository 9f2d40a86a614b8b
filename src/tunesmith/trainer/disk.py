"""Files appear whole or not at all: space is looked for before, drafts are renamed at the end."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith.draft import flush_one
from tunesmith.errors import RunFailure
from tunesmith.trainer.failures import is_disk_full

DRAFT = ".tunesmith-draft-"
SPARE = 1 << 20  # bytes beyond the estimate: config files, directories, blocks half used


def require_space(directory: Path, needed: int) -> None:
    """Raise RunFailure `disk_full` unless `needed` bytes can be written to `directory`."""
    if shutil.disk_usage(directory).free < needed + SPARE:
        raise RunFailure("disk_full", path=str(directory))


@contextmanager
def draft(output: Path, name: str, needed: int) -> Iterator[Path]:
    """Give a new directory inside `output` to write into; what is left of it is removed.

    Files are on the disk when the block ends, before anything is renamed.
    """
    output.mkdir(parents=True, exist_ok=True)
    require_space(output, needed)
    directory = output / f"{DRAFT}{name}"
    directory.mkdir()
    try:
        yield directory
    except Exception as error:
        # torch reports a full disk as "iostream error"; the disk itself knows.
        if is_disk_full(error) or shutil.disk_usage(output).free < SPARE:
            raise RunFailure("disk_full", path=str(output)) from error
        raise
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def flush(directory: Path) -> None:
    """Wait until the files in `directory` are on the disk: a rename must not outlive them."""
    for path in [*directory.iterdir(), directory]:
        flush_one(path)


def remove_drafts(output: Path) -> None:
    """Remove what an attempt that was killed left half-written."""
    for path in output.glob(f"{DRAFT}*"):
        shutil.rmtree(path, ignore_errors=True)
