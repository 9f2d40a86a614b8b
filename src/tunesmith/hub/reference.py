"""`organisation/name@revision`: how a model of a hub is called, and where it lies on the disk."""

import re
from dataclasses import dataclass
from pathlib import Path

_PART = r"[A-Za-z0-9_][\w.-]{0,95}"
_REFERENCE = re.compile(rf"({_PART})/({_PART})(?:@([\w][\w./-]{{0,254}}))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
SHOWN_COMMIT = 12  # characters of a commit in a directory's name


@dataclass(frozen=True)
class Reference:
    """A model of a hub."""

    organisation: str
    name: str
    revision: str | None = None
    """Branch, tag or commit; None is the hub's default."""

    @property
    def repo(self) -> str:
        return f"{self.organisation}/{self.name}"

    def directory(self, models_dir: Path, commit: str | None = None) -> Path:
        """Return where it lies: under its name, or one `commit` of it beside that."""
        shown = (commit or "").replace("/", "-")
        # A branch or tag is told whole, as ModelScope has no commits.
        shown = shown[:SHOWN_COMMIT] if is_commit(shown) else shown
        name = f"{self.name}@{shown}" if shown else self.name
        return models_dir / self.organisation / name


def read_reference(text: str) -> Reference | None:
    """Return what `text` refers to; None if it is no hub id: a path, or one name alone."""
    match = _REFERENCE.fullmatch(text)
    if match is None or ".." in text:
        return None
    return Reference(*match.groups())


def is_commit(revision: str) -> bool:
    """Whether `revision` looks like a commit, whole or its beginning."""
    return _COMMIT.fullmatch(revision) is not None
