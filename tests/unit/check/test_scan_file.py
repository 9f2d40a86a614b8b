"""A file scanned by several processes is the same as by one."""

import dataclasses

import numpy as np

from tests.unit.check.test_check import good, write
from tunesmith.check.scan_file import FileToScan, scan_file


def test_several_processes_find_what_one_finds(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2})
    rows = [good(n) if n % 700 else "{" for n in range(3500)]
    file = FileToScan(write(tmp_path / "train.jsonl", *rows), 10_000, 1, ("<s>",), None)
    one, several = scan_file(file), scan_file(file, large=1)
    for each in dataclasses.fields(one):
        same = getattr(one, each.name), getattr(several, each.name)
        assert np.array_equal(*same) if isinstance(same[0], np.ndarray) else same[0] == same[1]
    assert one.bad_lines.tolist() == [1, 701, 1401, 2101, 2801]
    assert len(one.chosen) == 3495


def test_a_sample_is_drawn_from_all_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    path = write(tmp_path / "train.jsonl", *map(good, range(2000)))
    drawn = scan_file(FileToScan(path, 100, 1, (), None), large=1).chosen
    assert len(drawn) == 100 and [row.line - 1 for _, row in drawn] == [index for index, _ in drawn]
    assert sum(index < 1000 for index, _ in drawn) == 50
