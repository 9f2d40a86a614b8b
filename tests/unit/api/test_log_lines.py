"""readTaskLog and searchTaskLog, over real logs."""

from pathlib import Path

import pytest

from tests.unit.api.parts import started, stored
from tunesmith import wire
from tunesmith.api import indexed_log, log_search
from tunesmith.status import Status

BAR = "".join(f"\r{percent}%|{'#' * (percent // 10)}" for percent in range(101))


@pytest.fixture
def task(state):
    return started(state, stored(state))


@pytest.fixture
def log(task):
    return Path(task.log_path)


@pytest.fixture
def read(api, task):
    return lambda **query: wire.LogLines.model_validate(
        api.data("readTaskLog", id=task.id, **query)
    )


@pytest.fixture
def search(api, task):
    return lambda **query: wire.LogMatches.model_validate(
        api.data("searchTaskLog", id=task.id, **query)
    )


# Reading


def test_a_task_that_never_ran_and_a_log_that_is_not_there_are_empty(api, state, read):
    never = wire.LogLines.model_validate(api.data("readTaskLog", id=stored(state).id))
    assert never == wire.LogLines(
        lines=[], first=0, total=0, whole=0, offset=0, size=0, attempt=0, complete=False
    )
    assert read() == never.model_copy(update={"attempt": 1})


def test_lines_are_read_by_number_from_the_end_and_by_default_the_last(log, read):
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    shown = read()
    assert (shown.first, shown.lines[0], shown.lines[-1]) == (800, "line 800", "line 999")
    assert (shown.total, shown.whole, shown.size) == (1000, 1000, log.stat().st_size)
    assert read(line=0, lines=2).lines == ["line 0", "line 1"]
    assert read(line=998, lines=500).lines == ["line 998", "line 999"]
    assert read(line=-3, lines=2).lines == ["line 997", "line 998"]
    assert read(line=-5000, lines=1).lines == ["line 0"]
    assert read(line="", lines="").first == 800
    beyond = read(line=10**9)
    assert (beyond.first, beyond.lines) == (1000, [])


def test_the_stream_goes_on_where_the_whole_lines_end(log, read):
    log.write_bytes(b"eins\nzwei\ndr")
    shown = read()
    assert shown.lines == ["eins", "zwei", "dr"]
    assert (shown.total, shown.whole, shown.offset, shown.size) == (3, 2, 10, 12)
    with log.open("ab") as file:
        file.write("ei\n行".encode())
    shown = read()
    assert shown.lines == ["eins", "zwei", "drei", "行"]
    assert (shown.total, shown.whole, shown.offset) == (4, 3, 15)


def test_a_progress_bar_is_shown_as_it_ended_and_colours_stay(log, read):
    log.write_bytes(f"a\r\n{BAR}\r\n\x1b[31mred\x1b[0m\n{BAR}\r".encode() + b"\n\xff\xfe\n\r\n\n")
    shown = read().lines
    assert shown == [
        "a", "100%|##########", "\x1b[31mred\x1b[0m", "100%|##########", "\ufffd\ufffd", "", ""
    ]  # fmt: skip


def test_a_very_long_line_is_cut_and_says_so(log, read, monkeypatch):
    log.write_text(f"{'x' * 300_000}\nshort\n{'y' * 5000}\n{'行' * 4096}\n")
    first, second, third, fourth = read().lines
    assert first == "x" * 4096 + " … (a line of 293 KiB; the rest is not shown)"
    assert second == "short"
    assert third == "y" * 4096 + " … (a line of 5 KiB; the rest is not shown)"
    assert fourth == "行" * 4096
    assert read(lang="zh", line=0, lines=1).lines[0].endswith("其余未显示）")


def test_a_long_line_that_overwrites_itself_is_shown_as_it_ends(log, read):
    log.write_text(f"start{BAR * 3000}\nnext\n{BAR * 3000}")
    assert log.stat().st_size > 2 * indexed_log.LONGEST_READ
    assert read().lines == ["100%|##########", "next", "100%|##########"]
    assert read(line=1, lines=1).lines == ["next"]


