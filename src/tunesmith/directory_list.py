"""What is in a directory, for somebody who chooses a base model or a data set there.

Nothing outside the allowed roots is told of, not even by a symlink inside them.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunesmith import wire
from tunesmith.dataset import has_known_ending, has_training_file
from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.models_on_disk import is_base_model
from tunesmith.paths import inside_roots

AT_MOST = 1000  # entries of an answer
LOOKED_AT = 100_000  # entries of a directory that are sorted

_Found = tuple[bool, str, Path]  # file rather than directory, name, where it leads


def list_directory(value: str, roots: Sequence[Path], *, hidden: bool) -> wire.DirectoryList:
    """Return the entries of the directory `value`, or the roots if that is "".

    Raises InvalidInput naming `path` for what is outside `roots` or is no readable directory.
    """
    if not value:
        there = [root for root in roots if root.is_dir()]
        return _answer(None, [(False, str(root), root) for root in there], roots)
    directory = inside_roots(value, "path", roots)
    try:
        found = list(_entries(directory, roots, hidden))
    except (FileNotFoundError, NotADirectoryError):
        raise _refusal("directory_missing", path=str(directory)) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise _refusal("directory_unreadable", path=str(directory), reason=reason) from None
    return _answer(directory, found, roots)


def _refusal(code: str, **params: str) -> InvalidInput:
    return InvalidInput(FieldProblem("path", f"field.{code}", params))


def _entries(directory: Path, roots: Sequence[Path], hidden: bool) -> Iterator[_Found]:
    with os.scandir(directory) as entries:
        for number, entry in enumerate(entries):
            if number == LOOKED_AT:
                return
            if entry.name.startswith(".") and not hidden:
                continue
            path = Path(entry.path)
            try:
                entry.name.encode()  # else no request could name it
                if entry.is_symlink():
                    path = path.resolve(strict=True)
                    if not any(path.is_relative_to(root) for root in roots):
                        continue
                if entry.is_dir() or entry.is_file():  # no socket, device or pipe
                    yield not entry.is_dir(), entry.name, path
            except (OSError, RuntimeError, UnicodeEncodeError):  # leads nowhere, or in a circle
                continue


def _answer(
    directory: Path | None, found: Sequence[_Found], roots: Sequence[Path]
) -> wire.DirectoryList:
    parent = directory.parent if directory else None
    if parent and not any(parent.is_relative_to(root) for root in roots):
        parent = None
    in_model = directory is not None and is_base_model(directory)
    shown = sorted(found, key=lambda each: (each[0], _natural(each[1])))[:AT_MOST]
    entries = []
    for is_file, name, leads_to in shown:
        path = directory / name if directory else leads_to
        try:
            stat = path.stat()
        except OSError:  # gone since
            continue
        entries.append(
            wire.DirectoryEntry(
                name=name,
                path=str(path),
                kind="file" if is_file else "directory",
                size_bytes=stat.st_size if is_file else None,
                modified_at=stat.st_mtime,
                base_model=not is_file and is_base_model(path),
                # The JSON files of a base model are no data.
                dataset=has_known_ending(path) and not in_model
                if is_file
                else has_training_file(path),
            )
        )
    return wire.DirectoryList(
        path=str(directory or ""),
        parent=str(parent) if parent else None,
        roots=[str(root) for root in roots],
        entries=entries,
        total=len(found),
        truncated=len(found) > AT_MOST,
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Order checkpoint-500 before checkpoint-1000."""
    parts = re.split(r"([0-9]+)", name.casefold())
    # Every second part is a number; the others may hold digits such as ² all the same.
    return [(int(part), "") if odd % 2 else (-1, part) for odd, part in enumerate(parts)]
