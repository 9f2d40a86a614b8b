"""What is in a directory of the server's machine."""

from typing import Literal

from tunesmith.wire.answer import Answer


class DirectoryEntry(Answer):
    """A directory or file of the server's machine."""

    name: str
    path: str
    kind: Literal["directory", "file"]
    size_bytes: int | None
    """Null for a directory."""
    modified_at: float
    base_model: bool
    """It looks like a base model's directory: config.json and weights."""
    dataset: bool
    """It looks like a data set: a directory with a train file, or a file of a known format."""


class DirectoryList(Answer):
    """What is in a directory: directories first, by name."""

    path: str
    """"" for the list of the roots."""
    parent: str | None
    """Null for a root and for the list of the roots."""
    roots: list[str]
    entries: list[DirectoryEntry]
    total: int
    truncated: bool
    """`entries` holds the first thousand of `total`."""