def test_an_answer_stays_small_where_lines_are_long(log, read):
    log.write_text(f"{'x' * 4000}\n" * 1999)
    shown = read(line=0, lines=2000)
    assert 0 < len(shown.lines) < 1999
    assert sum(map(len, shown.lines)) <= indexed_log.ANSWER_LIMIT
    assert read(line=len(shown.lines), lines=2000).lines


def test_the_next_attempts_log_takes_the_place_of_the_last(api, state, task, log, read):
    log.write_text("first attempt\n" * 50)
    assert read().total == 50
    again = started(state, state.store.set_status(state.store.task(task.id), Status.PENDING))
    assert (read().total, read().attempt) == (0, 2)
    Path(again.log_path).write_text("second\n")
    assert read().lines == ["second"]
    assert not read().complete
    state.store.set_status(state.store.task(task.id), Status.COMPLETED)
    assert read().complete


def test_a_log_that_is_cut_off_or_gone_is_what_is_there(log, read):
    log.write_text("one\ntwo\nthree\n")
    assert read().total == 3
    log.write_text("new\n")
    assert read().lines == ["new"]
    log.unlink()
    assert read().lines == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"lines": 0}, "lines"),
        ({"lines": 2001}, "lines"),
        ({"line": "x"}, "line"),
        ({"line": 10**30}, "line"),
    ],
)
def test_a_wrong_number_is_named(api, task, query, field):
    response = api.get("readTaskLog", id=task.id, **query)
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["field"] == field


def test_of_a_task_that_is_not_there_nothing_is_read(api):
    assert api.get("readTaskLog", id=9).status_code == 404
    assert api.get("searchTaskLog", id=9, query="x").status_code == 404


# A large log


def test_a_log_of_a_gibibyte_is_read_at_both_ends_and_searched_in_parts(log, read, search, state):
    with log.open("wb") as file:  # it takes no room on the disk: the third line is a hole
        file.write(b"first\nsecond\n")
        file.seek((1 << 30) - 12)
        file.write(b"\nValueError\n")
    shown = read(line=0, lines=2)
    assert (shown.total, shown.size) == (4, 1 << 30)
    assert shown.lines == ["first", "second"]
    end = read()
    assert [line[:10] for line in end.lines] == ["first", "second", "\0" * 10, "ValueError"]
    index = next(iter(state.lines._known.values()))[1]
    assert index.counted == 1 << 30
    assert index._before.itemsize * len(index._before) < 64 << 10
    found = search(query="second")
    assert [(match.line, match.text) for match in found.matches] == [(1, "second")]
    assert found.next == 3
    last = search(kind="error", **{"from": found.next})
    assert [(match.line, match.text) for match in last.matches] == [(3, "ValueError")]
    assert last.next is None


# Searching


def test_lines_that_hold_a_text_come_with_their_numbers(log, search):
    log.write_text("Alpha\nbeta alpha alpha\n\nGAMMA Ä 训练\nalphabet\nlast alpha")
    found = search(query="alpha")
    assert [(match.line, match.text) for match in found.matches] == [
        (1, "beta alpha alpha"), (4, "alphabet"), (5, "last alpha")
    ]  # fmt: skip
    assert (found.next, found.total) == (None, 6)
    assert [match.line for match in search(query="ALPHA", ignoreCase="true").matches] == [
        0,
        1,
        4,
        5,
    ]
    assert [match.line for match in search(query="ä", ignoreCase=True).matches] == [3]
    assert [match.line for match in search(query="训练").matches] == [3]
    assert search(query="ä").matches == []
    assert search(query="alpha\nbeta").matches == []
    assert search(query=".*").matches == []


def test_a_search_goes_on_from_the_line_it_came_to(log, search):
    log.write_text("".join(f"step {number}\n" for number in range(100)))
    lines, begin = [], 0
    while begin is not None:
        found = search(query="step", limit=7, **{"from": begin})
        lines += [match.line for match in found.matches]
        assert len(found.matches) <= 7
        begin = found.next
    assert lines == list(range(100))
    assert search(query="step", **{"from": 100}).total == 0
    assert search(query="step", **{"from": 2**50}).matches == []


