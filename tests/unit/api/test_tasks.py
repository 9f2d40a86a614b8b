import threading
from pathlib import Path

import pytest

from tests.unit.api.parts import reported, started, stored, wait_until
from tunesmith import wire
from tunesmith.events import Metrics
from tunesmith.status import Status


def create(api, body, **changes):
    return api("POST", "/finetuning/createTask", json=body | changes)


def test_a_created_task_is_answered_whole_and_the_daemon_woken(api, state, body):
    response = create(api, body, trainingArgs={"batch_size": "2", "max_steps": 5})
    assert response.status_code == 200
    envelope = response.json()
    assert (envelope["code"], envelope["msg"]) == (0, "ok")
    task = envelope["data"]
    assert task["ID"] == 1
    assert task["status"] == "pending"
    assert task["outputPath"] == str(state.settings.outputs_dir / "1")
    assert task["trainingArgs"]["per_device_train_batch_size"] == 2
    assert task["trainingArgs"]["lora_r"] == 16
    assert "batch_size" not in task["trainingArgs"]
    assert task["givenArgs"] == ["max_steps", "per_device_train_batch_size"]
    assert task["gpuConfig"] == {
        "cuda_visible_devices": "",
        "memory_optimization": False,
        "max_memory_gib": None,
    }
    assert state.daemon.woken == 1


def test_every_field_of_the_contract_is_in_the_answer(api, body):
    task = create(api, body).json()["data"]
    contract = (
        "ID CreatedAt UpdatedAt name description userID status progress baseModel datasetPath "
        "outputPath trainingArgs gpuConfig metrics command logPath errorMessage startedAt "
        "finishedAt pid phase step totalSteps epoch elapsedSeconds etaSeconds tokensPerSecond "
        "queueReason error"
    )
    assert set(contract.split()) <= set(task)
    assert task["CreatedAt"].endswith("Z")


def test_empty_strings_in_the_body_mean_not_given(api, body):
    response = create(api, body, outputPath="", command="", description="", trainingArgs={})
    assert response.status_code == 200
    assert response.json()["data"]["description"] is None


def test_every_wrong_field_is_named(api, body):
    response = create(api, body, trainingArgs={"lora_r": 0, "lerning_rate": 1}, name="")
    assert response.status_code == 422
    answer = response.json()
    assert answer["code"] == 422
    errors = {error["field"]: error for error in answer["data"]["errors"]}
    assert errors["name"]["type"] == "missing"
    assert errors["trainingArgs.lora_r"]["message"] == "must be at least 1"
    assert "learning_rate" in errors["trainingArgs.lerning_rate"]["message"]
    assert "trainingArgs.lora_r: must be at least 1" in answer["msg"]


def test_a_missing_data_set_is_refused_and_leaves_nothing(api, body):
    response = create(api, body, datasetPath=body["datasetPath"] + "/none")
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["field"] == "datasetPath"
    assert api.data("getTaskList")["total"] == 0


def test_a_split_beside_other_files_is_refused_at_its_own_field(api, body):
    (Path(body["datasetPath"]) / "valid.jsonl").touch()
    response = create(api, body, trainingArgs={"split": {"train": 0.9, "validation": 0.1}})
    (error,) = response.json()["data"]["errors"]
    assert (error["field"], error["type"]) == ("trainingArgs.split", "dataset_has_splits")


def test_a_bad_row_is_refused_unless_it_is_to_be_skipped(api, body):
    with (Path(body["datasetPath"]) / "train.jsonl").open("a") as data:
        data.write("{\n")
    (error,) = create(api, body).json()["data"]["errors"]
    assert (error["field"], error["type"]) == ("datasetPath", "bad_row")
    assert error["message"].startswith("train.jsonl, line 2: ")
    assert create(api, body, trainingArgs={"on_bad_rows": "skip"}).status_code == 200


def test_a_command_is_refused(api, body):
    response = create(api, body, command="rm -rf /")
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["type"] == "command_refused"


def test_an_output_path_that_another_task_holds_is_a_conflict(api, body, tmp_path):
    output = str(tmp_path / "out")
    assert create(api, body, outputPath=output).status_code == 200
    response = create(api, body, outputPath=output)
    assert response.status_code == 409
    assert response.json()["data"] is None


def test_a_task_is_read_by_its_id(api, state):
    task = stored(state, "mine")
    assert api.data("getTask", id=task.id)["name"] == "mine"
    assert api.data("getTask", id=str(task.id))["ID"] == task.id


@pytest.mark.parametrize("id", ["7", "0", "-1", "99999999999999999999999999"])
def test_an_unknown_id_is_not_found(api, id):
    for name in ("getTask", "getTaskLog", "getTaskMetrics", "streamTask", "streamTaskLog"):
        response = api.get(name, id=id)
        assert response.status_code == 404, name
        assert response.json() == {"code": 404, "data": None, "msg": f"There is no task {id}"}


def test_an_id_that_is_missing_or_no_number_is_wrong_input(api):
    assert api.get("getTask").json()["data"]["errors"][0]["type"] == "missing"
    assert api.get("getTask", id="").json()["data"]["errors"][0]["type"] == "missing"
    response = api.get("getTask", id="first")
    assert response.status_code == 422
    assert response.json()["data"]["errors"] == [
        {"field": "id", "message": "must be a whole number", "type": "int_parsing"}
    ]


