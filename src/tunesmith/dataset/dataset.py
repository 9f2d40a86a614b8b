"""Finds the files of a data set, and says which of their rows are which split."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.dataset.conversation import Conversation
from tunesmith.dataset.rows import read_rows
from tunesmith.dataset.split import Keys, Split, divide
from tunesmith.errors import RunFailure

ENDINGS = (".jsonl", ".json", ".parquet", ".csv")
NAMES = {
    "train": ("train",),
    "validation": ("valid", "validation", "val", "dev"),
    "test": ("test",),
}
MOST_SHOWN = 10  # files of a directory


class Dataset:
    """The files of a data set, by split; with `fractions` there is one file, to be divided."""

    def __init__(
        self,
        path: Path,
        files: Mapping[str, Path],
        fractions: Mapping[str, float] | None,
        seed: int,
    ) -> None:
        self.path, self.files, self.fractions, self.seed = path, files, fractions, seed
        self._splits: dict[str, Split] | None = None
        self._record: dict[str, Any] | None = None
        if fractions is None:
            self._splits = {name: Split(name, file) for name, file in files.items()}

    @property
    def splits(self) -> Mapping[str, Split]:
        """The splits there are: train, and perhaps validation and test.

        Where a file is to be divided and has not been checked, it is read here.
        """
        if self._splits is None:
            keys = Keys()
            for row in read_rows(self.files["train"]):
                keys.add(row) if isinstance(row, Conversation) else keys.add_bad()
            self.divide(keys)
        assert self._splits is not None
        return self._splits

    @property
    def train(self) -> Split:
        return self.splits["train"]

    @property
    def validation(self) -> Split | None:
        return self.splits.get("validation")

    def divide(self, keys: Keys) -> None:
        """Divide the file by the keys of all its rows. Raises RunFailure `split_impossible`."""
        assert self.fractions is not None
        hashes, lines = keys.arrays()
        good = lines.nonzero()[0]
        if not len(good):
            raise RunFailure("dataset_empty", file=self.files["train"].name)
        rows = divide(hashes, good, self.fractions, self.seed)
        file = self.files["train"]
        self._splits = {name: Split(name, file, part) for name, part in rows.items()}
        self._record = {
            "fractions": dict(self.fractions),
            "seed": self.seed,
            "file": str(file),
            "counts": {name: len(part) for name, part in rows.items()},
            **{name: lines[part].tolist() for name, part in rows.items() if name != "train"},
        }

    def record(self) -> dict[str, Any] | None:
        """Return how the file was divided, None if it was not.

        Rows of validation and test are lines of JSONL, else rows, from 1; the rest is train.
        """
        if self.fractions is None or not self.splits:
            return None
        with self.files["train"].open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        return {**(self._record or {}), "sha256": digest}


def open_dataset(path: Path, split: Mapping[str, float] | None = None, seed: int = 42) -> Dataset:
    """Find the data set under `path`: a directory, or one file that is all training.

    No row is read yet. `split` asks for parts of the one file there must be then. Raises
    RunFailure `dataset_missing`, `dataset_no_train`, `dataset_ambiguous`, `dataset_has_splits`
    or `dataset_unreadable`.
    """
    try:
        files = _files(path)
    except OSError as error:
        raise RunFailure(
            "dataset_unreadable", path=str(path), reason=error.strerror or str(error)
        ) from None
    if split is not None and len(files) > 1:
        others = [file.name for name, file in files.items() if name != "train"]
        raise RunFailure("dataset_has_splits", path=str(path), files=others)
    return Dataset(path, files, split, seed)


def has_training_file(directory: Path) -> bool:
    """Whether `directory` looks like a data set's, by the names of its files."""
    try:
        return any((directory / f"train{ending}").is_file() for ending in ENDINGS)
    except OSError:  # it may not be looked into
        return False


def has_known_ending(file: Path) -> bool:
    """Whether `file` may be a data set of one file, by its name."""
    return file.suffix.lower() in ENDINGS


def _files(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {"train": path}
    if not path.is_dir():
        raise RunFailure("dataset_missing", path=str(path))
    files: dict[str, Path] = {}
    for split, names in NAMES.items():
        places = [path / f"{name}{ending}" for name in names for ending in ENDINGS]
        there = [place for place in places if place.is_file()]
        if len(there) > 1:
            found = [file.name for file in there]
            raise RunFailure("dataset_ambiguous", path=str(path), split=split, files=found)
        if there:
            files[split] = there[0]
    if "train" not in files:
        found = sorted(file.name for file in path.iterdir())[:MOST_SHOWN]
        raise RunFailure("dataset_no_train", path=str(path), found=found or {"code": "nothing"})
    return files
