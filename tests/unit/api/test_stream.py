import contextlib
import json
import threading
import time

import httpx
import pytest

from tests.unit.api.parts import (
    TOKEN,
    ended,
    events_of,
    reported,
    served,
    started,
    stored,
    wait_until,
)
from tunesmith.api import stream
from tunesmith.api.session import COOKIE, new_session
from tunesmith.events import Checkpoint, Failed, Metrics, Phase, PhaseChanged, Planned, Warned
from tunesmith.status import Status


@pytest.fixture
def url(state):
    with served(state) as url:
        yield url


def metrics(step: int) -> Metrics:
    return Metrics(
        step=step, epoch=step / 10, loss=3.0 / step, learning_rate=1e-4, grad_norm=1.0,
        tokens_per_second=100.0, eta_seconds=float(100 - step),
    )  # fmt: skip


def open_stream(url, id, last=None, **query):
    headers = {"x-token": TOKEN, "accept-language": "en"}
    if last is not None:
        headers["last-event-id"] = str(last)
    return httpx.stream(
        "GET",
        f"{url}/finetuning/streamTask",
        params={"id": id, **query},
        headers=headers,
        timeout=20,
    )


def kept(events):
    """The events with an id, and their data."""
    return [(event.event, json.loads(event.data)) for event in events if event.event != "progress"]


def ended_task(state):
    task = started(state, stored(state))
    reported(state, task, PhaseChanged(phase=Phase.TRAINING), metrics(1), metrics(2), step=2,
             total_steps=4, phase="training")  # fmt: skip
    return ended(state, task)


def test_an_ended_task_is_told_from_its_beginning_and_the_stream_ends(state, url):
    task = ended_task(state)
    with open_stream(url, task.id) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache, no-transform"
        events = list(events_of(response))
    assert [event.event for event in events] == [
        "status", "status", "phase", "metrics", "metrics", "status", "exited", "progress",
    ]  # fmt: skip
    told = kept(events)
    assert [data["status"] for name, data in told if name == "status"] == [
        "pending", "running", "completed",
    ]  # fmt: skip
    assert told[3][1] == {
        "attempt": 1, "step": 1, "at": 1002.0, "epoch": 0.1, "loss": 3.0, "learning_rate": 1e-4,
        "grad_norm": 1.0, "tokens_per_second": 100.0,
    }  # fmt: skip
    progress = json.loads(events[-1].data)
    assert (progress["status"], progress["progress"], progress["step"]) == ("completed", 100, 2)
    assert progress["elapsedSeconds"] == 10.0
    assert [event.id for event in events[:-1]] == [
        str(each.id) for each in state.store.events_after(task.id, 0)
    ]


def test_last_event_id_goes_on_without_gap_or_repeat(state, url):
    task = ended_task(state)
    all_ids = [each.id for each in state.store.events_after(task.id, 0)]
    for place, last in enumerate(all_ids[:-1], 1):
        with open_stream(url, task.id, last) as response:
            got = [int(event.id) for event in events_of(response) if event.event != "progress"]
        assert got == all_ids[place:]
    with open_stream(url, task.id, lastEventId=all_ids[2]) as response:
        assert int(next(events_of(response)).id) == all_ids[3]
    # A browser connects again with the URL of its first time: the header is newer.
    with open_stream(url, task.id, all_ids[-2], lastEventId=all_ids[2]) as response:
        assert int(next(events_of(response)).id) == all_ids[-1]


def test_a_stream_that_has_told_all_of_an_ended_task_is_not_opened_again(state, url):
    task = ended_task(state)
    with open_stream(url, task.id, state.store.last_event_id(task.id)) as response:
        assert response.status_code == 204


def test_a_last_event_id_that_is_no_number_is_wrong_input(state, url):
    task = stored(state)
    for options in ({"last": "abc"}, {"lastEventId": "abc"}, {"lastEventId": -1}):
        with open_stream(url, task.id, **options) as response:
            assert response.status_code == 422


def test_live_events_come_as_they_are_stored_and_none_is_missed(state, url):
    task = started(state, stored(state))
    steps = 300

    def train() -> None:
        for step in range(1, steps + 1):
            reported(state, task, metrics(step), step=step, total_steps=steps)
        state.store.set_status(state.store.task(task.id), Status.COMPLETED)
        state.changes.publish()

    trainer = threading.Thread(target=train)
    with open_stream(url, task.id) as response:
        events = events_of(response)
        assert next(events).event == "status"
        trainer.start()
        told = kept(events)
    trainer.join()
    assert [data["step"] for name, data in told if name == "metrics"] == list(range(1, steps + 1))
    assert told[-1][0] == "status"
    assert told[-1][1]["status"] == "completed"


def test_progress_is_told_when_it_changes_and_has_no_id(state, url):
    task = started(state, stored(state))
    with open_stream(url, task.id) as response:
        events = events_of(response)
        first = next(event for event in events if event.event == "progress")
        assert json.loads(first.data)["phase"] == "starting"
        last_id = first.id  # the id of the event before: it has none of its own
        reported(state, task, step=5, total_steps=10, eta_seconds=7.0, phase="training")
        second = next(events)
        data = json.loads(second.data)
        assert (second.event, second.id) == ("progress", last_id)
        assert (data["step"], data["totalSteps"], data["progress"]) == (5, 10, 50)
        state.changes.publish()  # nothing new
        reported(state, task, step=6)
        assert json.loads(next(events).data)["step"] == 6


