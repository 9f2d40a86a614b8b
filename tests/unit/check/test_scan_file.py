"""A file scanned by several processes is the same as by one."""

import concurrent.futures
import dataclasses
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from tests.unit.check.test_check import good, write
from tunesmith.check.scan import scan
from tunesmith.check.scan_file import FileToScan, scan_file
from tunesmith.dataset import read_rows
from tunesmith.errors import TunesmithError


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


def test_a_sample_of_long_texts_is_a_smaller_one(tmp_path):
    path = write(tmp_path / "train.jsonl", *map(good, range(500)))
    rows = list(read_rows(path))

    def drawn(seed, most):
        found = scan(
            rows, sample_size=300, seed=seed, has_control=lambda _: False, most_characters=most
        )
        return found.chosen, int(sum(found.characters[index] for index, _ in found.chosen))

    size = drawn(0, 1 << 30)[1]
    counts = np.zeros(500)
    for seed in range(40):
        chosen, characters = drawn(seed, size // 4)
        assert characters <= size // 4 and len(chosen) >= 30
        counts[[index for index, _ in chosen]] += 1
    halves = counts[:250].sum(), counts[250:].sum()
    assert 0.9 < halves[0] / halves[1] < 1.1  # early rows and late ones alike


def test_a_process_that_was_killed_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    file = FileToScan(write(tmp_path / "train.jsonl", good(0)), 10, 1, (), None)

    class Killed(concurrent.futures.Executor):
        def __init__(self, *_, **__):
            pass

        def submit(self, *_):
            future = concurrent.futures.Future()
            future.set_exception(BrokenProcessPool("ended abruptly"))
            return future

    monkeypatch.setattr("tunesmith.check.scan_file.ProcessPoolExecutor", Killed)
    with pytest.raises(TunesmithError) as raised:
        scan_file(file, large=1)
    assert raised.value.code == "side_process_failed"
