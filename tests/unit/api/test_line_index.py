import random
import threading

import pytest

from tunesmith.api import line_index
from tunesmith.api.line_index import LineIndexes


@pytest.fixture(params=[7, 64, 1 << 18])
def block(request, monkeypatch):
    monkeypatch.setattr(line_index, "BLOCK", request.param)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "train.log"


def starts(path, indexes):
    with path.open("rb") as file:
        index = indexes.of(path, file)
        size, newlines = index.extend(file)
        return size, [index.start(file, line) for line in range(newlines + 1)]


def expected(data):
    return len(data), [0, *(place + 1 for place, byte in enumerate(data) if byte == 10)]


@pytest.mark.usefixtures("block")
def test_lines_are_found_in_a_file_that_grows(log):
    random.seed(3)
    indexes, data = LineIndexes(), b""
    for _ in range(60):
        data += bytes(random.choice(b"ab\r\n\n") for _ in range(random.choice((0, 1, 5, 7, 30))))
        data += b"x" * random.choice((0, 0, 0, 200)) + b"\n" * random.choice((0, 0, 1, 20))
        log.write_bytes(data)
        assert starts(log, indexes) == expected(data)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(
    "data", [b"", b"\n", b"a", b"a\n", b"\n" * 7, b"a" * 64, b"a" * 63 + b"\n"]
)
def test_edges(log, data):
    log.write_bytes(data)
    assert starts(log, LineIndexes()) == expected(data)


@pytest.mark.usefixtures("block")
def test_another_file_at_the_path_and_a_shorter_one_are_counted_anew(log, tmp_path):
    indexes = LineIndexes()
    log.write_bytes(b"one\n" * 100)
    starts(log, indexes)
    other = tmp_path / "other"
    other.write_bytes(b"a longer line\n" * 90)
    other.replace(log)
    assert starts(log, indexes) == expected(log.read_bytes())
    with log.open("r+b") as file:
        file.truncate(9)
    assert starts(log, indexes) == expected(b"a longer ")


def test_a_file_that_was_emptied_and_has_grown_longer_since_is_counted_anew(log, monkeypatch):
    monkeypatch.setattr(line_index, "BLOCK", 16)
    indexes = LineIndexes()
    log.write_bytes(b"one\n" * 100)
    starts(log, indexes)
    with log.open("r+b") as file:  # the same file
        file.truncate(0)
        file.write(b"a longer line\n" * 100)
    assert starts(log, indexes) == expected(log.read_bytes())


def test_what_was_counted_is_not_read_again(log, monkeypatch):
    monkeypatch.setattr(line_index, "BLOCK", 16)
    indexes = LineIndexes()
    log.write_bytes(b"a line of it\n" * 100)
    starts(log, indexes)
    with log.open("rb") as file:
        index = indexes.of(log, file)
        before = index.counted
        assert before >= log.stat().st_size - 16
        file.read()
        index.extend(file)
        assert index.counted == before


def test_few_files_are_remembered(tmp_path):
    indexes = LineIndexes()
    for number in range(line_index.FILES_KEPT + 10):
        path = tmp_path / str(number)
        path.write_bytes(b"a\n")
        starts(path, indexes)
    assert len(indexes._known) == line_index.FILES_KEPT


def test_several_readers_count_a_growing_file_once(log, monkeypatch):
    monkeypatch.setattr(line_index, "BLOCK", 8)
    indexes, wrong = LineIndexes(), []
    log.write_bytes(b"")
    ended = threading.Event()

    def read():
        while not ended.is_set():
            size, found = starts(log, indexes)
            if (size, found) != expected(log.read_bytes()[:size]):
                wrong.append((size, found))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    with log.open("ab", buffering=0) as file:
        for number in range(300):
            file.write(b"%d\n" % number)
    ended.set()
    for reader in readers:
        reader.join()
    assert wrong == []
