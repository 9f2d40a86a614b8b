import numpy as np

from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.trainer.batches import Batch, cut, pack, pad, sample_lengths, steps
from tunesmith.trainer.kernels.sequences import Sequences
from tunesmith.trainer.room import largest_batches, smaller_room

# Three samples: prompt 1 2 | answer 3 4;  5 | 6;  7 8 9 | 10
SAMPLES = EncodedSamples(
    tokens=np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], dtype=np.int32),
    starts=np.array([0, 4, 6, 10]),
    learnt=np.array([0, 0, 1, 1, 0, 1, 0, 0, 0, 1], dtype=bool),
)
ALL = np.array([0, 1, 2])


def test_packed_samples_lie_end_to_end_and_count_their_positions_anew() -> None:
    batch = pack(SAMPLES, ALL)
    assert batch.input_ids.tolist() == [[1, 2, 3, 5, 7, 8, 9]]
    assert batch.position_ids is not None and batch.attention_mask is None
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 0, 1, 2]]
    # Each kept position sees the token before the one it must predict.
    assert batch.kept.tolist() == [1, 2, 3, 6]
    assert batch.targets.tolist() == [3, 4, 6, 10]


def test_padded_samples_have_a_row_each() -> None:
    batch = pad(SAMPLES, ALL, padding=0)
    assert batch.input_ids.tolist() == [[1, 2, 3], [5, 0, 0], [7, 8, 9]]
    assert batch.attention_mask is not None
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 1]]
    before = batch.input_ids[batch.rows, batch.kept[batch.columns]]
    assert before.tolist() == [2, 3, 5, 9]
    assert batch.targets.tolist() == [3, 4, 6, 10]


def test_every_epoch_has_all_samples_in_an_order_of_its_own() -> None:
    planned = list(steps(samples=10, total=6, batch_size=2, accumulation=2, seed=1))
    assert [step.number for step in planned] == [1, 2, 3, 4, 5, 6]
    assert [len(step.indices) for step in planned[:3]] == [4, 4, 2]
    first, second = (
        [int(index) for step in planned[start : start + 3] for index in step.indices]
        for start in (0, 3)
    )
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_how_steps_are_cut_does_not_change_which_samples_they_have() -> None:
    ways = [(8, 1), (4, 2), (1, 8)]
    seen = [
        [step.indices.tolist() for step in steps(20, 5, size, accumulation, seed=3)]
        for size, accumulation in ways
    ]
    assert seen[0] == seen[1] == seen[2]
    assert seen[0] != [step.indices.tolist() for step in steps(20, 5, 8, 1, seed=4)]


def test_labels_are_the_tokens_of_the_answers() -> None:
    assert SAMPLES.count_tokens(ALL) == 10
    assert SAMPLES.count_labels(ALL) == 4
    assert SAMPLES.count_labels(np.array([2])) == 1


def of_lengths(*lengths: int) -> EncodedSamples:
    """Samples of which the last token is learnt."""
    starts = np.cumsum([0, *lengths])
    learnt = np.isin(np.arange(starts[-1]), starts[1:] - 1)
    return EncodedSamples(np.arange(starts[-1], dtype=np.int32), starts, learnt)


def cuts(samples: EncodedSamples, tokens: int, packed: bool) -> list[list[int]]:
    every = np.arange(len(samples))
    return [part.tolist() for part in cut(samples, every, tokens, packed=packed)]


def test_micro_batches_are_filled_up_to_the_tokens_at_once_longest_first() -> None:
    samples = of_lengths(3, 9, 4, 2, 6)
    assert cuts(samples, 13, packed=True) == [[1], [4, 2, 0], [3]]
    assert cuts(samples, 24, packed=True) == [[1, 4, 2, 0, 3]]
    # Padded, each row is as long as the first of its micro-batch.
    assert cuts(samples, 24, packed=False) == [[1, 4], [2, 0, 3]]


def test_a_sample_longer_than_all_tokens_at_once_is_a_micro_batch_of_its_own() -> None:
    assert cuts(of_lengths(3, 90, 4), 10, packed=True) == [[1], [2, 0]]


def test_every_sample_is_in_one_micro_batch() -> None:
    samples = of_lengths(*np.random.default_rng(0).integers(2, 50, 100).tolist())
    for packed in (True, False):
        parts = cuts(samples, 120, packed)
        assert sorted(index for part in parts for index in part) == list(range(100))
        for part in parts:
            lengths = samples.lengths[part]
            taken = lengths.sum() if packed else lengths.max() * len(part)
            assert taken <= 120 or len(part) == 1


