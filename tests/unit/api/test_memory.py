"""planMemory and getMemoryHistory."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.unit.api.parts import Api
from tests.unit.memory_plan.test_advise import run
from tunesmith.api.state import ServerState

PATH = "/finetuning/planMemory"


def ask(api: Api, **body: Any) -> Any:
    response = api("POST", PATH, json=body)
    assert response.status_code == 200, response.text
    return response.json()["data"]


def test_a_catalogue_model_is_planned_and_told_what_would_fit(api: Api) -> None:
    found = ask(api, baseModel="LLaMA 2-7B", deviceMemoryGib=12)
    assert found["mode"] == "formula" and found["deviceType"] == "cuda"
    assert found["fits"] is False and found["needed"] > 12 * 2**30
    assert found["changes"][-1]["arguments"]["method"] == "qlora"
    roomy = ask(api, baseModel="LLaMA 2-7B", deviceMemoryGib=80)
    assert roomy["fits"] is True and roomy["changes"] == []
    # auto: on where it would not fit without.
    assert found["gradientCheckpointing"] is True and roomy["gradientCheckpointing"] is False


def test_a_divided_run_is_told(api: Api) -> None:
    body = {"baseModel": "LLaMA 2-7B", "deviceMemoryGib": 80, "trainingArgs": {"method": "full"}}
    assert ask(api, **body)["sharded"] is False
    four = ask(api, **body, devices=4)
    assert (four["sharded"], four["fits"]) == (True, True)


def test_a_trace_is_made_by_a_process_of_its_own(api: Api, tmp_path: Path) -> None:
    from tests.unit.trainer.test_memory_trace import CONFIG

    model = tmp_path / "a model 模型"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(CONFIG))
    arguments = {"dtype": "fp32", "per_device_train_batch_size": 2, "max_seq_length": 128}
    body = {"baseModel": str(model), "trainingArgs": arguments, "deviceType": "cpu"}
    traced, quick = ask(api, **body, mode="trace"), ask(api, **body)
    assert (traced["mode"], quick["mode"]) == ("trace", "formula")
    assert traced["parameters"] == quick["parameters"]
    assert 0.3 < traced["peak"] / quick["peak"] < 2


def test_a_base_model_that_is_empty_is_told_so(api: Api) -> None:
    for name in ("", " "):
        error = api("POST", PATH, json={"baseModel": name}).json()["data"]["errors"][0]
        assert (error["field"], error["message"]) == ("baseModel", "must not be empty")


def test_models_that_cannot_be_planned_are_refused(api: Api) -> None:
    for name in ("nobody/nothing", "/etc"):
        response = api("POST", PATH, json={"baseModel": name})
        assert response.status_code == 422
        assert response.json()["data"]["errors"][0]["field"] == "baseModel"


def test_past_runs_correct_the_next_plan(api: Api, state: ServerState) -> None:
    before = ask(api, baseModel="LLaMA 2-7B", deviceType="cpu")
    ended = replace(run(1000, 1200), family="llama2")
    state.store.add_memory_run(ended)
    state.store.add_memory_run(replace(ended, measured=9999))  # of the same attempt: counts once
    history = api("GET", "/finetuning/getMemoryHistory").json()["data"]
    assert [(each["planned"], each["measured"]) for each in history] == [(1000, 1200)]
    after = ask(api, baseModel="LLaMA 2-7B", deviceType="cpu")
    assert after["ratio"] == 1.2
    assert after["peak"] == round(1.2 * before["peak"])
