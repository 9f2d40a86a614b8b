import asyncio
import json

import httpx
import pytest

from tests.unit.api.parts import TOKEN, events_of, served, stored, wait_until
from tunesmith.api import stream_list


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(stream_list, "EVERY", 0.01)


@pytest.fixture
def url(state, soon):
    with served(state) as url:
        yield url


def open_stream(url):
    headers = {"x-token": TOKEN}
    return httpx.stream("GET", f"{url}/finetuning/streamTaskList", headers=headers, timeout=20)


def changed(events):
    event = next(events)
    assert event.event == "changed"
    return json.loads(event.data)["ids"]


def test_a_list_is_told_at_once_and_then_which_tasks_have_changed(state, url):
    with open_stream(url) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = events_of(response)
        assert changed(events) is None
        stored(state)
        state.daemon.wake()
        assert changed(events) is None
        state.changes.publish(2)
        assert changed(events) == [2]


def test_changes_that_come_in_between_are_told_together(state, url, monkeypatch):
    monkeypatch.setattr(stream_list, "EVERY", 0.5)
    with open_stream(url) as response:
        events = events_of(response)
        assert changed(events) is None
        state.changes.publish(1)
        assert changed(events) == [1]
        for task_id in (5, 3, 5):
            state.changes.publish(task_id)
        assert changed(events) == [3, 5]


def test_a_change_that_was_told_early_is_not_told_again_as_none(state):
    async def follow():
        told = stream_list.follow(state)
        await anext(told)
        assert b'"ids":null' in await anext(told)
        (bell,) = state.changes._bells
        state.changes.publish(1)
        await bell.wait(1)
        state.changes.publish(2)  # which rings after it was taken with the first
        assert b'"ids":[1,2]' in await anext(told)
        coming = asyncio.ensure_future(anext(told))
        await asyncio.sleep(0.1)
        state.changes.publish(3)
        assert b'"ids":[3]' in await coming
        await told.aclose()

    asyncio.run(follow())


def test_a_silent_list_shows_that_it_lives_and_a_left_one_is_forgotten(state, url, monkeypatch):
    monkeypatch.setattr(stream_list, "HEARTBEAT_EVERY", 0.05)
    with open_stream(url) as response:
        lines = response.iter_lines()
        assert [next(line for line in lines if line.startswith(":")) for _ in range(3)]
    wait_until(lambda: not state.changes._bells)


def test_a_closing_server_ends_its_lists(state, url):
    with open_stream(url) as response:
        events = events_of(response)
        assert changed(events) is None
        state.closing.set()
        state.changes.publish()
        assert [event.event for event in events] in ([], ["changed"])
