"""Encoded samples, their order, and a micro-batch's arrays: packed, or padded. Pure (numpy)."""

from collections.abc import Iterator
from dataclasses import dataclass

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
    answers: Ints
    """Tokens before the answer, per sample (at least 1: the first token follows from nothing)."""

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def lengths(self) -> Ints:
        return np.diff(self.starts)

    def sample(self, index: int) -> NDArray[np.int32]:
        return self.tokens[self.starts[index] : self.starts[index + 1]]

    def count_tokens(self, indices: Ints) -> int:
        return int((self.starts[indices + 1] - self.starts[indices]).sum())

    def count_labels(self, indices: Ints) -> int:
        """Return how many tokens of these samples are learnt."""
        return self.count_tokens(indices) - int(self.answers[indices].sum())


@dataclass(frozen=True)
class Batch:
    """The arrays of one forward pass.

    A sample's last token is no input: nothing follows from it. `kept` are the positions (along
    the second axis of `input_ids`) whose next token is learnt; with padding, any row's. The
    logits that count are then those at `rows`, `columns` of the kept ones, in the order of
    `targets`.
    """

    input_ids: Ints
    """[rows, length]"""
    position_ids: Ints | None
    """[1, length], starting again at 0 with each sample; None when padded."""
    attention_mask: Ints | None
    """[rows, length], 1 for real tokens; None when packed."""
    kept: Ints
    rows: Ints
    columns: Ints
    targets: Ints


@dataclass(frozen=True)
class Step:
    """One optimiser step: its number from 1, and the samples of each of its micro-batches."""

    number: int
    micro_batches: list[Ints]

    @property
    def indices(self) -> Ints:
        return np.concatenate(self.micro_batches)


def steps(
    samples: int, total: int, batch_size: int, accumulation: int, seed: int
) -> Iterator[Step]:
    """Yield `total` steps. Each epoch has an order of its own that hangs on seed and epoch only."""
    number, epoch = 0, 0
    while True:
        order = epoch_order(samples, seed, epoch)
        for start in range(0, samples, batch_size * accumulation):
            if number == total:
                return
            number += 1
            together = order[start : start + batch_size * accumulation]
            yield Step(number, split(together, batch_size))
        epoch += 1


def epoch_order(samples: int, seed: int, epoch: int) -> Ints:
    return np.random.default_rng([seed, epoch]).permutation(samples)


def split(indices: Ints, size: int) -> list[Ints]:
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def pack(samples: EncodedSamples, indices: Ints) -> Batch:
    """Lay the samples end to end in one row, with positions that start again with each."""
    tokens = [samples.sample(index) for index in indices]
    lengths = [len(sample) - 1 for sample in tokens]
    offsets = np.cumsum([0, *lengths[:-1]])
    prompts = samples.answers[indices]
    kept = np.concatenate(
        [
            offset + np.arange(prompt - 1, length)
            for offset, prompt, length in zip(offsets, prompts, lengths, strict=True)
        ]
    )
    return Batch(
        input_ids=np.concatenate([sample[:-1] for sample in tokens]).astype(np.int64)[None],
        position_ids=np.concatenate([np.arange(length) for length in lengths])[None],
        attention_mask=None,
        kept=kept,
        rows=np.zeros(len(kept), dtype=np.int64),
        columns=np.arange(len(kept)),
        targets=_targets(tokens, prompts),
    )


def pad(samples: EncodedSamples, indices: Ints, padding: int) -> Batch:
    """Give each sample a row of its own, filled up at the end with the token `padding`."""
    tokens = [samples.sample(index) for index in indices]
    lengths = [len(sample) - 1 for sample in tokens]
    prompts = samples.answers[indices]
    input_ids = np.full((len(tokens), max(lengths)), padding, dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, (sample, length) in enumerate(zip(tokens, lengths, strict=True)):
        input_ids[row, :length] = sample[:-1]
        attention_mask[row, :length] = 1
    spans = [np.arange(prompt - 1, length) for prompt, length in zip(prompts, lengths, strict=True)]
    kept, columns = np.unique(np.concatenate(spans), return_inverse=True)
    return Batch(
        input_ids=input_ids,
        position_ids=None,
        attention_mask=attention_mask,
        kept=kept,
        rows=np.repeat(np.arange(len(spans)), [len(span) for span in spans]),
        columns=columns,
        targets=_targets(tokens, prompts),
    )


def _targets(tokens: list[NDArray[np.int32]], prompts: Ints) -> Ints:
    answers = [sample[prompt:] for sample, prompt in zip(tokens, prompts, strict=True)]
    return np.concatenate(answers).astype(np.int64)
