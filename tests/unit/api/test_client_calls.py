"""The Python client against the real application: what scripts want of the console's endpoints."""

from pathlib import Path

import pytest

from tests.unit.api.parts import TOKEN, reported, served, started, stored
from tests.unit.api.test_metrics import metrics
from tunesmith import Client
from tunesmith.api import log_search, task_events
from tunesmith.errors import InvalidInput, NotFound
from tunesmith.events import Phase, PhaseChanged
from tunesmith.request_problems import read_request


@pytest.fixture
def client(state):
    with served(state) as url, Client(url, TOKEN, language="en") as client:
        yield client


def test_tasks_are_counted(client, state):
    started(state, stored(state))
    statistics = client.statistics()
    assert (statistics.total, statistics.by_status.running) == (1, 1)


def test_a_part_of_the_curves_is_asked_for_by_its_steps(client, state):
    task = started(state, stored(state))
    reported(state, task, *(metrics(step) for step in range(1, 6)))
    assert [point.step for point in client.metrics(task.id, from_step=2, to_step=4).training] == [
        2, 3, 4,
    ]  # fmt: skip
    assert client.metrics(task.id).total == 5


def test_all_events_come_in_words(client, state, monkeypatch):
    monkeypatch.setattr(task_events, "AT_MOST", 2)
    task = started(state, stored(state))
    reported(state, task, *(PhaseChanged(phase=phase) for phase in list(Phase)[:5]))
    told = client.events(task.id)
    assert [event.type for event in told] == ["status", "status", *["phase"] * 5]
    assert told[2].message == "Phase: starting"
    assert client.events(task.id, told[-3].id) == told[-2:]
    with pytest.raises(NotFound):
        client.events(99)


def test_a_whole_log_is_searched_however_many_calls_it_takes(client, state, monkeypatch):
    monkeypatch.setattr(log_search, "CHUNK", 64)
    monkeypatch.setattr(log_search, "AT_ONCE", 200)
    task = started(state, stored(state))
    Path(task.log_path).write_text(
        "".join(f"Line {number}\n" for number in range(300)) + "KeyError"
    )
    assert [match.line for match in client.search_log(task.id, "line 29", ignore_case=True)] == [
        29, *range(290, 300)
    ]  # fmt: skip
    assert [match.text for match in client.search_log(task.id, errors=True)] == ["KeyError"]
    assert list(client.search_log(task.id, "line")) == []
    with pytest.raises(InvalidInput):
        next(client.search_log(task.id))


def test_directories_are_listed(client, state, tmp_path):
    (tmp_path / ".hidden").mkdir()
    assert client.list_directory().roots[0] == str(tmp_path)
    assert [entry.name for entry in client.list_directory(tmp_path).entries] == ["data"]
    assert len(client.list_directory(tmp_path, show_hidden=True).entries) == 2


def test_a_request_is_checked(client, body):
    for request in (body, read_request(body)):
        assert client.check_task(request).request == body
    with pytest.raises(InvalidInput) as refused:
        client.check_task({**body, "trainingArgs": {"lora_r": 0}})
    assert refused.value.problems[0].field == "trainingArgs.lora_r"
