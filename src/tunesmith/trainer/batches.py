"""Encoded samples, their order, and a micro-batch's arrays: packed, or padded. Pure (numpy)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.prompt.encoded import EncodedSamples, Ints


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
    tokens, learnt = _take(samples, indices)
    lengths = [len(sample) - 1 for sample in tokens]
    kept = np.flatnonzero(np.concatenate([mask[1:] for mask in learnt]))
    return Batch(
        input_ids=np.concatenate([sample[:-1] for sample in tokens]).astype(np.int64)[None],
        position_ids=np.concatenate([np.arange(length) for length in lengths])[None],
        attention_mask=None,
        kept=kept,
        rows=np.zeros(len(kept), dtype=np.int64),
        columns=np.arange(len(kept)),
        targets=_targets(tokens, learnt),
    )


def pad(samples: EncodedSamples, indices: Ints, padding: int) -> Batch:
    """Give each sample a row of its own, filled up at the end with the token `padding`."""
    tokens, learnt = _take(samples, indices)
    lengths = [len(sample) - 1 for sample in tokens]
    input_ids = np.full((len(tokens), max(lengths)), padding, dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, (sample, length) in enumerate(zip(tokens, lengths, strict=True)):
        input_ids[row, :length] = sample[:-1]
        attention_mask[row, :length] = 1
    spans = [np.flatnonzero(mask[1:]) for mask in learnt]
    kept, columns = np.unique(np.concatenate(spans), return_inverse=True)
    return Batch(
        input_ids=input_ids,
        position_ids=None,
        attention_mask=attention_mask,
        kept=kept,
        rows=np.repeat(np.arange(len(spans)), [len(span) for span in spans]),
        columns=columns,
        targets=_targets(tokens, learnt),
    )


def sample_lengths(batch: Batch) -> Ints:
    """Return [rows, length]: how long the sample is that each input token belongs to."""
    if batch.attention_mask is not None:
        counts = batch.attention_mask.sum(axis=1, keepdims=True)
        return np.ascontiguousarray(np.broadcast_to(counts, batch.input_ids.shape))
    assert batch.position_ids is not None
    starts = np.flatnonzero(batch.position_ids[0] == 0)
    lengths = np.diff([*starts, batch.input_ids.shape[1]])
    return np.repeat(lengths, lengths)[None]


Tokens = list[NDArray[np.int32]]
Masks = list[NDArray[np.bool_]]


def _take(samples: EncodedSamples, indices: Ints) -> tuple[Tokens, Masks]:
    spans = [slice(samples.starts[index], samples.starts[index + 1]) for index in indices]
    return [samples.tokens[span] for span in spans], [samples.learnt[span] for span in spans]


def _targets(tokens: Tokens, learnt: Masks) -> Ints:
    answers = [sample[mask] for sample, mask in zip(tokens, learnt, strict=True)]
    return np.concatenate(answers).astype(np.int64)
