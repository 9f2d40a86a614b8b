import pytest

from tests.unit.api.parts import reported, started, stored
from tests.unit.api.test_metrics import metrics
from tunesmith import wire


def test_an_empty_server_has_no_tasks(api):
    assert api.data("getTaskStatistics") == {
        "total": 0,
        "byStatus": {"pending": 0, "running": 0, "completed": 0, "failed": 0, "stopped": 0},
        "baseModels": [],
    }


def test_tasks_are_counted_by_status_without_deleted_ones(api, state):
    started(state, stored(state))
    stored(state)
    state.store.update(stored(state), delete_requested_at=1.0)
    statistics = wire.TaskStatistics.model_validate(api.data("getTaskStatistics"))
    assert statistics.total == 2
    assert (statistics.by_status.running, statistics.by_status.pending) == (1, 1)
    assert statistics.base_models == ["/m"]


def test_sparklines_come_in_the_order_that_was_asked_for(api, state):
    first, second = started(state, stored(state)), stored(state)
    reported(state, first, *(metrics(step, loss=100.0 - step) for step in range(100)))
    ids = f" {second.id}, {first.id},,{first.id},77"
    empty, drawn = api.data("getTaskSparklines", ids=ids, points=10)
    assert empty == {"id": second.id, "loss": [], "evalLoss": []}
    assert drawn["id"] == first.id
    assert (len(drawn["loss"]), drawn["loss"][0], drawn["loss"][-1]) == (10, 100.0, 1.0)
    assert api.data("getTaskSparklines") == api.data("getTaskSparklines", ids=",") == []
    assert len(api.data("getTaskSparklines", ids=first.id, points="")[0]["loss"]) == 30


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"ids": "1,x"}, "ids"),
        ({"ids": "-1"}, "ids"),
        ({"ids": "٣"}, "ids"),
        ({"ids": ",".join(map(str, range(101)))}, "ids"),
        ({"ids": "1" * 5000}, "ids"),
        ({"ids": "1", "points": 1}, "points"),
        ({"ids": "1", "points": 61}, "points"),
    ],
)
def test_a_wrong_question_names_its_field(api, query, field):
    response = api.get("getTaskSparklines", **query)
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["field"] == field
