from dataclasses import replace

import pytest

from tests.unit.api.parts import started, stored
from tunesmith.api.task_answer import task_answer
from tunesmith.status import Status


@pytest.fixture
def running(state):
    return replace(
        started(state, stored(state)),
        total_steps=100,
        step=40,
        progress=40.0,
        eta_seconds=60.0,
        reported_at=1040.0,
    )


def shown(task, now=1050.0, language="en"):
    return task_answer(task, language, now=now)


def test_the_remaining_time_shrinks_from_the_last_report_and_never_below_zero(running):
    assert shown(running, 1040.0).eta_seconds == 60.0
    assert shown(running, 1050.0).eta_seconds == 50.0
    assert shown(running, 1200.0).eta_seconds == 0.0
    # A clock that was set back adds nothing.
    assert shown(running, 1000.0).eta_seconds == 60.0
    assert shown(replace(running, eta_seconds=None)).eta_seconds is None


def test_the_time_that_has_passed_counts_to_now_or_to_the_end(running, state):
    assert shown(running, 1050.0).elapsed_seconds == 50.0
    assert shown(running, 900.0).elapsed_seconds == 0.0
    ended = replace(running, status=Status.COMPLETED, finished_at=1100.5)
    assert shown(ended, 5000.0).elapsed_seconds == 100.5
    assert shown(ended).eta_seconds is None
    assert shown(stored(state)).elapsed_seconds is None


def test_times_on_the_wire_are_whole_seconds(running):
    task = shown(replace(running, started_at=1000.9, finished_at=1100.2))
    assert (task.started_at, task.finished_at) == (1000, 1100)


def test_the_reason_to_wait_is_told_while_a_task_waits(state, running):
    reason = {"code": "queue.waiting_for_slot", "params": {"running": [3], "limit": 1}}
    waiting = shown(replace(stored(state), queue_reason=reason))
    assert waiting.queue_reason is not None
    assert waiting.queue_reason.code == "waiting_for_slot"
    assert waiting.queue_reason.message.startswith("Waits for task 3")
    assert shown(replace(running, queue_reason=reason)).queue_reason is None


def test_an_error_is_a_sentence_a_hint_and_what_to_change(running):
    error = {
        "code": "nan_loss",
        "params": {"value": "nan", "step": 7},
        "log_lines": ["loss nan"],
        "suggested_change": {"learning_rate": 5e-5},
    }
    failed = replace(running, status=Status.FAILED, error=error)
    task = shown(failed)
    assert task.error is not None
    assert task.error_message == task.error.message
    assert task.error.message == "The loss became nan at step 7; the model would be useless"
    assert task.error.hint is not None
    assert task.error.log_lines == ["loss nan"]
    assert task.error.suggested_change == {"learning_rate": 5e-5}
    assert "第 7 步" in shown(failed, language="zh").error_message
    assert shown(running).error_message is None


def test_the_wire_has_the_names_of_the_contract(running):
    wire = shown(running).model_dump(mode="json", by_alias=True)
    assert wire["ID"] == running.id
    assert wire["userID"] is None
    assert wire["totalSteps"] == 100
    assert wire["trainingArgs"]["lora_target_modules"] == "all-linear"
    assert wire["gpuConfig"]["cuda_visible_devices"] == ""
    assert wire["CreatedAt"].endswith("Z")