def test_less_room_halves_the_largest_micro_batch_until_samples_are_alone() -> None:
    samples = of_lengths(10, 10, 10, 10, 30)
    every = np.arange(5)
    assert smaller_room(samples, every, 80, packed=True) == 35
    assert smaller_room(samples, every, 35, packed=True) == 15
    assert smaller_room(samples, every, 15, packed=True) is None


def test_the_largest_micro_batches_are_those_of_most_tokens_and_of_most_learnt() -> None:
    lengths = [30, 30, 20, 20, 20]
    learnt = [np.arange(length) >= (length - 1 if length == 30 else 1) for length in lengths]
    starts = np.array([0, *np.cumsum(lengths)])
    samples = EncodedSamples(np.zeros(120, np.int32), starts, np.concatenate(learnt))
    longest, most_learnt = largest_batches(samples, 2, 60, packed=True)
    assert longest.tolist() == [0, 1] and most_learnt.tolist() == [2, 3]
    longest, most_learnt = largest_batches(samples, 2, 20, packed=True)
    assert len(longest) == len(most_learnt) == 1
    assert (samples.count_labels(longest), samples.count_labels(most_learnt)) == (1, 19)


def with_common_beginning(*rests: int, common: int = 40) -> EncodedSamples:
    """Samples that share their first `common` tokens; of each rest the first token is a prompt."""
    shared = np.arange(1000, 1000 + common)
    parts = [np.concatenate([shared, np.arange(rest) + 100 * n]) for n, rest in enumerate(rests)]
    learnt = [np.arange(len(part)) > common for part in parts]
    starts = np.cumsum([0, *map(len, parts)])
    return EncodedSamples(np.concatenate(parts).astype(np.int32), starts, np.concatenate(learnt))


def test_what_all_samples_begin_with_is_laid_down_once() -> None:
    samples = with_common_beginning(4, 3)
    batch = pack(samples, np.array([0, 1]), share_prefix=True)
    assert batch.sequences == Sequences((3, 2), 40)
    assert batch.input_ids[0, 38:].tolist() == [1038, 1039, 0, 1, 2, 100, 101]
    assert batch.position_ids is not None
    assert batch.position_ids[0, 38:].tolist() == [38, 39, 40, 41, 42, 40, 41]
    assert before(batch) == [0, 1, 2, 100, 101]
    assert batch.targets.tolist() == [1, 2, 3, 101, 102]


def test_a_common_beginning_ends_before_what_is_learnt() -> None:
    samples = with_common_beginning(4, 4)
    samples.tokens[44 + 40 : 88] = samples.tokens[40:44]  # two equal samples
    batch = pack(samples, np.array([0, 1]), share_prefix=True)
    assert batch.sequences == Sequences((3, 3), 40)
    samples.learnt[35] = True
    batch = pack(samples, np.array([0, 1]), share_prefix=True)
    assert batch.sequences == Sequences((9, 9), 34)


def test_a_beginning_that_saves_little_is_not_shared() -> None:
    short = with_common_beginning(4, 3, common=31)
    assert pack(short, np.array([0, 1]), share_prefix=True).sequences == Sequences((34, 33))
    whole = with_common_beginning(4, 3)
    assert pack(whole, np.array([0]), share_prefix=True).sequences == Sequences((43,))
    assert pack(whole, np.array([0, 1])).sequences == Sequences((43, 42))


def test_samples_of_several_turns_keep_all_their_answers() -> None:
    # user 1 2 | assistant 3 4 | user 5 | assistant 6, and a sample of one turn
    samples = EncodedSamples(
        np.array([1, 2, 3, 4, 5, 6, 7, 8], dtype=np.int32),
        np.array([0, 6, 8]),
        np.array([0, 0, 1, 1, 0, 1, 0, 1], dtype=bool),
    )
    both = np.array([0, 1])
    packed, padded = pack(samples, both), pad(samples, both, 0)
    assert packed.targets.tolist() == padded.targets.tolist() == [3, 4, 6, 8]
    assert before(packed) == [2, 3, 5, 7]
    assert padded.input_ids[padded.rows, padded.kept[padded.columns]].tolist() == [2, 3, 5, 7]
    assert sample_lengths(packed).tolist() == [[5, 5, 5, 5, 5, 1]]


def before(batch: Batch) -> list[int]:
    """Return the tokens that the kept positions see last."""
    return [int(token) for token in batch.input_ids[0, batch.kept]]
