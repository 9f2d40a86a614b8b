"""Which directories hold a base model, by the names of their files."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tunesmith.base_model import INDEX_FILES, SINGLE_FILES

MOST_ENTRIES = 10_000  # of a directory that are looked at


@dataclass(frozen=True)
class OnDisk:
    """A directory that holds a base model."""

    name: str
    """Below the models directory, or the hub id of a Hugging Face cache."""
    path: Path


def models_on_disk(roots: Iterable[Path]) -> list[OnDisk]:
    """Return the base models in `roots`, by name: `name/`, `organisation/name/`, and what lies
    there as in Hugging Face's cache. A download that is under way is none yet.
    """
    found: dict[str, OnDisk] = {}
    for root in roots:
        for directory in _directories(root):
            for model in _models_of(directory):
                found.setdefault(model.name, model)
    return sorted(found.values(), key=lambda model: model.name.casefold())


def is_base_model(directory: Path) -> bool:
    """Whether `directory` has a configuration and weights, by the names of its files."""
    weights = (*SINGLE_FILES, *INDEX_FILES)
    return _has(directory, "config.json") and any(_has(directory, name) for name in weights)


def _models_of(directory: Path) -> Iterator[OnDisk]:
    if directory.name.startswith("models--"):
        snapshots = [each for each in _directories(directory / "snapshots") if is_base_model(each)]
        if snapshots:
            name = directory.name.removeprefix("models--").replace("--", "/")
            yield OnDisk(name, max(snapshots, key=lambda each: each.stat().st_mtime))
    elif is_base_model(directory):
        yield OnDisk(directory.name, directory)
    else:
        for below in filter(is_base_model, _directories(directory)):
            yield OnDisk(f"{directory.name}/{below.name}", below)


def _has(directory: Path, name: str) -> bool:
    return os.path.lexists(directory / name)


def _directories(path: Path) -> list[Path]:
    """Return the directories of `path` that are not hidden, nor a download's; [] without it."""
    try:
        return [
            Path(entry.path)
            for entry in _entries(path)
            if not entry.name.startswith(".")
            and not entry.name.endswith(".downloading")
            and entry.is_dir()
        ]
    except OSError:
        return []


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        for number, entry in enumerate(entries):
            if number >= MOST_ENTRIES:
                return
            yield entry
