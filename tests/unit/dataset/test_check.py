"""All rows of all files are looked at, for as long as there is time."""

import json
import subprocess
import sys

import pytest

from tests.unit.dataset.files import ROW, rows, write
from tunesmith.dataset import BadRowList, check, open_dataset
from tunesmith.errors import RunFailure


def failure(path, on_bad_rows="error"):
    with pytest.raises(RunFailure) as raised:
        check(open_dataset(path), on_bad_rows)
    return raised.value


def test_a_check_counts_every_split(tmp_path):
    write(tmp_path / "train.jsonl", ROW, ROW)
    write(tmp_path / "test.jsonl", ROW)
    result = check(open_dataset(tmp_path))
    assert (result.counts, result.complete) == ({"train": 2, "test": 1}, True)


def test_a_bad_row_in_the_validation_split_is_found_too(tmp_path):
    write(tmp_path / "train.jsonl", ROW)
    write(tmp_path / "valid.jsonl", b"{")
    assert failure(tmp_path).params["file"] == "valid.jsonl"


@pytest.mark.parametrize("name", ["train.jsonl", "valid.jsonl"])
def test_a_file_without_a_sample_is_an_error(tmp_path, name):
    write(tmp_path / "train.jsonl", ROW)
    (tmp_path / name).write_text("\n \n", encoding="utf-8")
    assert failure(tmp_path).code == "dataset_empty"


def test_skipped_rows_are_counted_and_all_are_handed_over(tmp_path):
    write(tmp_path / "train.jsonl", *[ROW, b'{"half', b'{"half \\ud83d": "a"}'] * 50)
    bad = BadRowList()
    result = check(open_dataset(tmp_path), "skip", on_bad=bad.add)
    assert (result.counts["train"], result.skipped, bad.count) == (50, 100, 100)
    assert [row.line for row in result.skipped_rows[:3]] == [2, 3, 5]
    bad.write(tmp_path / "bad_rows.jsonl")
    listed = (tmp_path / "bad_rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(listed) == 100
    first = json.loads(listed[0])
    assert (first["file"], first["line"], first["problem"]["code"]) == (
        "train.jsonl",
        2,
        "row.json",
    )
    assert first["message"].startswith("not valid JSON")
    assert "half " in json.loads(listed[1])["message"]


@pytest.mark.parametrize("name", ["train.jsonl", "valid.jsonl", "test.jsonl"])
def test_a_file_of_bad_rows_only_is_an_error_also_where_they_are_skipped(tmp_path, name):
    write(tmp_path / "train.jsonl", ROW)
    write(tmp_path / name, b"{", b"}")
    found = failure(tmp_path, "skip")
    assert (found.code, found.params["file"], found.params["count"]) == ("dataset_all_bad", name, 2)


def test_a_check_ends_when_its_time_is_over(tmp_path):
    write(tmp_path / "train.jsonl", *[ROW] * 1000)
    assert not check(open_dataset(tmp_path), seconds=-1).complete


def test_a_check_of_blank_lines_only_ends_when_its_time_is_over(tmp_path):
    (tmp_path / "train.jsonl").write_bytes(b"\n" * (3 << 20))
    assert not check(open_dataset(tmp_path), seconds=0.001).complete


def test_a_check_of_a_json_array_and_of_csv_ends_too(tmp_path):
    (tmp_path / "train.json").write_bytes(b"[" + b" " * (3 << 20) + b"]")
    assert not check(open_dataset(tmp_path), seconds=0.001).complete
    (tmp_path / "train.csv").write_bytes(b"prompt,completion\n" + b"\n" * (3 << 20))
    assert not check(open_dataset(tmp_path / "train.csv"), seconds=0.001).complete


def ask(**request):
    request = {"split": None, "seed": 42, "on_bad_rows": "error"} | request
    command = [sys.executable, "-m", "tunesmith.dataset"]
    given = json.dumps(request).encode()
    return json.loads(subprocess.run(command, input=given, capture_output=True, check=True).stdout)


def test_the_check_in_a_process_of_its_own_answers_as_json(tmp_path):
    write(tmp_path / "空 格" / "train.jsonl", *rows(10), b"{")
    path = str(tmp_path / "空 格")
    told = ask(path=path)
    assert (told["code"], told["params"]["line"]) == ("bad_row", 11)
    split = {"train": 0.8, "validation": 0.2, "test": 0.0}
    assert ask(path=path, on_bad_rows="skip", split=split) == {
        "answer": {"train": 8, "validation": 2}
    }
