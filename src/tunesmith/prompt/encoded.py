"""Samples as token ids, and which of them are learnt. Pure (numpy)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class EncodedSamples:
    """All samples of a split in one array: a million short ones cost no more than their tokens."""

    tokens: NDArray[np.int32]
    """The token ids of all samples, end to end."""
    starts: Ints
    """Where each sample starts in `tokens`; one more entry marks the end of the last."""
    learnt: NDArray[np.bool_]
    """Per token, whether it is learnt: answers and the tokens that end them. Never the first of a
    sample, which follows from nothing."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def lengths(self) -> Ints:
        return np.diff(self.starts)

    @cached_property
    def labels(self) -> Ints:
        """Learnt tokens per sample."""
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        return np.add.reduceat(self.learnt, self.starts[:-1], dtype=np.int64)

    def sample(self, index: int) -> NDArray[np.int32]:
        return self.tokens[self.starts[index] : self.starts[index + 1]]

    def only(self, indices: Ints) -> "EncodedSamples":
        """Return the samples `indices`, in that order."""
        ends = np.cumsum([0, *self.lengths[indices]])
        spans = [np.arange(self.starts[index], self.starts[index + 1]) for index in indices]
        places = np.concatenate(spans)
        return EncodedSamples(self.tokens[places], ends, self.learnt[places])

    def count_tokens(self, indices: Ints) -> int:
        return int((self.starts[indices + 1] - self.starts[indices]).sum())

    def count_labels(self, indices: Ints) -> int:
        """Return how many tokens of these samples are learnt."""
        return int(self.labels[indices].sum())