def test_errors_and_warnings_come_as_sentences(state, url):
    task = started(state, stored(state))
    params = {"device": "CPU", "reason": "40 GiB wanted"}
    plan = Planned(
        total_steps=4, warmup_steps=1, samples=8, eval_samples=0, tokens_per_epoch=80,
        trainable_parameters=10, total_parameters=100, device="cpu", dtype="fp32", packed=True,
    )  # fmt: skip
    reported(
        state,
        task,
        plan,
        Warned(code="few_samples", params={"count": 8}),
        Checkpoint(step=2, path="/o/checkpoint-2"),
        Failed(code="out_of_memory", params=params),
    )
    error = {"code": "out_of_memory", "params": params, "log_lines": ["boom"],
             "suggested_change": {"per_device_train_batch_size": 2}}  # fmt: skip
    state.store.set_status(state.store.task(task.id), Status.FAILED, error=error)
    with open_stream(url, task.id) as response:
        told = dict(kept(events_of(response)))
    assert told["plan"]["totalSteps"] == 4
    assert told["warning"]["code"] == "few_samples"
    assert told["warning"]["message"].startswith("8 samples are few")
    assert told["checkpoint"]["path"] == "/o/checkpoint-2"
    assert told["error"]["message"] == "Memory ran out on CPU: 40 GiB wanted"
    assert told["error"]["hint"]
    status = told["status"]
    assert status["message"] == told["error"]["message"]
    assert status["error"]["suggestedChange"] == {"per_device_train_batch_size": 2}
    assert status["error"]["logLines"] == ["boom"]


def test_a_deleted_task_ends_its_streams(state, url):
    task = started(state, stored(state))
    with open_stream(url, task.id) as response:
        events = events_of(response)
        next(event for event in events if event.event == "progress")
        assert state.store.update(state.store.task(task.id), delete_requested_at=time.time())
        state.changes.publish()
        assert list(events) == []
    with open_stream(url, task.id, 1) as response:
        assert response.status_code == 404


def test_a_closing_server_ends_its_streams_at_once(state):
    task = started(state, stored(state))
    with served(state) as url, open_stream(url, task.id) as response:
        events = events_of(response)
        next(event for event in events if event.event == "progress")
        state.closing.set()
        state.changes.publish()
        assert list(events) == []


def test_a_silent_stream_shows_that_it_lives_and_a_left_one_is_forgotten(state, url, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_EVERY", 0.05)
    task = started(state, stored(state))
    with open_stream(url, task.id) as response:
        lines = response.iter_lines()
        assert [next(line for line in lines if line.startswith(":")) for _ in range(3)]
        assert len(state.changes._bells) == 1
    wait_until(lambda: not state.changes._bells)


def test_a_task_that_ends_while_its_events_are_read_is_told_to_its_end(state, url, monkeypatch):
    task = started(state, stored(state))
    read = type(state.store).events_after
    told_the_end = threading.Event()

    def end_after_reading(store, task_id, after):
        found = read(store, task_id, after)
        if not found and not told_the_end.is_set():
            told_the_end.set()
            ended(state, task)
            threading.Timer(0.2, state.changes.publish).start()  # the daemon does so later
        return found

    monkeypatch.setattr(type(state.store), "events_after", end_after_reading)
    with open_stream(url, task.id) as response:
        told = kept(events_of(response))
    assert told_the_end.is_set()
    assert [name for name, _ in told][-2:] == ["status", "exited"]
    assert told[-2][1]["status"] == "completed"


def test_followers_that_have_come_as_far_share_what_is_read(state, url, monkeypatch):
    task = started(state, stored(state))
    read = []
    monkeypatch.setattr(
        type(state.store), "events_after", counting(type(state.store).events_after, read)
    )
    with contextlib.ExitStack() as streams:
        followers = [
            events_of(streams.enter_context(open_stream(url, task.id, task.last_event_id)))
            for _ in range(20)
        ]
        for events in followers:
            next(events)
        before = len(read)
        reported(state, task, metrics(1))
        told = [next(events) for events in followers]
    assert {event.event for event in told} == {"metrics"}
    assert len({event.id for event in told}) == 1
    # The event, and that there is no more; once for all, or for few that came late.
    assert len(read) - before < 10


def counting(call, calls):
    def counted(*arguments, **options):
        calls.append(arguments)
        return call(*arguments, **options)

    return counted


def test_a_browser_follows_with_its_cookie_in_the_language_of_the_query(state, url):
    task = ended_task(state)
    cookie = f"{COOKIE}={new_session(TOKEN, time.time())}"
    address = f"{url}/finetuning/streamTask"
    for language, message in (("en", "Waits for its turn"), ("zh", "待执行"), ("xx", "待执行")):
        params = {"id": task.id, "lang": language}
        with httpx.stream("GET", address, params=params, headers={"cookie": cookie}) as response:
            assert response.status_code == 200
            assert json.loads(next(events_of(response)).data)["message"] == message
