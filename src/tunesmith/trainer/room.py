"""How many tokens go through the model at once: fewer after memory ran out. Pure."""

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
    return max(size_of(samples, part, packed=packed) for part in shared) // 2


def largest_batches(
    samples: EncodedSamples, count: int, tokens: int, *, packed: bool
) -> tuple[Ints, Ints]:
    """Return the largest micro-batches that steps of `count` samples can have: the one of the most
    tokens, and the one of the most that are learnt, whose logits may take more."""
    longest = (-samples.lengths).argsort(kind="stable")[:count]
    most_learnt = (-samples.labels).argsort(kind="stable")[:count]
    return (
        max(
            cut(samples, longest, tokens, packed=packed),
            key=lambda part: size_of(samples, part, packed=packed),
        ),
        max(cut(samples, most_learnt, tokens, packed=packed), key=samples.count_labels),
    )


def size_of(samples: EncodedSamples, part: Ints, *, packed: bool) -> int:
    """Return how many tokens go through the model for this micro-batch, padding counted."""
    lengths = samples.starts[part + 1] - samples.starts[part]
    return int(lengths.sum()) if packed else int(lengths.max()) * len(part)
