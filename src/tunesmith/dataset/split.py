"""A split of a data set, and how rows are divided into splits by chance. numpy, when it is used."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.dataset.conversation import Conversation
from tunesmith.errors import RunFailure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

KEY_BYTES = 8


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a file."""

    name: str
    file: Path
    rows: "Ints | None" = None
    """0-based numbers among the rows of the file, growing; None means all."""

    def mask(self) -> bytes | None:
        """Return a byte a row, 1 where it belongs to the split, as far as the last one."""
        if self.rows is None:
            return None
        import numpy as np

        mask = np.zeros(int(self.rows[-1]) + 1 if len(self.rows) else 0, dtype=np.uint8)
        mask[self.rows] = 1
        return mask.tobytes()


def question_key(conversation: Conversation) -> bytes:
    """Return a 64-bit hash of what is asked: system text and all questions, case and blanks aside.

    Rows of the same key never come into different splits.
    """
    parts = [conversation.system or "", *(turn.question for turn in conversation.turns)]
    text = "\0".join(" ".join(part.split()) for part in parts).casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


class Keys:
    """The keys of a file's rows, 16 bytes a row."""

    def __init__(self) -> None:
        self._keys = bytearray()
        self._lines = bytearray()

    def add(self, conversation: Conversation) -> None:
        self._keys += question_key(conversation)
        self._lines += conversation.line.to_bytes(8, "little")

    def add_bad(self) -> None:
        """A row that is in no split."""
        self._keys += bytes(KEY_BYTES)
        self._lines += bytes(8)

    def arrays(self) -> "tuple[Ints, Ints]":
        """Return keys and lines; a bad row's line is 0."""
        import numpy as np

        return np.frombuffer(self._keys, np.int64), np.frombuffer(self._lines, np.int64)


def divide(
    keys: "Ints", good: "Ints", fractions: Mapping[str, float], seed: int
) -> "dict[str, Ints]":
    """Divide the rows `good` (numbers into `keys`) into splits; return the rows of each, in order.

    Rows with the same key stay together. Which split a key comes into depends on the keys and the
    seed alone, not on the order of the rows. Counts are exact (largest remainder, and at least
    one row for each split that is asked for) unless rows of the same key do not fit.
    Raises RunFailure `split_impossible`.
    """
    import numpy as np

    wanted = _counts(len(good), fractions)
    groups, group_of, sizes = np.unique(keys[good], return_inverse=True, return_counts=True)
    if len(groups) < len(wanted):
        raise RunFailure("split_impossible", splits=list(wanted), questions=len(groups))
    order = np.argsort(_mixed(groups, seed), kind="stable")
    owner = np.zeros(len(groups), dtype=np.int8)
    for number, name in enumerate(list(wanted)[1:], start=1):
        chosen = _choose(order, sizes, wanted[name])
        owner[chosen] = number
        order = order[owner[order] == 0]
        if not len(order):
            raise RunFailure("split_impossible", splits=list(wanted), questions=len(groups))
    return {name: good[owner[group_of] == number] for number, name in enumerate(wanted)}


def _counts(rows: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Return how many of `rows` each split gets; train comes first."""
    asked = {name: part for name, part in fractions.items() if part > 0}
    counts = {name: int(rows * part) for name, part in asked.items()}
    remainders = sorted(asked, key=lambda name: counts[name] - rows * asked[name])
    for name in remainders[: rows - sum(counts.values())]:
        counts[name] += 1
    for name in list(counts)[1:]:
        if not counts[name]:
            counts[name] = 1
            counts["train"] -= 1
    return counts


def _choose(order: "Ints", sizes: "Ints", wanted: int) -> "Ints":
    """Return groups in `order` whose sizes make up `wanted`, or come close to it."""
    import numpy as np

    chosen: list[Any] = []
    left = wanted
    start = 0
    while left and start < len(order):
        # As many as fit, then on from the next one that still fits.
        fits = order[start:][sizes[order[start:]] <= left]
        taken = int(np.searchsorted(np.cumsum(sizes[fits]), left, side="right"))
        if not taken:
            break
        chosen.extend(fits[:taken])
        left -= int(sizes[fits[:taken]].sum())
        start = int(np.flatnonzero(order == fits[taken - 1])[0]) + 1
    if not chosen:  # every question is there too often: the rarest one is nearest to what is wanted
        chosen.append(order[np.argmin(sizes[order])])
    return np.array(chosen, dtype=np.int64)


def _mixed(keys: "Ints", seed: int) -> "NDArray[np.uint64]":
    """Hash keys together with the seed (splitmix64)."""
    import numpy as np

    with np.errstate(over="ignore"):
        value = keys.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
        return value ^ (value >> np.uint64(31))
