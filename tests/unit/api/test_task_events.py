"""getTaskEvents: everything but the curves, in words of both languages."""

import pytest

from tests.unit.api.parts import ended, reported, started, stored
from tests.unit.api.test_metrics import metrics
from tunesmith import wire
from tunesmith.api import task_events
from tunesmith.events import (
    Checkpoint,
    Evaluation,
    Failed,
    Finished,
    MemoryPlanned,
    Phase,
    PhaseChanged,
    Planned,
    Started,
    Warned,
)
from tunesmith.status import Status


@pytest.fixture
def task(state):
    """A task that has met every kind of event."""
    task = started(state, stored(state))
    memory = MemoryPlanned(
        mode="trace", family="qwen2", method="lora", device_type="cpu",
        gradient_checkpointing=False, weights_bytes=1, gradients_bytes=1, optimizer_bytes=1,
        activations_bytes=1, planned_bytes=3 << 30, ratio=1.0, available_bytes=8 << 30,
    )  # fmt: skip
    reported(
        state,
        task,
        Started(pid=77, versions={"torch": "2"}),
        PhaseChanged(phase=Phase.TRAINING),
        Planned(
            total_steps=4,
            warmup_steps=1,
            samples=8,
            eval_samples=2,
            tokens_per_epoch=80,
            trainable_parameters=10,
            total_parameters=100,
            device="cpu",
            dtype="fp32",
            packed=True,
        ),
        memory,
        memory.model_copy(update={"available_bytes": None}),
        metrics(1),
        Evaluation(step=1, epoch=0.1, eval_loss=1.0, token_accuracy=0.5, seconds=1.0),
        Checkpoint(step=2, path="/o/checkpoint-2"),
        Warned(code="few_samples", params={"count": 8}),
        Failed(code="out_of_memory", params={"device": "CPU", "reason": "40 GiB wanted"}),
        *(
            Finished(
                outcome=outcome,
                output_path="/o",
                step=2,
                total_steps=4,
                train_seconds=1.0,
                peak_memory_bytes=1,
            )
            for outcome in ("completed", "stopped")
        ),
    )
    error = {"code": "killed", "params": {}, "log_lines": [], "suggested_change": {}}
    return ended(state, task, Status.FAILED, {"exit_code": 1, "signal": None}, error)


def test_what_happened_is_told_in_sentences_without_the_curves(api, task):
    told = wire.TaskEvents.model_validate(api.data("getTaskEvents", id=task.id))
    assert not told.truncated
    assert [(event.type, event.message) for event in told.events] == [
        ("status", "Waits for its turn"),
        ("status", "Runs"),
        ("started", "The training process has started (pid 77)"),
        ("phase", "Phase: training"),
        ("plan", "4 steps on cpu, over 8 samples (2 for validation)"),
        ("memory_plan", "3.0 GiB are planned on each device, of 8.0 GiB that are free"),
        ("memory_plan", "3.0 GiB are planned on each device"),
        ("checkpoint", "Step 2: a checkpoint was saved to /o/checkpoint-2"),
        ("warning", "8 samples are few; the specification advises at least 1000"),
        ("error", "Memory ran out on CPU: 40 GiB wanted"),
        ("finished", "The training is complete after 2 steps; its output is in /o"),
        (
            "finished",
            "The training was stopped at step 2 of 4; what it has learnt is in /o",
        ),
        ("status", told.events[-2].message),
        ("exited", "The training process has ended with exit code 1"),
    ]
    assert "SIGKILL" in told.events[-2].message
    plan = next(event for event in told.events if event.type == "plan")
    assert plan.data["totalSteps"] == 4
    assert (plan.attempt, plan.at) == (1, 1003.0)


@pytest.mark.parametrize(
    ("exit", "message"),
    [
        ({"exit_code": None, "signal": 9}, "The training process was ended by signal 9"),
        ({}, "The training process is gone and left no record of its end"),
    ],
)
def test_an_end_without_an_exit_code_is_told_in_words(api, state, exit, message):
    task = ended(state, started(state, stored(state)), Status.STOPPED, exit)
    told = wire.TaskEvents.model_validate(api.data("getTaskEvents", id=task.id))
    assert (told.events[-1].type, told.events[-1].message) == ("exited", message)


def test_the_words_are_in_the_language_that_the_query_asks_for(api, task):
    for event in api.data("getTaskEvents", id=task.id, lang="zh")["events"]:
        assert any("\u4e00" <= character <= "\u9fff" for character in event["message"]), event
        assert "{" not in event["message"]


def test_a_reader_goes_on_after_the_last_event(api, task, monkeypatch):
    all_of_them = api.data("getTaskEvents", id=task.id, after="")["events"]
    monkeypatch.setattr(task_events, "AT_MOST", 5)
    read, after = [], 0
    while True:
        page = api.data("getTaskEvents", id=task.id, after=after)
        read += page["events"]
        if not page["truncated"]:
            break
        assert len(page["events"]) == 5
        after = page["events"][-1]["id"]
    assert read == all_of_them
    assert api.data("getTaskEvents", id=task.id, after=2**62)["events"] == []


def test_of_a_task_that_is_not_there_nothing_is_told(api):
    assert api.get("getTaskEvents", id=5).status_code == 404
    assert api.get("getTaskEvents", id=5, after=-1).status_code == 422
    assert api.get("getTaskEvents").status_code == 422
