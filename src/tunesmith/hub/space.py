"""Whether a download fits on the disk."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from tunesmith.hub.files import RemoteFile

SPARE = 64 << 20  # bytes beyond the files: their directory, what else is written meanwhile


def draft_of(directory: Path) -> Path:
    """Return where a download lies until it is whole and becomes `directory`."""
    return directory.with_name(f".{directory.name}.downloading")


def shortage(directory: Path, files: Iterable[RemoteFile]) -> dict[str, str] | None:
    """Return what is missing for `files` in `directory`, None if they fit.

    What an earlier attempt has left counts as there. The result are parameters of the message
    `download_no_space`: path, needed_gib, free_gib. Raises OSError.
    """
    draft = draft_of(directory)
    there = 0
    if draft.is_dir():
        there = sum(path.stat().st_size for path in draft.iterdir())
    needed = sum(file.size for file in files) - there + SPARE
    disk = next(path for path in (draft, *draft.parents) if path.exists())
    free = shutil.disk_usage(disk).free
    if free >= needed:
        return None
    sizes = {"needed_gib": f"{needed / 2**30:.1f}", "free_gib": f"{free / 2**30:.1f}"}
    return {"path": str(directory.parent), **sizes}
