"""Which file is which split, and how one file is divided."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest

from tests.unit.dataset.files import ROW, rows, write
from tunesmith.dataset import check, open_dataset, read_conversations
from tunesmith.errors import RunFailure
from tunesmith.messages import sentence

PARTS = {"train": 0.8, "validation": 0.15, "test": 0.05}


def failure(path, split=None):
    with pytest.raises(RunFailure) as raised:
        _ = open_dataset(path, split).splits
    return raised.value


def lines(dataset, name):
    return [row.line for row in read_conversations(dataset.splits[name])]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet", "csv"])
@pytest.mark.parametrize("name", ["valid", "validation", "val", "dev"])
def test_a_directory_gives_its_splits(tmp_path, name, suffix):
    (tmp_path / f"train.{suffix}").touch()
    (tmp_path / f"{name}.jsonl").touch()
    splits = open_dataset(tmp_path).splits
    assert {key: split.file.name for key, split in splits.items()} == {
        "train": f"train.{suffix}",
        "validation": f"{name}.jsonl",
    }


def test_one_file_is_all_training(tmp_path):
    file = write(tmp_path / "mine.jsonl", ROW)
    write(tmp_path / "valid.jsonl", ROW)
    splits = open_dataset(file).splits
    assert list(splits) == ["train"] and splits["train"].file == file


@pytest.mark.parametrize(("language", "told"), [("zh", "内容：（空）"), ("en", "holds nothing")])
def test_of_an_empty_directory_it_is_said_that_nothing_is_there(tmp_path, language, told):
    found = failure(tmp_path)
    assert told in sentence(found.code, language, found.params)
    assert told in sentence(f"field.{found.code}", language, found.params)


def test_what_is_not_there_is_told_apart(tmp_path):
    assert failure(tmp_path / "none").code == "dataset_missing"
    write(tmp_path / "data.jsonl", ROW)
    found = failure(tmp_path)
    assert (found.code, found.params["found"]) == ("dataset_no_train", ["data.jsonl"])


@pytest.mark.parametrize(
    ("files", "split"),
    [
        (["train.jsonl", "train.csv"], "train"),
        (["train.json", "valid.json", "dev.csv"], "validation"),
    ],
)
def test_two_files_for_one_split_are_an_error(tmp_path, files, split):
    for name in files:
        (tmp_path / name).touch()
    found = failure(tmp_path)
    assert (found.code, found.params["split"]) == ("dataset_ambiguous", split)
    assert set(found.params["files"]) == set(files[-2:])


def test_a_split_divides_train_alone_exactly_and_without_loss(tmp_path):
    file = write(tmp_path / "train.jsonl", *rows(1000))
    dataset = open_dataset(tmp_path, PARTS)
    found = {name: lines(dataset, name) for name in dataset.splits}
    assert {name: len(part) for name, part in found.items()} == {
        "train": 800,
        "validation": 150,
        "test": 50,
    }
    assert sorted(chain.from_iterable(found.values())) == list(range(1, 1001))
    assert all(part == sorted(part) for part in found.values())
    # A part from here and a part from there, not the file's end.
    assert 400 < np.mean(found["validation"]) < 600
    again = open_dataset(file, PARTS)
    assert {name: lines(again, name) for name in again.splits} == found
    other = open_dataset(file, PARTS, seed=7)
    assert lines(other, "test") != found["test"]


def test_rows_with_the_same_question_never_straddle(tmp_path):
    data = [
        {
            "instruction": f"{' ' * (copy % 2)}QUESTION {number}"[: None if copy else 99],
            "output": f"{copy}",
        }
        for number in range(100)
        for copy in range(1 + number % 4)
    ]
    dataset = open_dataset(write(tmp_path / "train.jsonl", *data), PARTS)
    groups = [
        {row.turns[0].question.strip().lower() for row in read_conversations(split)}
        for split in dataset.splits.values()
    ]
    assert sum(map(len, groups)) == 100
    counts = {name: len(split.rows) for name, split in dataset.splits.items()}
    assert counts == {"train": 200, "validation": 38, "test": 12}


def test_bad_rows_take_no_place_in_a_split(tmp_path):
    data = write(tmp_path / "train.jsonl", *rows(50), b"{", *rows(50, start=50))
    dataset = open_dataset(data, PARTS)
    result = check(dataset, "skip")
    assert (result.counts, result.skipped) == ({"train": 80, "validation": 15, "test": 5}, 1)
    found = Counter(line for name in dataset.splits for line in lines(dataset, name))
    assert 51 not in found and len(found) == 100


def test_a_split_is_only_for_train_alone(tmp_path):
    write(tmp_path / "train.jsonl", *rows(10))
    write(tmp_path / "dev.jsonl", ROW)
    found = failure(tmp_path, PARTS)
    assert (found.code, found.params["files"]) == ("dataset_has_splits", ["dev.jsonl"])


def test_too_few_questions_for_a_split_are_an_error(tmp_path):
    found = failure(write(tmp_path / "train.jsonl", *[ROW] * 100), PARTS)
    assert (found.code, found.params["questions"]) == ("split_impossible", 1)


def test_a_record_says_how_the_file_was_divided(tmp_path):
    file = write(tmp_path / "train.jsonl", b"", *rows(20))
    dataset = open_dataset(file, {"train": 0.9, "validation": 0.1, "test": 0.0}, seed=3)
    record = dataset.record()
    assert record["validation"] == lines(dataset, "validation") and "test" not in record
    assert (record["seed"], record["counts"]) == (3, {"train": 18, "validation": 2})
    assert record["file"] == str(file) and len(record["sha256"]) == 64
    assert open_dataset(file).record() is None
