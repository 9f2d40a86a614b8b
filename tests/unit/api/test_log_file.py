import pytest

from tunesmith.api import log_file
from tunesmith.api.log_file import BLOCK, last_lines, lines_from, offset_before_end, text_at


@pytest.fixture
def path(tmp_path):
    return tmp_path / "train.log"


@pytest.fixture(params=[3, 16, BLOCK])
def block(request, monkeypatch):
    """Lines, characters and blocks end in each other's middle."""
    monkeypatch.setattr(log_file, "BLOCK", request.param)
    monkeypatch.setattr(log_file, "SKIP_BLOCK", request.param)


LOGS = [
    "",
    "\n",
    "\n\n\n",
    "one",
    "one\n",
    "one\ntwo",
    "one\ntwo\n",
    "一行\n二行很长很长很长很长很长\n\n三行 🚀\nend",
    "a\r\nb\rc\n",
    "".join(f"line {number}\n" for number in range(50)),
]


@pytest.mark.parametrize("text", LOGS)
@pytest.mark.parametrize("count", [1, 2, 3, 49, 50, 1000])
def test_the_last_lines_are_those_of_the_whole_text(path, block, text, count):
    path.write_bytes(text.encode())
    lines = text.encode().split(b"\n")
    whole = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    assert last_lines(path, count) == b"".join(whole[-count:]).decode()
    for skip in (0, 1, 2, 49, 50, 51):
        assert lines_from(path, skip, count) == b"".join(whole[skip : skip + count]).decode()


def test_a_missing_log_is_empty(path):
    assert last_lines(path, 5) == lines_from(path, 0, 5) == lines_from(path, 3, 5) == ""
    assert text_at(path, 7, ended=True) == ("", 7)
    assert offset_before_end(path, 10) == 0


def test_too_long_an_answer_keeps_the_newest_lines_whole(path):
    path.write_text("0123456789\n" * 100)
    assert last_lines(path, 100, limit=35) == "0123456789\n" * 3
    assert last_lines(path, 100, limit=33) == "0123456789\n" * 3
    assert last_lines(path, 2, limit=35) == "0123456789\n" * 2


def test_a_page_from_a_line_keeps_the_first_so_that_the_reader_can_go_on(path):
    path.write_text("".join(f"{number:010}\n" for number in range(100)))
    assert lines_from(path, 5, 100, limit=35) == "0000000005\n0000000006\n0000000007\n"


def test_one_line_longer_than_the_limit_is_cut_between_characters(path):
    path.write_text("好" * 100)
    assert last_lines(path, 10, limit=32) == "好" * 10
    assert len(lines_from(path, 0, 10, limit=32)) <= 11


def test_bytes_that_are_no_text_are_shown_as_such(path):
    path.write_bytes(b"a\xff\xfeb\n")
    assert last_lines(path, 1) == "a\ufffd\ufffdb\n"


@pytest.mark.parametrize("size", [4, 7, 64, BLOCK])
@pytest.mark.parametrize("text", LOGS)
def test_following_an_ended_log_gives_all_of_it(path, text, size):
    path.write_bytes(text.encode())
    offset, pieces = 0, []
    while True:
        piece, offset = text_at(path, offset, ended=True, size=size)
        if not piece:
            break
        pieces.append(piece)
    assert "".join(pieces) == text
    assert offset == len(text.encode())


def test_an_unfinished_line_waits_for_its_end(path):
    path.write_text("one\ntw")
    assert text_at(path, 0, ended=False) == ("one\n", 4)
    assert text_at(path, 4, ended=False) == ("", 4)
    assert text_at(path, 4, ended=True) == ("tw", 6)


def test_a_line_that_fills_a_piece_does_not_wait_and_keeps_its_characters(path):
    path.write_text("好" * 10)
    assert text_at(path, 0, ended=False, size=10) == ("好" * 3, 9)


def test_half_a_character_at_the_very_end_is_shown(path):
    path.write_bytes("好".encode()[:2])
    assert text_at(path, 0, ended=True) == ("\ufffd", 2)


@pytest.mark.parametrize(
    ("size", "offset"), [(1, 11), (4, 7), (5, 7), (8, 3), (9, 3), (11, 0), (100, 0)]
)
def test_the_end_begins_at_a_line(path, size, offset):
    path.write_text("aa\nbbb\nccc\n")
    assert offset_before_end(path, size) == offset
