"""The check of a waiting task's data, in a real process, as its training arguments ask for it."""

import time

import pytest

from tests.specs import make_spec
from tests.unit.dataset.files import rows, write
from tunesmith.data_checks import DataChecks

PARTS = {"train": 0.8, "validation": 0.2}


def checked(path, **arguments):
    """Return the error that the check ends with."""
    checks = DataChecks()
    spec = make_spec(**arguments).model_copy(update={"dataset_path": str(path)})
    checks.start(7, spec)
    deadline = time.monotonic() + 60
    while (found := checks.ended()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (found.task_id, checks.task_id) == (7, None)
    return found.error


def test_bad_rows_are_an_error_unless_they_are_to_be_skipped(tmp_path):
    file = write(tmp_path / "train.jsonl", *rows(10), b"{")
    assert checked(file)["code"] == "bad_row"
    assert checked(file, on_bad_rows="skip") is None


@pytest.mark.parametrize("count", [1, 10])
def test_a_split_is_tried(tmp_path, count):
    error = checked(write(tmp_path / "train.jsonl", *rows(count)), split=PARTS)
    assert error is None if count == 10 else error["code"] == "split_impossible"


def test_a_check_that_cannot_answer_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert checked(tmp_path)["code"] == "check_failed"
