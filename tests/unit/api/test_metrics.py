import pytest

from tests.unit.api.parts import reported, started, stored
from tunesmith import wire
from tunesmith.api.metrics import thinned
from tunesmith.events import Evaluation, Metrics
from tunesmith.status import Status
from tunesmith.store import StoredEvent


def metrics(step: int, loss: float = 1.0, grad_norm: float = 1.0) -> Metrics:
    return Metrics(
        step=step, epoch=step / 10, loss=loss, learning_rate=1e-4, grad_norm=grad_norm,
        tokens_per_second=100.0, eta_seconds=1.0,
    )  # fmt: skip


def series(losses, norms=None) -> list[StoredEvent]:
    norms = norms or [1.0] * len(losses)
    return [
        StoredEvent(step, 1, 1, 0.0, "metrics", {"step": step, "loss": loss, "grad_norm": norm})
        for step, (loss, norm) in enumerate(zip(losses, norms, strict=True), 1)
    ]


def test_the_curves_hold_training_and_evaluation_points(api, state):
    task = started(state, stored(state))
    evaluation = Evaluation(step=2, epoch=0.2, eval_loss=0.5, token_accuracy=0.9, seconds=1.0)
    reported(state, task, metrics(1), metrics(2, loss=0.7), evaluation, metrics(3))
    data = api.data("getTaskMetrics", id=task.id)
    read = wire.Metrics.model_validate(data)
    assert [point.step for point in read.training] == [1, 2, 3]
    assert data["training"][1]["loss"] == 0.7
    assert data["training"][1]["learning_rate"] == 1e-4
    assert data["training"][1]["tokens_per_second"] == 100.0
    assert data["training"][1]["attempt"] == 1
    assert data["evaluation"][0]["eval_loss"] == 0.5
    assert data["evaluation"][0]["token_accuracy"] == 0.9
    assert data["total"] == 3
    assert data["lastEventId"] == state.store.last_event_id(task.id)


def test_a_task_without_metrics_has_empty_curves(api, state):
    data = api.data("getTaskMetrics", id=stored(state).id, maxPoints="")
    assert (data["training"], data["evaluation"], data["total"]) == ([], [], 0)


def test_what_the_curves_of_the_last_attempt_say_comes_in_words(api, state):
    task = started(state, stored(state))
    assert api.data("getTaskMetrics", id=task.id)["convergence"] is None
    reported(state, task, *(metrics(step, loss=3 - step / 100) for step in range(100)))
    data = api.data("getTaskMetrics", id=task.id, maxPoints=10)
    found = wire.Metrics.model_validate(data).convergence
    assert found.code == "falling"
    assert found.message.startswith("The loss is still falling (lately from 2.")
    again = started(state, state.store.set_status(state.store.task(task.id), Status.PENDING))
    reported(state, again, metrics(1))
    data = api.data("getTaskMetrics", id=task.id, lang="zh")
    assert data["convergence"]["params"] == {"points": 1}
    assert data["convergence"]["message"].startswith("曲线还太短（1 个点）")


def test_the_server_thins_and_says_how_many_there_are(api, state):
    task = started(state, stored(state))
    reported(state, task, *(metrics(step) for step in range(1, 501)))
    data = api.data("getTaskMetrics", id=task.id, maxPoints=50)
    steps = [point["step"] for point in data["training"]]
    assert data["total"] == 500
    assert len(steps) <= 50
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (1, 500)


@pytest.mark.parametrize(
    ("asked", "steps", "evaluations"),
    [
        ({"fromStep": 4}, [4, 5, 6], [4, 6]),
        ({"toStep": 2}, [1, 2], [2]),
        ({"fromStep": 3, "toStep": "4"}, [3, 4], [4]),
        ({"fromStep": 5, "toStep": 4}, [], []),
        ({"fromStep": 10**30}, [], []),
        ({"fromStep": "", "toStep": ""}, [1, 2, 3, 4, 5, 6], [2, 4, 6]),
    ],
)
def test_some_steps_may_be_asked_for(api, state, asked, steps, evaluations):
    task = started(state, stored(state))
    for step in range(1, 7):
        reported(state, task, metrics(step))
        if step % 2 == 0:
            reported(
                state,
                task,
                Evaluation(step=step, epoch=0.2, eval_loss=0.5, token_accuracy=0.9, seconds=1.0),
            )
    data = api.data("getTaskMetrics", id=task.id, **asked)
    assert [point["step"] for point in data["training"]] == steps
    assert [point["step"] for point in data["evaluation"]] == evaluations
    assert data["total"] == len(steps)
    assert data["lastEventId"] == state.store.last_event_id(task.id)
    assert (data["convergence"] is None) == any(asked.values())


def test_some_steps_are_thinned_among_themselves(api, state):
    task = started(state, stored(state))
    reported(state, task, *(metrics(step) for step in range(1, 501)))
    data = api.data("getTaskMetrics", id=task.id, fromStep=201, toStep=210, maxPoints=10)
    assert [point["step"] for point in data["training"]] == list(range(201, 211))


@pytest.mark.parametrize("name", ["fromStep", "toStep"])
@pytest.mark.parametrize("value", ["-1", "1.5", "all"])
def test_a_wrong_step_is_named(api, state, name, value):
    response = api.get("getTaskMetrics", id=stored(state).id, **{name: value})
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["field"] == name


@pytest.mark.parametrize("value", ["9", "0", "-1", "many"])
def test_a_wrong_number_of_points_is_named(api, state, value):
    response = api.get("getTaskMetrics", id=stored(state).id, maxPoints=value)
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["field"] == "maxPoints"


@pytest.mark.parametrize("length", [11, 12, 13, 37, 1000])
@pytest.mark.parametrize("at_most", [10, 11, 12, 30, 999])
def test_thinning_keeps_first_last_and_every_extreme_within_its_limit(length, at_most):
    losses = [1.0 + 0.001 * step for step in range(length)]
    norms = [1.0] * length
    losses[length // 2] = 50.0  # a spike of one step
    losses[length // 3] = -5.0
    norms[2 * length // 3] = 900.0
    kept = thinned(series(losses, norms), at_most)
    assert len(kept) <= max(at_most, 0)
    found = [event.data["loss"] for event in kept]
    assert found[0] == losses[0]
    assert found[-1] == losses[-1]
    assert {50.0, -5.0} <= set(found)
    assert 900.0 in [event.data["grad_norm"] for event in kept]
    assert [event.id for event in kept] == sorted(event.id for event in kept)


def test_few_points_are_left_as_they_are():
    events = series([3.0, 2.0, 1.0])
    assert thinned(events, 10) == events
    assert thinned(events, None) == events


def test_a_loss_that_was_no_number_is_an_extreme():
    losses = [1.0] * 100
    events = series(losses)
    events[40].data.pop("loss")
    assert events[40] in thinned(events, 10)
