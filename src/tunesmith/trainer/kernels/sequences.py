"""How the samples of a packed batch lie in its one row. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sequences:
    """Samples laid end to end, after a prefix that all of them begin with, if there is one.

    The row is [prefix][rest of sample 1][rest of sample 2]...: each rest sees the prefix and,
    causally, itself.
    """

    lengths: tuple[int, ...]
    """Tokens of each sample after the prefix; at least 1."""
    prefix: int = 0
    """Tokens of the common prefix, computed once."""

    @property
    def tokens(self) -> int:
        return self.prefix + sum(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest sample, prefix included."""
        return self.prefix + max(self.lengths)
