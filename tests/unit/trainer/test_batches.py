import numpy as np

from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.trainer.batches import pack, pad, steps

# Three samples: prompt 1 2 | answer 3 4;  5 | 6;  7 8 9 | 10
SAMPLES = EncodedSamples(
    tokens=np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], dtype=np.int32),
    starts=np.array([0, 4, 6, 10]),
    learnt=np.array([0, 0, 1, 1, 0, 1, 0, 0, 0, 1], dtype=bool),
)
ALL = np.array([0, 1, 2])
# Of two turns: 1 | 2 3, 4 5 | 6; and of three that are learnt in the middle only: 7, 8 | 9, 10.
TURNS = EncodedSamples(
    tokens=np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], dtype=np.int32),
    starts=np.array([0, 6, 10]),
    learnt=np.array([0, 1, 1, 0, 0, 1, 0, 0, 1, 0], dtype=bool),
)


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
    assert [[len(part) for part in step.micro_batches] for step in planned[:3]] == [
        [2, 2],
        [2, 2],
        [2],
    ]
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


def test_every_learnt_turn_of_a_packed_sample_is_predicted_and_nothing_else() -> None:
    batch = pack(TURNS, np.array([0, 1]))
    assert batch.position_ids is not None
    row = batch.input_ids[0]
    assert batch.targets.tolist() == [2, 3, 6, 9]
    assert row[batch.kept].tolist() == [1, 2, 5, 8]
    # A question between two answers is seen, but not learnt; each sample counts anew.
    assert row.tolist()[:5] == [1, 2, 3, 4, 5]
    starts = np.flatnonzero(np.array(batch.position_ids[0].tolist()) == 0).tolist()
    assert [row.tolist()[start] for start in starts] == [1, 7]


def test_every_learnt_turn_of_a_padded_sample_is_predicted_and_nothing_else() -> None:
    batch = pad(TURNS, np.array([0, 1]), padding=0)
    before = batch.input_ids[batch.rows, batch.kept[batch.columns]]
    assert before.tolist() == [1, 2, 5, 8]
    assert batch.targets.tolist() == [2, 3, 6, 9]
    assert batch.rows.tolist() == [0, 0, 0, 1]
