import json
from pathlib import Path

import httpx
import pytest

from tests.unit.api.parts import TOKEN, events_of, served, started, stored
from tunesmith.status import Status


@pytest.fixture
def running(state):
    return started(state, stored(state))


def log_of(task) -> Path:
    return Path(task.log_path)


def end(state, task) -> None:
    assert state.store.set_status(state.store.task(task.id), Status.COMPLETED)
    state.changes.publish()


def follow(url, id, last=None, **query):
    headers = {"x-token": TOKEN} | ({"last-event-id": str(last)} if last is not None else {})
    return httpx.stream(
        "GET",
        f"{url}/finetuning/streamTaskLog",
        params={"id": id, **query},
        headers=headers,
        timeout=20,
    )


def test_a_task_that_never_ran_has_an_empty_log(api, state):
    task = stored(state)
    assert api.data("getTaskLog", id=task.id) == ""
    response = api.get("downloadTaskLog", id=task.id)
    assert (response.status_code, response.content) == (200, b"")
    assert 'filename="task-1.log"' in response.headers["content-disposition"]


def test_the_log_is_read_from_its_end_or_from_a_line(api, running):
    assert api.data("getTaskLog", id=running.id) == ""
    log_of(running).write_text("".join(f"{number}\n" for number in range(1500)))
    assert len(api.data("getTaskLog", id=running.id).splitlines()) == 1000
    assert api.data("getTaskLog", id=running.id, lines=2) == "1498\n1499\n"
    assert api.data("getTaskLog", id=running.id, lines="2", offset="10") == "10\n11\n"
    assert api.data("getTaskLog", id=running.id, lines="", offset="").startswith("500\n")
    assert api.data("getTaskLog", id=running.id, lines=3, offset=1500) == ""


@pytest.mark.parametrize(
    ("query", "field"),
    [({"lines": 0}, "lines"), ({"lines": 10_001}, "lines"), ({"offset": -1}, "offset")],
)
def test_a_wrong_log_query_is_named(api, running, query, field):
    response = api.get("getTaskLog", id=running.id, **query)
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["field"] == field


def test_the_log_is_downloaded_whole_or_in_ranges(api, running):
    log_of(running).write_text("0123456789")
    response = api.get("downloadTaskLog", id=running.id)
    assert response.text == "0123456789"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="task-1.log"'
    part = api(
        "GET",
        "/finetuning/downloadTaskLog",
        params={"id": running.id},
        headers={"range": "bytes=2-4"},
    )
    assert (part.status_code, part.text) == (206, "234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    head = api("HEAD", "/finetuning/downloadTaskLog", params={"id": running.id})
    assert head.headers["content-length"] == "10"


def test_a_log_that_grows_during_its_download_arrives_as_long_as_it_was(state, running):
    size = 40 << 20
    log_of(running).write_bytes(b"x" * size)
    with served(state) as url:
        address = f"{url}/finetuning/downloadTaskLog"
        params, headers = {"id": running.id}, {"x-token": TOKEN}
        with httpx.stream("GET", address, params=params, headers=headers) as response:
            pieces = response.iter_bytes()
            got = len(next(pieces))
            with log_of(running).open("ab") as file:
                file.write(b"y" * 1_000_000)
            got += sum(len(piece) for piece in pieces)
    assert got == size == int(response.headers["content-length"])


def test_the_log_is_followed_as_it_is_written(state, running):
    log_of(running).write_text("first\n")
    with served(state) as url, follow(url, running.id) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = events_of(response)
        first = next(events)
        assert json.loads(first.data) == {"text": "first\n", "offset": 6}
        assert (first.event, first.id) == ("log", "6")
        with log_of(running).open("a") as file:
            file.write("第二行\nthi")
        assert json.loads(next(events).data) == {"text": "第二行\n", "offset": 16}
        end(state, running)
        assert [json.loads(event.data)["text"] for event in events] == ["thi"]


def test_following_goes_on_after_the_last_event_id(state, running):
    log_of(running).write_text("one\ntwo\nthree\n")
    end(state, running)
    with served(state) as url:

        def texts(*arguments, **query):
            with follow(url, running.id, *arguments, **query) as response:
                return [json.loads(event.data)["text"] for event in events_of(response)]

        assert texts() == ["one\ntwo\nthree\n"]
        assert texts(offset=4) == ["two\nthree\n"]
        assert texts(8) == ["three\n"]
        assert texts(8, offset=4) == ["three\n"]
        assert texts(offset=-8) == ["three\n"]
        assert texts(offset=-1000) == ["one\ntwo\nthree\n"]
        assert texts(offset=14) == []
        with follow(url, running.id, 14) as response:
            assert response.status_code == 204


def test_a_long_log_comes_in_pieces_of_whole_lines(state, running):
    text = "".join(f"line {number} 行\n" for number in range(20_000))
    log_of(running).write_text(text)
    end(state, running)
    with served(state) as url, follow(url, running.id) as response:
        pieces = [json.loads(event.data)["text"] for event in events_of(response)]
    assert "".join(pieces) == text
    assert all(piece.endswith("\n") and len(piece.encode()) <= 1 << 16 for piece in pieces)
    assert len(pieces) < 10


def test_the_next_attempt_is_followed_from_its_beginning(state, running):
    log_of(running).write_text("a long line of the first attempt\n")
    with served(state) as url, follow(url, running.id) as response:
        events = events_of(response)
        next(events)
        waiting = state.store.set_status(state.store.task(running.id), Status.PENDING)
        again = started(state, waiting)
        log_of(again).write_text("second\n")
        assert json.loads(next(events).data) == {"text": "second\n", "offset": 7}


def test_a_closing_server_and_a_deletion_end_the_following(state, running):
    with served(state) as url:
        with follow(url, running.id) as response:
            state.closing.set()
            assert list(events_of(response)) == []
        state.closing.clear()
        with follow(url, running.id) as response:
            assert state.store.update(state.store.task(running.id), delete_requested_at=1.0)
            assert list(events_of(response)) == []
