"""The cleaned copy: whole or not at all, and what was dropped is said."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.check.test_check import good, write
from tunesmith.check.run import run
from tunesmith.draft import draft
from tunesmith.errors import Refused


def rows_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def dropped(out: Path) -> list[tuple[str, int, str]]:
    return [(row["file"], row["line"], row["reason"]) for row in rows_of(out / "dropped.jsonl")]


def test_a_cleaned_copy_has_no_errors_and_says_what_went(tmp_path):
    data, out = tmp_path / "data", tmp_path / "新 copy"
    extra = good(1) | {"id": 7}  # other keys stay
    rows = [good(0), extra, "{", "", good(0), {"instruction": "a", "output": ""}, good(2)]
    write(data / "train.jsonl", *rows, {"instruction": "b", "output": "锟斤拷。"})
    write(data / "valid.jsonl", good(2), good(9))
    report = run({"dataset_path": str(data), "fix": str(out)})
    assert report.verdict == "must_be_mended"
    assert dropped(out) == [
        ("train.jsonl", 3, "bad_row"),
        ("train.jsonl", 5, "duplicate"),
        ("train.jsonl", 6, "bad_row"),
        ("train.jsonl", 7, "leaked"),
        ("train.jsonl", 8, "garbled"),
    ]
    assert rows_of(out / "train.jsonl") == [good(0), extra]
    assert rows_of(out / "valid.jsonl") == [good(2), good(9)]
    assert report.fixed is not None
    assert (report.fixed.kept, report.fixed.dropped) == (4, 5)
    assert report.fixed.reasons == {"bad_row": 2, "duplicate": 1, "leaked": 1, "garbled": 1}
    again = run({"dataset_path": str(out)})
    assert again.verdict == "ready_with_warnings"  # few samples
    assert [each.code for each in again.findings if each.severity == "error"] == []
    assert (again.rows, again.duplicates.exact, again.leakage[0].exact) == (4, 0, 0)


def test_gbk_becomes_utf8(tmp_path):
    row = {"instruction": "你叫什么名字？", "output": "我叫小匠，是一个小助手。"}
    path = tmp_path / "train.jsonl"
    path.write_bytes((json.dumps(row, ensure_ascii=False) + "\n").encode("gbk"))
    run({"dataset_path": str(path), "fix": str(tmp_path / "out")})
    assert rows_of(tmp_path / "out" / "train.jsonl") == [row]
    assert run({"dataset_path": str(tmp_path / "out")}).splits[0].encoding == "UTF-8"


def test_other_formats_become_jsonl_with_messages(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps([good(0) | {"system": "Be kind."}, good(0) | {"output": ""}]))
    run({"dataset_path": str(path), "fix": str(tmp_path / "out")})
    assert rows_of(tmp_path / "out" / "train.jsonl") == [
        {
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": good(0)["instruction"]},
                {"role": "assistant", "content": good(0)["output"]},
            ]
        }
    ]
    assert dropped(tmp_path / "out") == [("train.json", 2, "bad_row")]


def test_near_duplicates_go_when_asked(tmp_path):
    text = " ".join(f"word{n}" for n in range(60))
    one, other = (
        {"instruction": "Tell all.", "output": f"{text} {end}"} for end in ("end.", "End!")
    )
    path = write(tmp_path / "train.jsonl", one, good(0), other)
    run({"dataset_path": str(path), "fix": str(tmp_path / "a")})
    assert dropped(tmp_path / "a") == []
    asked = {"dataset_path": str(path), "fix": str(tmp_path / "b"), "drop_near_duplicates": True}
    run(asked)
    assert dropped(tmp_path / "b") == [("train.jsonl", 3, "near_duplicate")]


def test_a_directory_with_something_in_it_is_left_alone(tmp_path):
    path = write(tmp_path / "train.jsonl", good(0))
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(Refused) as refused:
        run({"dataset_path": str(path), "fix": str(out)})
    assert refused.value.code == "fix_not_empty"
    assert [each.name for each in out.iterdir()] == ["mine"]


def test_nothing_half_made_stays(tmp_path):
    path = write(tmp_path / "train.jsonl", good(0))
    (tmp_path / "file").write_text("not a directory")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Refused) as refused:
        run({"dataset_path": str(path), "fix": str(tmp_path / "file" / "out")})
    assert refused.value.code == "file_unwritable"
    assert sorted(tmp_path.iterdir()) == before


def test_an_empty_directory_is_taken(tmp_path):
    path = write(tmp_path / "train.jsonl", good(0))
    (tmp_path / "out").mkdir()
    run({"dataset_path": str(path), "fix": str(tmp_path / "out")})
    assert rows_of(tmp_path / "out" / "train.jsonl") == [good(0)]


def test_what_cannot_be_read_is_told_where_it_begins(tmp_path):
    path = tmp_path / "train.json"
    texts = [json.dumps(good(n)) for n in range(4)]
    path.write_text(f"[{texts[0]}, {texts[1]}, {{]}}, {texts[2]}, {texts[3]}]")
    report = run({"dataset_path": str(path), "fix": str(tmp_path / "out"), "skip_bad_rows": True})
    found = next(each for each in report.findings if each.code == "check.rest_unreadable")
    assert (found.severity, found.examples[0].line) == ("error", 3)
    assert dropped(tmp_path / "out") == [("train.json", 3, "rest_unreadable")]
    assert len(rows_of(tmp_path / "out" / "train.jsonl")) == 2


def test_nothing_of_a_line_that_is_too_long_is_in_the_copy(tmp_path, monkeypatch):
    monkeypatch.setattr("tunesmith.dataset.source.LONGEST_ROW", 300)
    monkeypatch.setattr("tunesmith.check.fix.LONGEST_ROW", 300)
    long = json.dumps({"instruction": "a", "output": "x" * 1000})
    path = write(tmp_path / "train.jsonl", good(0), long, good(1))
    run({"dataset_path": str(path), "fix": str(tmp_path / "out")})
    assert rows_of(tmp_path / "out" / "train.jsonl") == [good(0)]
    assert dropped(tmp_path / "out") == [("train.jsonl", 2, "rest_unreadable")]


def test_the_copy_of_one_file_is_a_data_set_whatever_its_name(tmp_path):
    path = write(tmp_path / "dropped.jsonl", good(0), good(0))
    run({"dataset_path": str(path), "fix": str(tmp_path / "out")})
    assert rows_of(tmp_path / "out" / "train.jsonl") == [good(0)]
    assert dropped(tmp_path / "out") == [("dropped.jsonl", 2, "duplicate")]
    assert run({"dataset_path": str(tmp_path / "out")}).rows == 1


def test_two_cleanings_to_one_directory_do_not_mix(tmp_path):
    path = write(tmp_path / "train.jsonl", good(0))
    with draft(tmp_path / "out"), pytest.raises(Refused) as refused:
        run({"dataset_path": str(path), "fix": str(tmp_path / "out")})
    assert refused.value.code == "draft_busy"


def test_a_disk_that_fills_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tunesmith.check.fix._copy", full)
    path = write(tmp_path / "train.jsonl", good(0))
    with pytest.raises(Refused) as refused:
        run({"dataset_path": str(path), "fix": str(tmp_path / "out")})
    assert refused.value.code == "disk_full" and [*tmp_path.iterdir()] == [path]
