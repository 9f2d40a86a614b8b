"""Near duplicates: MinHash signatures (rensa), candidates by bands, verified by real Jaccard.

A text's pieces are three characters in a row where they are Chinese, Japanese or Korean, else
five: no language needs spaces. Two texts are near duplicates when at least `THRESHOLD` of all
their different pieces are in both. With 16 bands of 8 values a pair at the threshold is a
candidate with probability 0.95, one at 0.9 with 0.9999 (Leskovec et al., Mining of Massive
Datasets, section 3.4).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.8
PERMUTATIONS = 128
BANDS = 16
KEPT_PIECES = 4096  # texts whose pieces are kept while pairs are verified

Pieces = NDArray[np.uint64]

_CJK = 0x2E80  # the first character of the CJK blocks; what follows them needs no spaces either
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd
_SHIFT = np.uint64(29)


def pieces(text: str) -> Pieces:
    """Return the different pieces of `text` as sorted 64-bit hashes; case and blanks count not."""
    return np.unique(_pieces(text))


def similarity(one: Pieces, other: Pieces) -> float:
    """Return the Jaccard similarity: pieces in both, of all pieces."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def signatures(texts: Iterable[str], seed: int) -> NDArray[np.uint32]:
    """Return a row of `PERMUTATIONS` MinHash values for each text."""
    from rensa import RMinHash

    all_pieces = [_pieces(text) for text in texts]
    if not all_pieces:
        return np.zeros((0, PERMUTATIONS), dtype=np.uint32)
    offsets = np.cumsum([0, *map(len, all_pieces)], dtype=np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        np.concatenate(all_pieces), offsets, PERMUTATIONS, seed
    )
    return np.array(matrix.to_rows(), dtype=np.uint32)


def near_duplicates(
    rows: NDArray[np.uint32], texts_of: Callable[[Sequence[int]], Sequence[str]]
) -> dict[int, int]:
    """Return for each near duplicate the earlier text it repeats, which is none itself.

    `rows` are the signatures in the order in which texts are kept; `texts_of` gives the texts
    of some.
    """
    earlier = _candidates(rows)

    @lru_cache(maxsize=KEPT_PIECES)
    def pieces_of(index: int) -> Pieces:
        return pieces(texts_of([index])[0])

    repeats: dict[int, int] = {}
    for index in np.flatnonzero((earlier >= 0).any(axis=0)).tolist():
        roots = dict.fromkeys(
            repeats.get(each, each) for each in earlier[:, index].tolist() if each >= 0
        )
        for root in roots:
            if similarity(pieces_of(root), pieces_of(index)) >= THRESHOLD:
                repeats[index] = root
                break
    return repeats


def _pieces(text: str) -> Pieces:
    """As `pieces`, in the text's order and with repetitions."""
    normal = " ".join(text.lower().split())
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
