import json
import subprocess
import sys

import pytest

from tunesmith.dataset import check, find_splits, read_samples
from tunesmith.errors import RunFailure

ROW = {"instruction": "Say hello", "input": "", "output": "Hello"}


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = [
        line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()
        for line in lines
    ]
    path.write_bytes(b"\n".join(text) + b"\n")
    return path


def failure(path):
    with pytest.raises(RunFailure) as raised:
        list(read_samples(path))
    return raised.value


def test_a_directory_gives_its_splits_and_a_file_is_all_training(tmp_path):
    train = write(tmp_path / "d" / "train.jsonl", ROW)
    valid = write(tmp_path / "d" / "valid.jsonl", ROW)
    splits = find_splits(tmp_path / "d")
    assert (splits.train, splits.valid, splits.test) == (train, valid, None)
    assert find_splits(train).train == train and find_splits(train).valid is None


def test_a_path_that_is_not_there_and_a_directory_without_train_are_told_apart(tmp_path):
    with pytest.raises(RunFailure) as missing:
        find_splits(tmp_path / "none")
    with pytest.raises(RunFailure) as empty:
        find_splits(tmp_path)
    assert (missing.value.code, empty.value.code) == ("dataset_missing", "dataset_no_train")


def test_the_prompt_is_the_instruction_and_below_it_the_input(tmp_path):
    file = write(tmp_path / "a.jsonl", ROW, ROW | {"input": "to 小明"})
    first, second = read_samples(file)
    assert first.prompt == "Say hello"
    assert second.prompt == "Say hello\nto 小明"


def test_blank_lines_a_byte_order_mark_other_keys_and_a_missing_input_are_fine(tmp_path):
    row = json.dumps({"instruction": "a", "output": "b", "history": []}).encode()
    file = write(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + row, b"", b"  \r", row + b"\r")
    assert [sample.line for sample in read_samples(file)] == [1, 4]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"instruction": "a", "output": ', "json"),
        (b"[1]", "object"),
        (b'"text"', "object"),
        (b'{"instruction": "a"}', "field_missing"),
        (b'{"output": "a"}', "field_missing"),
        (b'{"instruction": "a", "output": 3}', "field_type"),
        (b'{"instruction": "a", "output": "b", "input": {}}', "field_type"),
        (b'{"instruction": "a", "output": null}', "field_type"),
        (b'{"instruction": " ", "output": "b"}', "field_empty"),
        (b'{"instruction": "a", "output": ""}', "field_empty"),
        (b'{"instruction": "\xff", "output": "b"}', "encoding"),
        (b"[" * 100_000, "json"),
        (b'{"n": ' + b"9" * 5000 + b', "instruction": "a", "output": "b"}', "json"),
        (b'{"instruction": "hi \\ud83d", "output": "b"}', "half_character"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_problem(tmp_path, line, problem):
    found = failure(write(tmp_path / "train.jsonl", ROW, b"", line))
    assert found.code == "bad_row"
    assert (found.params["file"], found.params["line"]) == ("train.jsonl", 3)
    assert found.params["problem"]["code"] == f"row.{problem}"
    assert str(found).startswith("train.jsonl, line 3: ")


def test_a_file_without_newlines_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("tunesmith.dataset.samples.LONGEST_LINE", 1000)
    found = failure(write(tmp_path / "train.jsonl", ROW, b"x" * 5000))
    assert found.params["problem"]["code"] == "row.too_long"


def test_a_check_counts_every_split(tmp_path):
    write(tmp_path / "train.jsonl", ROW, ROW)
    write(tmp_path / "test.jsonl", ROW)
    result = check(find_splits(tmp_path))
    assert (result.train, result.valid, result.test, result.complete) == (2, 0, 1, True)


def test_a_bad_row_in_the_validation_split_is_found_too(tmp_path):
    write(tmp_path / "train.jsonl", ROW)
    write(tmp_path / "valid.jsonl", b"{")
    with pytest.raises(RunFailure) as raised:
        check(find_splits(tmp_path))
    assert raised.value.params["file"] == "valid.jsonl"


def test_an_empty_training_file_is_an_error(tmp_path):
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(RunFailure) as raised:
        check(find_splits(tmp_path))
    assert raised.value.code == "dataset_empty"


def test_a_check_ends_when_its_time_is_over(tmp_path):
    write(tmp_path / "train.jsonl", *[ROW] * 1000)
    assert not check(find_splits(tmp_path), seconds=-1).complete


def test_the_check_in_a_process_of_its_own_reports_as_json(tmp_path):
    write(tmp_path / "空 格" / "train.jsonl", ROW, b"{")
    command = [sys.executable, "-m", "tunesmith.dataset", str(tmp_path / "空 格")]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert told["error"]["code"] == "bad_row" and told["error"]["params"]["line"] == 2
