"""How long samples are: in tokens of a base model, else in characters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunesmith.check.report import Bin, Lengths
from tunesmith.dataset import Conversation

ROWS_AT_ONCE = 2000
CHARACTERS_AT_ONCE = 8 << 20
NO_LIMIT = 1 << 30  # tokens: nothing is cut
PERCENTILES = (50, 90, 95, 99, 100)


class Counter:
    """Counts the tokens that training with a base model would see."""

    def __init__(self, base_model: Path, system_prompt: str | None) -> None:
        """Raises RunFailure for a base model whose tokenizer or template cannot be used."""
        from tunesmith.base_model import inspect
        from tunesmith.chatglm.original import original_tokenizer
        from tunesmith.families import family_of
        from tunesmith.prompt.prompt import Prompt
        from tunesmith.prompt.tokenizer import load_tokenizer

        self._tokenizer: Any = original_tokenizer(base_model) or load_tokenizer(base_model)
        self._prompt = Prompt(self._tokenizer, family_of(base_model), system_prompt)
        self.positions = inspect(base_model).max_positions
        """Tokens that the base model was made for; None if it does not tell."""

    @property
    def control_tokens(self) -> list[str]:
        """Every control token that the tokenizer knows."""
        added = self._tokenizer.added_tokens_decoder.items()
        return [token.content for id, token in added if self._prompt.is_control(id)]

    def count(self, rows: Sequence[Conversation], limit: int) -> "Counted":
        """Count the tokens of `rows`, and look what would be left of them at `limit` tokens."""
        encoded = self._prompt.encode(rows, NO_LIMIT)
        samples = encoded.samples
        if not len(samples):
            return Counted(samples.lengths, encoded.skipped, encoded.refused)
        place = np.arange(len(samples.tokens)) - np.repeat(samples.starts[:-1], samples.lengths)
        seen = samples.learnt & (place < limit)
        left = np.add.reduceat(seen, samples.starts[:-1], dtype=np.int64)
        silent = encoded.skipped + int(np.count_nonzero(left == 0))
        return Counted(samples.lengths, silent, encoded.refused)


@dataclass(frozen=True)
class Counted:
    """The tokens of some samples, uncut."""

    lengths: NDArray[np.int64]
    without_answer: int
    """Samples of which nothing is learnt."""
    refused: tuple[tuple[int, str], ...]
    """Line, and the control token typed there that the template cannot keep apart."""


def in_parts(rows: Sequence[Conversation]) -> Iterator[Sequence[Conversation]]:
    """Yield `rows` in parts, whose tokens are no burden on the memory."""
    part: list[Conversation] = []
    characters = 0
    for row in rows:
        part.append(row)
        characters += sum(len(question) + len(answer) for question, answer in row.turns)
        if len(part) == ROWS_AT_ONCE or characters >= CHARACTERS_AT_ONCE:
            yield part
            part, characters = [], 0
    if part:
        yield part


def summary(
    lengths: NDArray[Any],
    unit: Literal["tokens", "characters"],
    max_seq_length: int | None = None,
    without_answer: int = 0,
) -> Lengths | None:
    """Return what `lengths` say; None where there are none."""
    if not len(lengths):
        return None
    found = np.percentile(lengths, PERCENTILES, method="higher")
    cut = 0 if max_seq_length is None else int(np.count_nonzero(lengths > max_seq_length))
    return Lengths(
        unit=unit,
        samples=len(lengths),
        mean=round(float(np.mean(lengths)), 1),
        percentiles={str(p): int(v) for p, v in zip(PERCENTILES, found, strict=True)},
        histogram=_histogram(lengths),
        max_seq_length=max_seq_length,
        cut=cut,
        without_answer=without_answer,
    )


def _histogram(lengths: NDArray[Any]) -> list[Bin]:
    """Bars that double in width: 1-16, 17-32, 33-64 and so on, without empty ones at the ends."""
    longest = int(lengths.max())
    highs = [16]
    while highs[-1] < longest:
        highs.append(2 * highs[-1])
    counts = np.bincount(np.searchsorted(highs, lengths, side="left"), minlength=len(highs))
    lows = [1, *(high + 1 for high in highs[:-1])]
    bins = [
        Bin(low=low, high=high, count=int(count))
        for low, high, count in zip(lows, highs, counts, strict=True)
    ]
    while bins and not bins[0].count:
        bins.pop(0)
    return bins
