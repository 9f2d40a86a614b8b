"""The splits of a data set as scanned, and what repeats in them: pure array work."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunesmith.check.near import near_duplicates, signatures
from tunesmith.check.quality import Rule
from tunesmith.check.report import Place, Report
from tunesmith.check.scan import Scan, whole_text
from tunesmith.dataset import Conversation

EXAMPLES = 5
TEXT_SHOWN = 80  # characters of a row

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class ScannedFile:
    """A file of the data set, and what the scan found in it."""

    path: Path
    format: str
    encoding: str
    scan: Scan

    @cached_property
    def texts(self) -> dict[int, Conversation]:
        """The drawn samples, by index."""
        return dict(self.scan.chosen)

    def place(self, index: int, other: tuple["ScannedFile", int] | None = None) -> Place:
        """Name the row of a sample, and that of another one."""
        row = self.texts.get(index)
        return Place(
            file=self.path.name,
            line=int(self.scan.lines[index]),
            other_file=None if other is None else other[0].path.name,
            other_line=None if other is None else int(other[0].scan.lines[other[1]]),
            text=None if row is None else shown(row.turns[0].question),
        )


@dataclass(frozen=True)
class ScannedSplit:
    """The samples of a split: `indices` into the scan of its file."""

    name: str
    file: ScannedFile
    indices: Indices
    bad_rows: int

    @cached_property
    def samples(self) -> NDArray[np.uint64]:
        return self.file.scan.samples[self.indices]

    @property
    def drawn(self) -> int:
        """How many of its samples were drawn."""
        drawn = np.fromiter(self.file.texts, dtype=np.int64, count=len(self.file.texts))
        return int(np.count_nonzero(np.isin(drawn, self.indices)))

    def having(self, rule: Rule) -> Indices:
        """Return the samples for which `rule` holds."""
        rules = self.file.scan.rules[self.indices]
        chosen: Indices = self.indices[(rules & int(rule)) != 0]
        return chosen


@dataclass
class Repeats:
    """Which samples repeat others; all are (file, index)."""

    copies: list[tuple[ScannedSplit, Indices, Indices]] = field(default_factory=list)
    """Per split: copies, and the first sample that each repeats."""
    leaks: list[tuple[ScannedSplit, Indices, Indices]] = field(default_factory=list)
    """Per validation and test split: its samples that are in train, and where in train."""
    near: list[tuple[ScannedSplit, int, ScannedSplit, int]] = field(default_factory=list)
    """A sample, and the earlier one that it nearly repeats."""
    compared: int = 0
    near_complete: bool = True
    """False where so many are alike that not all likely pairs were compared."""


@dataclass(frozen=True)
class Checked:
    """The report, and what a cleaned copy is made from."""

    report: Report
    files: list[ScannedFile]
    splits: list[ScannedSplit]
    repeats: Repeats
    readable: dict[Path, Path]
    """Where each file lies in UTF-8."""


def shown(text: str) -> str:
    """Return how `text` begins, on one line."""
    line = " ".join(text[: 4 * TEXT_SHOWN].split())
    return line if len(line) <= TEXT_SHOWN else line[: TEXT_SHOWN - 1] + "…"


def exact(splits: Sequence[ScannedSplit]) -> Repeats:
    """Find samples that are there twice, in one split or in train and another one."""
    found = Repeats()
    train = splits[0]
    known, first_of = np.unique(train.samples, return_index=True)
    for split in splits:
        _, first, inverse = np.unique(split.samples, return_index=True, return_inverse=True)
        copies = np.flatnonzero(first[inverse] != np.arange(len(inverse)))
        found.copies.append((split, split.indices[copies], split.indices[first[inverse[copies]]]))
        if split is train or not len(known):
            continue
        places = np.minimum(np.searchsorted(known, split.samples), len(known) - 1)
        leaked = np.flatnonzero(known[places] == split.samples)
        found.leaks.append((split, split.indices[leaked], train.indices[first_of[places[leaked]]]))
    return found


def conflicts(split: ScannedSplit) -> list[tuple[int, int]]:
    """Return pairs of samples that answer the same question differently, one pair a question."""
    scan = split.file.scan
    contexts = scan.contexts[split.indices]
    order = np.argsort(contexts, kind="stable")
    same = np.flatnonzero(
        (contexts[order][1:] == contexts[order][:-1])
        & (split.samples[order][1:] != split.samples[order][:-1])
    )
    pairs: dict[int, tuple[int, int]] = {}
    for place in same.tolist():
        one, other = sorted((int(order[place]), int(order[place + 1])))
        pairs.setdefault(int(contexts[one]), (int(split.indices[one]), int(split.indices[other])))
    return list(pairs.values())


def nearly(
    splits: Sequence[ScannedSplit], found: Repeats, seed: int, parts: Iterable[None]
) -> None:
    """Add near duplicates among the drawn samples to `found`, those of train first.

    Exact copies and leaks are left out: they are known. `parts` is advanced before each part of
    the work, and its end ends the comparison.
    """
    known = {
        (id(split), int(index))
        for split, indices, _ in (*found.copies, *found.leaks)
        for index in indices
    }
    compared: list[tuple[ScannedSplit, int]] = []
    rows = []
    steps = iter(parts)
    for split in splits:
        members = [
            index
            for index in split.indices.tolist()
            if index in split.file.texts and (id(split), index) not in known
        ]
        for start in range(0, len(members), 1000):
            if next(steps, StopIteration) is StopIteration:
                break
            part = members[start : start + 1000]
            rows.append(signatures((whole_text(split.file.texts[each]) for each in part), seed))
            compared += ((split, each) for each in part)
    found.compared = len(compared)
    if not compared:
        return

    def texts_of(wanted: Sequence[int]) -> list[str]:
        return [whole_text(compared[each][0].file.texts[compared[each][1]]) for each in wanted]

    near = near_duplicates(np.concatenate(rows), texts_of)
    found.near_complete = near.complete
    for index, root in near.repeats.items():
        found.near.append((*compared[index], *compared[root]))


def most_common(values: NDArray[np.uint64], most: int) -> Iterator[tuple[int, int]]:
    """Yield (first place, count) of the values that stand in `values` most often, twice or more."""
    _, first, counts = np.unique(values, return_index=True, return_counts=True)
    for each in np.argsort(-counts, kind="stable")[:most]:
        if counts[each] > 1:
            yield int(first[each]), int(counts[each])
