import json

import httpx
import pytest

from tests.unit.api.parts import TOKEN, events_of, served, stored, wait_until
from tunesmith.api import stream_list


@pytest.fixture
def url(state, monkeypatch):
    monkeypatch.setattr(stream_list, "EVERY", 0.01)
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
