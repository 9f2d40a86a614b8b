"""Which file is which split: a directory with train.jsonl and its companions, or one file."""

from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import RunFailure


@dataclass(frozen=True)
class Splits:
    """The files of a data set; None where a split does not exist."""

    train: Path
    valid: Path | None = None
    test: Path | None = None


def find_splits(path: Path) -> Splits:
    """Return the splits under `path`, a directory or a single JSONL file (all of it training).

    Raises RunFailure `dataset_missing`, `dataset_no_train` or `dataset_unreadable`.
    """
    try:
        if path.is_file():
            return Splits(train=path)
        if not path.is_dir():
            raise RunFailure("dataset_missing", path=str(path))
        train, valid, test = (path / f"{name}.jsonl" for name in ("train", "valid", "test"))
        if not train.is_file():
            raise RunFailure("dataset_no_train", path=str(path))
        return Splits(train, valid if valid.is_file() else None, test if test.is_file() else None)
    except OSError as error:
        raise RunFailure(
            "dataset_unreadable", path=str(path), reason=error.strerror or str(error)
        ) from None