@pytest.mark.parametrize("chunk", [8, 20, 64])
def test_a_large_log_is_searched_in_parts_of_whole_lines(log, search, monkeypatch, chunk):
    monkeypatch.setattr(log_search, "CHUNK", chunk)
    monkeypatch.setattr(log_search, "AT_ONCE", 100)
    text = "".join(f"{'needle ' if n % 3 == 0 else ''}{n} {'z' * (n % 40)}\n" for n in range(200))
    log.write_text(text + "needle at the end")
    lines, begin, calls = [], 0, 0
    while begin is not None:
        found = search(query="needle", **{"from": begin})
        lines += [match.line for match in found.matches]
        begin, calls = found.next, calls + 1
    assert lines == [n for n in range(200) if n % 3 == 0] + [200]
    assert calls > 20


def test_a_match_in_a_long_line_comes_with_what_is_around_it(log, search):
    log.write_text(f"{'a' * 1000}needle{'b' * 1000}\n{'c' * 600}\nneedle {'d' * 600}\n")
    first, second = search(query="needle").matches
    assert len(first.text) == log_search.SHOWN + 2
    assert first.text.startswith("…aaa") and first.text.endswith("bbb…") and "needle" in first.text
    assert second.text.startswith("needle d") and second.text.endswith("d…")


def test_what_was_overwritten_is_not_found(log, search):
    log.write_text(f"{BAR}\n50% done\n")
    assert [match.line for match in search(query="50%").matches] == [1]
    assert [match.line for match in search(query="100%").matches] == [0]


def test_the_first_error_is_found(log, search):
    log.write_text(
        "step 1 eval error rate 0.1\nTerrors and Exceptional things\nErrors: 0\n"
        "on_bad_rows: error\n"
        'Traceback (most recent call last):\n  File "x.py"\nValueError: nothing\n'
        "torch.OutOfMemoryError: CUDA out of memory\n[ERROR] it broke\nerror: failed\n"
        "Segmentation fault (core dumped)\nKilled\nNot Killed by us\nMyException\n"
    )
    found = [match.line for match in search(kind="error").matches]
    assert found == [4, 6, 7, 8, 9, 10, 11, 13]
    first = search(kind="error", limit=1)
    assert (first.matches[0].line, first.next, first.total) == (4, 5, 5)


def test_an_exception_is_found_by_its_place_whatever_its_name(log, search):
    log.write_text(
        "pyarrow.lib.ArrowInvalid: at the beginning\nstep 1\n"
        'Traceback (most recent call last):\n  File "x.py"\n'
        "tunesmith.errors.RunFailure: bad_row {'line': 3}\nqueue.Empty\nqueue.Empty\r\n"
        "  not.At.Beginning: 1\nmodel.layer: 5\n2.Fast: x\nQwen/Qwen2.5-Instruct: loaded\n"
        "see tunesmith.errors.RunFailure: no\ntorch.Size([3])\nqueue.Empty"
    )
    found = [match.line for match in search(kind="error").matches]
    assert found == [0, 2, 4, 5, 6, 13]
    assert search(kind="error", **{"from": 3}).matches[0].text.startswith("tunesmith.errors.RunF")
    assert [match.line for match in search(query="queue.Empty").matches] == [5, 6, 13]


def test_all_of_a_long_last_line_is_searched(log, search):
    log.write_text(f"first\n{'x' * 50_000}needle")
    (found,) = search(query="needle").matches
    assert found.line == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "x" * 1001}, "query"),
        ({"query": "x", "limit": 0}, "limit"),
        ({"query": "x", "limit": 1001}, "limit"),
        ({"query": "x", "from": -1}, "from"),
        ({"query": "x", "kind": "regex"}, "kind"),
        ({"query": "x", "ignoreCase": "perhaps"}, "ignoreCase"),
    ],
)
def test_a_wrong_search_names_its_field(api, task, query, field):
    response = api.get("searchTaskLog", id=task.id, **query)
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["field"] == field


def test_empty_values_are_not_given(log, search):
    log.write_text("x\n")
    empty = {"from": "", "limit": "", "ignoreCase": "", "kind": ""}
    assert [match.line for match in search(query="x", **empty).matches] == [0]
