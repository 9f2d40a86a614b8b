"""Near duplicates: MinHash signatures (rensa), candidates by bands, verified by real Jaccard.

A text's pieces are three characters in a row where they are Chinese, Japanese or Korean, else
five: no language needs spaces. Two texts are near duplicates when at least `THRESHOLD` of all
their different pieces are in both. With 16 bands of 8 values a pair at the threshold is a
candidate with probability 0.95, one at 0.9 with 0.9999 (Leskovec et al., Mining of Massive
Datasets, section 3.4). Where thousands of texts are alike each has many candidates: those whose
signatures agree too little are never compared, of the others only the likeliest.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.8
PERMUTATIONS = 128
BANDS = 16
# Of `PERMUTATIONS` values, how many a pair must share to be compared. One at the threshold shares
# fewer with probability 0.001 (binomial distribution).
LIKELY = 88
MOST_COMPARED = 3  # candidates a text is compared with,
MORE_COMPARED = 50_000  # and pairs beyond that in all: in small data nothing is left out
LONGEST_COMPARED = 1 << 20  # characters of a text
PIECES_AT_ONCE = 1 << 21  # pieces in memory while signatures are made: 16 MiB
PIECES_KEPT = 1 << 23  # pieces in memory while pairs are verified: 64 MiB

Pieces = NDArray[np.uint64]

_CJK = 0x2E80  # the first character of the CJK blocks; what follows them needs no spaces either
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
_SHIFT = np.uint64(29)


def pieces(text: str) -> Pieces:
    """Return the different pieces of `text` as sorted 64-bit hashes; case and blanks count not."""
    # Not np.unique, whose hash table is slower than this for texts of a usual length.
    found = np.sort(_pieces(text))
    different = np.ones(len(found), dtype=np.bool_)
    np.not_equal(found[1:], found[:-1], out=different[1:])
    return found[different]


def similarity(one: Pieces, other: Pieces) -> float:
    """Return the Jaccard similarity: pieces in both, of all pieces."""
    places = np.minimum(np.searchsorted(one, other), len(one) - 1)
    shared = np.count_nonzero(one[places] == other)
    return shared / (len(one) + len(other) - shared)


def signatures(texts: Iterable[str], seed: int) -> NDArray[np.uint32]:
    """Return a row of `PERMUTATIONS` MinHash values for each text."""
    from rensa import RMinHash

    rows = [np.zeros((0, PERMUTATIONS), dtype=np.uint32)]
    for part in _parts(map(_pieces, texts)):
        offsets = np.cumsum([0, *map(len, part)], dtype=np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            np.concatenate(part), offsets, PERMUTATIONS, seed
        )
        rows.append(np.array(matrix.to_rows(), dtype=np.uint32))
    return np.concatenate(rows)


@dataclass(frozen=True)
class NearDuplicates:
    """What nearly repeats what, by numbers of texts."""

    repeats: dict[int, int]
    """For each near duplicate the earlier text it repeats, which is none itself."""
    complete: bool
    """False where a text had more likely candidates than it was compared with."""


def near_duplicates(
    rows: NDArray[np.uint32], texts_of: Callable[[Sequence[int]], Sequence[str]]
) -> NearDuplicates:
    """Find near duplicates among texts with the signatures `rows`, in the order they are kept.

    `texts_of` gives the texts of some numbers.
    """
    earlier = _candidates(rows)
    kept = _Kept(texts_of)
    repeats: dict[int, int] = {}
    more, complete = MORE_COMPARED, True
    for index in np.flatnonzero((earlier >= 0).any(axis=0)).tolist():
        roots = list(
            dict.fromkeys(
                repeats.get(each, each) for each in earlier[:, index].tolist() if each >= 0
            )
        )
        agreeing = np.count_nonzero(rows[roots] == rows[index], axis=1)
        likeliest = np.argsort(-agreeing, kind="stable")[: np.count_nonzero(agreeing >= LIKELY)]
        allowed = min(len(likeliest), MOST_COMPARED + more)
        more -= max(allowed - MOST_COMPARED, 0)
        for place in likeliest[:allowed].tolist():
            if similarity(kept.of(roots[place]), kept.of(index)) >= THRESHOLD:
                repeats[index] = roots[place]
                break
        else:
            complete = complete and len(likeliest) == allowed
    return NearDuplicates(repeats, complete)


class _Kept:
    """The pieces of the texts asked for; all are forgotten when they become too many."""

    def __init__(self, texts_of: Callable[[Sequence[int]], Sequence[str]]) -> None:
        self._texts_of = texts_of
        self._kept: dict[int, Pieces] = {}
        self._size = 0

    def of(self, index: int) -> Pieces:
        if (known := self._kept.get(index)) is not None:
            return known
        found = pieces(self._texts_of([index])[0])
        if self._size + len(found) > PIECES_KEPT:
            self._kept.clear()
            self._size = 0
        self._kept[index] = found
        self._size += len(found)
        return found


def _parts(all_pieces: Iterable[Pieces]) -> Iterator[list[Pieces]]:
    """Put the pieces of texts together, until they are `PIECES_AT_ONCE`."""
    part: list[Pieces] = []
    size = 0
    for each in all_pieces:
        part.append(each)
        size += len(each)
        if size >= PIECES_AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _pieces(text: str) -> Pieces:
    """As `pieces`, in the text's order and with repetitions."""
    normal = " ".join(text[:LONGEST_COMPARED].lower().split())
    raw = np.frombuffer(normal.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    count = max(len(raw) - 2, 1)  # a piece starts at each character but the last two
    points = np.zeros(count + 4, dtype=np.uint64)
    points[: len(raw)] = raw
    # A character is 21 bits: three fit.
    three = (
        points[:count]
        | points[1 : count + 1] << np.uint64(21)
        | points[2 : count + 2] << np.uint64(42)
    )
    two = points[3 : count + 3] | points[4 : count + 4] << np.uint64(21)
    return _mixed(_mixed(three) + np.where(points[:count] >= _CJK, np.uint64(0), _mixed(two)))


def _candidates(rows: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return per text (columns) earlier texts that share a band with it; -1 where there is none.

    For each band the first text of its kind and the one before: a band that thousands share
    costs no more than one that two do.
    """
    count = len(rows)
    found = np.full((2 * BANDS, count), -1, dtype=np.int64)
    width = PERMUTATIONS // BANDS
    for band in range(BANDS):
        keys = _mixed(rows[:, band * width].astype(np.uint64))
        for column in range(band * width + 1, (band + 1) * width):
            keys = _mixed(keys + rows[:, column])
        order = np.argsort(keys, kind="stable")
        same = np.flatnonzero(keys[order][1:] == keys[order][:-1]) + 1
        found[2 * band + 1, order[same]] = order[same - 1]
        starts = np.ones(count, dtype=np.bool_)
        starts[same] = False
        first = np.maximum.accumulate(np.where(starts, np.arange(count), 0))
        found[2 * band, order[same]] = order[first[same]]
    return found


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread `values` over all 64 bits; different ones stay different."""
    spread = values * _MIX
    return spread ^ (spread >> _SHIFT)