@pytest.mark.parametrize(
    "ways",
    [
        {"params": {"id": 1}},
        {"json": {"id": 1}},
        {"json": {"ID": "1"}},
        {"params": {"id": ""}, "json": {"id": 1}},
    ],
)
def test_a_pending_task_is_stopped_by_query_or_body(api, state, ways):
    stored(state)
    response = api("POST", "/finetuning/stopTask", **ways)
    assert response.status_code == 200
    assert response.json()["data"]["status"] == "stopped"
    assert state.daemon.woken == 1


def test_stopping_without_an_id_is_wrong_input(api):
    for options in ({}, {"json": {}}, {"json": {"id": None}}):
        response = api("POST", "/finetuning/stopTask", **options)
        assert response.status_code == 422
        assert response.json()["data"]["errors"][0]["field"] == "id"


def test_stopping_an_ended_task_is_a_conflict(api, state):
    task = stored(state)
    assert api("POST", "/finetuning/stopTask", params={"id": task.id}).status_code == 200
    response = api("POST", "/finetuning/stopTask", params={"id": task.id})
    assert response.status_code == 409
    assert "stopped" in response.json()["msg"]


def test_a_running_task_goes_on_until_it_has_saved(api, state):
    task = started(state, stored(state))
    for _ in range(2):
        response = api("POST", "/finetuning/stopTask", params={"id": task.id})
        data = response.json()["data"]
        assert (data["status"], data["phase"]) == ("running", "stopping")


def test_delete_answers_when_the_task_is_gone(api, state):
    task = stored(state)

    def clear() -> None:
        wait_until(lambda: state.daemon.woken == 1)
        assert state.store.exists(task.id)
        state.store.remove(task.id)
        state.changes.publish()

    daemon = threading.Thread(target=clear)
    daemon.start()
    response = api("DELETE", "/finetuning/deleteTask", params={"id": task.id})
    daemon.join()
    assert response.status_code == 200
    assert response.json() == {"code": 0, "data": None, "msg": "ok"}
    assert not state.store.exists(task.id)
    assert api("DELETE", "/finetuning/deleteTask", params={"id": task.id}).status_code == 404


def test_delete_of_an_unknown_task_is_not_found(api):
    assert api("DELETE", "/finetuning/deleteTask", json={"id": 5}).status_code == 404


def test_delete_does_not_outlast_the_server(api, state):
    state.closing.set()
    task = stored(state)
    assert api("DELETE", "/finetuning/deleteTask", params={"id": task.id}).status_code == 200


def test_the_list_is_paged_newest_first(api, state):
    for number in range(12):
        stored(state, f"task {number}")
    page = api.data("getTaskList")
    assert (page["total"], page["page"], page["pageSize"]) == (12, 1, 10)
    assert [task["ID"] for task in page["list"]] == list(range(12, 2, -1))
    page = api.data("getTaskList", page=2, pageSize=5)
    assert [task["ID"] for task in page["list"]] == [7, 6, 5, 4, 3]


def test_the_list_is_filtered_and_ordered(api, state):
    for name in ("b 10%", "a 100", "c"):
        stored(state, name)
    stopped = stored(state, "d", base_model="/models/Qwen")
    state.store.set_status(stopped, Status.STOPPED)
    named = api.data("getTaskList", keyword="10%")
    assert [task["name"] for task in named["list"]] == ["b 10%"]
    assert api.data("getTaskList", status="stopped")["total"] == 1
    assert api.data("getTaskList", baseModel="qwen")["total"] == 1
    assert api.data("getTaskList", name="C")["total"] == 1
    ordered = api.data("getTaskList", orderKey="name", desc="true", status="pending")
    assert [task["name"] for task in ordered["list"]] == ["c", "b 10%", "a 100"]


def test_empty_and_unknown_query_values_mean_not_given(api, state):
    stored(state)
    empty = dict.fromkeys(
        ("page", "pageSize", "keyword", "name", "status", "baseModel", "orderKey", "desc"), ""
    )
    assert api.data("getTaskList", **empty, _t="123")["total"] == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"page": 0}, "page"),
        ({"pageSize": 0}, "pageSize"),
        ({"pageSize": 1001}, "pageSize"),
        ({"page": "x"}, "page"),
        ({"status": "sleeping"}, "status"),
        ({"orderKey": "password"}, "orderKey"),
        ({"desc": "perhaps"}, "desc"),
        ({"name": "a\0b"}, "name"),
    ],
)
def test_a_wrong_list_query_is_named(api, query, field):
    response = api.get("getTaskList", **query)
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["field"] == field


def test_a_wrong_order_key_names_the_allowed_ones(api):
    message = api.get("getTaskList", orderKey="x").json()["msg"]
    assert "CreatedAt" in message
    assert "baseModel" in message


def test_a_page_far_behind_the_end_is_empty(api, state):
    stored(state)
    page = api.data("getTaskList", page=10**30)
    assert page["list"] == []
    assert page["total"] == 1


def test_answers_are_what_the_client_reads(api, state):
    task = started(state, stored(state))
    metrics = Metrics(
        step=1, epoch=0.1, loss=2.5, learning_rate=1e-4, grad_norm=1.0, tokens_per_second=9.0,
        eta_seconds=60.0,
    )  # fmt: skip
    reported(state, task, metrics, metrics={"loss": 2.5}, step=1, total_steps=10)
    shown = wire.Task.model_validate(api.data("getTask", id=task.id))
    assert shown.metrics == {"loss": 2.5}
    assert shown.progress == 10
    assert shown.started_at == 1000
    assert shown.last_event_id == state.store.last_event_id(task.id)
    assert wire.TaskPage.model_validate(api.data("getTaskList")).items[0].id == task.id
