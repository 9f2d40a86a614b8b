"""How many tokens go through the model at once: fewer after memory ran out. Pure."""

from collections.abc import Sequence

from tunesmith.prompt.encoded import EncodedSamples, Ints
from tunesmith.trainer.batches import cut


def smaller_room(
    samples: EncodedSamples, indices: Ints, tokens: int, *, packed: bool
) -> int | None:
    """Return the tokens at once that halve the largest micro-batch of `indices`.

    None if it holds one sample alone. `tokens` is what did not fit.
    """
    parts = cut(samples, indices, tokens, packed=packed)
    if all(len(part) == 1 for part in parts):
        return None
    shared = [part for part in parts if len(part) > 1]
    return max(_size(samples, part, packed) for part in shared) // 2


def longest_batch(samples: EncodedSamples, count: int, tokens: int, *, packed: bool) -> Ints:
    """Return the largest micro-batch that a step of `count` samples can have."""
    longest = (-samples.lengths).argsort(kind="stable")[:count]
    parts: Sequence[Ints] = cut(samples, longest, tokens, packed=packed)
    return max(parts, key=lambda part: _size(samples, part, packed))


def _size(samples: EncodedSamples, part: Ints, packed: bool) -> int:
    lengths = samples.starts[part + 1] - samples.starts[part]
    return int(lengths.sum()) if packed else int(lengths.max()) * len(part)
