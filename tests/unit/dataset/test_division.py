"""How a split is drawn: by question and seed, whatever the order, and from few questions too."""

import json

import pytest

from tunesmith.dataset import check, open_dataset, read_conversations
from tunesmith.errors import RunFailure

PARTS = {"train": 0.8, "validation": 0.15, "test": 0.05}


def written(path, questions):
    lines = [
        json.dumps({"instruction": question, "output": f"answer {number}"})
        for number, question in enumerate(questions)
    ]
    path.write_text("\n".join(lines))
    return path


def questions_of(dataset):
    return {
        name: [row.turns[0].question for row in read_conversations(split)]
        for name, split in dataset.splits.items()
    }


def test_counts_are_exact_and_the_same_question_is_never_in_two_splits(tmp_path):
    # Case and blanks aside, 700 questions in 1000 rows.
    questions = [("q {0}" if n < 700 else " Q  {0}").format(n % 700) for n in range(1000)]
    dataset = open_dataset(written(tmp_path / "train.jsonl", questions), PARTS, 1)
    assert dict(check(dataset).counts) == {"train": 800, "validation": 150, "test": 50}
    found = {
        name: {" ".join(question.lower().split()) for question in asked}
        for name, asked in questions_of(dataset).items()
    }
    assert sum(map(len, found.values())) == 700 == len(set.union(*found.values()))


def test_a_split_depends_on_the_seed_but_not_on_the_order_of_rows(tmp_path):
    questions = [f"q {number}" for number in range(200)]
    file = written(tmp_path / "train.jsonl", questions)
    turned = written(tmp_path / "turned.jsonl", questions[::-1])
    first, again, other = (
        questions_of(open_dataset(path, PARTS, seed))
        for path, seed in ((file, 1), (turned, 1), (file, 2))
    )
    assert {name: sorted(asked) for name, asked in first.items()} == {
        name: sorted(asked) for name, asked in again.items()
    }
    assert set(first["test"]) != set(other["test"])


@pytest.mark.parametrize(
    ("rows", "different", "counts"),
    [
        (2, 2, None),
        (3, 3, (1, 1, 1)),
        (5, 5, (3, 1, 1)),
        (100, 10, (80, 10, 10)),  # ten rows of a question stay together
        (30, 3, (10, 10, 10)),
        (50, 1, None),
    ],
)
def test_few_questions_are_divided_as_well_as_they_can_be(tmp_path, rows, different, counts):
    file = written(tmp_path / "train.jsonl", [f"q {n % different}" for n in range(rows)])
    dataset = open_dataset(file, PARTS)
    if counts is None:
        with pytest.raises(RunFailure) as raised:
            check(dataset)
        assert raised.value.code == "split_impossible"
        assert raised.value.params["questions"] == different
    else:
        assert tuple(check(dataset).counts.values()) == counts


def test_a_split_that_is_not_asked_for_is_not_there(tmp_path):
    file = written(tmp_path / "train.jsonl", [f"q {number}" for number in range(10)])
    dataset = open_dataset(file, {"train": 0.7, "validation": 0.3, "test": 0.0})
    assert dict(check(dataset).counts) == {"train": 7, "validation": 3}
