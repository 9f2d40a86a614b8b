"""Encoded samples, their order, and a micro-batch's arrays: packed, or padded. Pure (numpy)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunesmith.prompt.encoded import EncodedSamples, Ints
from tunesmith.trainer.kernels.sequences import Sequences

# Tokens that a common prefix must save in a micro-batch: fewer are not worth a part of their own.
PREFIX_SAVES_AT_LEAST = 32


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
    """[1, length], starting again (after the common prefix) with each sample; None when padded."""
    attention_mask: Ints | None
    """[rows, length], 1 for real tokens; None when packed."""
    kept: Ints
    rows: Ints
    columns: Ints
    targets: Ints
    sequences: Sequences | None = None
    """How the samples lie in the row; None when padded."""


@dataclass(frozen=True)
class Step:
    """One optimiser step: its number from 1, and its samples in the order of the epoch."""

    number: int
    indices: Ints


def steps(
    samples: int, total: int, batch_size: int, accumulation: int, seed: int
) -> Iterator[Step]:
    """Yield `total` steps. Each epoch has an order of its own that hangs on seed and epoch only."""
    number, epoch = 0, 0
    together = batch_size * accumulation
    while True:
        order = epoch_order(samples, seed, epoch)
        for start in range(0, samples, together):
            if number == total:
                return
            number += 1
            yield Step(number, order[start : start + together])
        epoch += 1


def epoch_order(samples: int, seed: int, epoch: int) -> Ints:
    return np.random.default_rng([seed, epoch]).permutation(samples)


def turned_alike(samples: EncodedSamples, indices: Ints, limit: int | None) -> list[Ints]:
    """Split samples so that none changes the rotary angles of another: one whose input is longer
    than `limit` tokens comes alone."""
    if limit is None:
        return [indices]
    long = samples.starts[indices + 1] - samples.starts[indices] - 1 > limit
    parts = [indices[~long], *(indices[place : place + 1] for place in np.flatnonzero(long))]
    return [part for part in parts if len(part)]


def cut(samples: EncodedSamples, indices: Ints, tokens: int, *, packed: bool) -> list[Ints]:
    """Cut samples into micro-batches of at most `tokens` tokens, or of one longer sample.

    Samples of like length come together, the longest first; padding counts. What a step learns
    does not hang on how it is cut.
    """
    lengths = samples.starts[indices + 1] - samples.starts[indices]
    parts: list[list[int]] = []
    room = row = 0
    for place in np.argsort(-lengths, kind="stable"):
        length = int(lengths[place])
        # Padded, all rows of a micro-batch are as long as its first.
        taken = length if packed else row
        if not parts or taken > room:
            parts.append([])
            room, row, taken = tokens, length, length
        parts[-1].append(int(indices[place]))
        room -= taken
    return [np.array(part) for part in parts]


def pack(samples: EncodedSamples, indices: Ints, *, share_prefix: bool = False) -> Batch:
    """Lay the samples end to end in one row, what they all begin with once if that pays."""
    tokens, learnt = _take(samples, indices)
    prefix = common_prefix(tokens, learnt) if share_prefix else 0
    if prefix * (len(tokens) - 1) < PREFIX_SAVES_AT_LEAST:
        prefix = 0
    lengths = tuple(len(sample) - 1 - prefix for sample in tokens)
    start = tokens[0][:prefix]
    before = [np.arange(prefix)] if prefix else []
    kept = np.flatnonzero(np.concatenate([mask[1 + prefix :] for mask in learnt])) + prefix
    return Batch(
        input_ids=np.concatenate([start, *(each[prefix:-1] for each in tokens)]).astype(np.int64)[
            None
        ],
        position_ids=np.concatenate(
            [*before, *(np.arange(prefix, prefix + length) for length in lengths)]
        )[None],
        attention_mask=None,
        kept=kept,
        rows=np.zeros(len(kept), dtype=np.int64),
        columns=np.arange(len(kept)),
        targets=_targets(tokens, learnt),
        sequences=Sequences(lengths, prefix),
    )


def common_prefix(tokens: "Tokens", learnt: "Masks") -> int:
    """Return how many tokens all samples begin with, none of them nor the next one learnt.

    What follows from a token of the prefix is the same in all samples, and is in no loss.
    """
    first, *others = tokens
    shared = min(int(np.argmax(mask)) for mask in learnt) - 1
    for other in others:
        size = min(shared, len(first), len(other))
        differs = first[:size] != other[:size]
        shared = int(np.argmax(differs)) if differs.any() else size
    return max(0, shared)


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
    """Return [rows, length]: how long the sample is that each input token belongs to.

    For batches without a common prefix.
    """
    if batch.attention_mask is not None:
        counts = batch.attention_mask.sum(axis=1, keepdims=True)
        return np.ascontiguousarray(np.broadcast_to(counts, batch.input_ids.shape))
    assert batch.sequences is not None
    assert not batch.sequences.prefix
    lengths = np.array(batch.sequences.lengths)
    return np.repeat(lengths, lengths)[None]


Tokens = list[NDArray[np.int32]]
Masks = list[NDArray[np.bool_]]


def _take(samples: EncodedSamples, indices: Ints) -> tuple[Tokens, Masks]:
    spans = [slice(samples.starts[index], samples.starts[index + 1]) for index in indices]
    return [samples.tokens[span] for span in spans], [samples.learnt[span] for span in spans]


def _targets(tokens: Tokens, learnt: Masks) -> Ints:
    answers = [sample[mask] for sample, mask in zip(tokens, learnt, strict=True)]
    return np.concatenate(answers).astype(np.int64)
