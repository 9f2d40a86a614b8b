"""checkTask: what createTask would say, and nothing left behind."""

import json
import shlex

import pytest
import typer
from typer.testing import CliRunner

from tunesmith import tasks, wire
from tunesmith.api.submit_line import submit_line
from tunesmith.cli.submit import submit
from tunesmith.dataset import check as check_data
from tunesmith.request_problems import read_request


def check(api, body):
    return api("POST", "/finetuning/checkTask", json=body)


def test_a_request_is_checked_and_nothing_is_created(api, state, body):
    body["trainingArgs"] = {"batch_size": 16, "lora_r": None, "method": "lora"}
    response = check(api, body)
    checked = wire.CheckedTask.model_validate(response.json()["data"])
    arguments = {"per_device_train_batch_size": 16, "method": "lora"}
    assert checked.request == {**body, "trainingArgs": arguments}
    assert checked.training_args["per_device_train_batch_size"] == 16
    assert checked.training_args["learning_rate"] == 2e-4
    assert [each.field for each in checked.warnings] == [
        "trainingArgs.per_device_train_batch_size", "datasetPath"
    ]  # fmt: skip
    assert checked.warnings[0].message == "16 is outside the recommended range 1 to 8"
    assert state.store.counts() == dict.fromkeys(state.store.counts(), 0)
    assert state.daemon.woken == 0
    assert api("POST", "/finetuning/createTask", json=checked.request).status_code == 200


def test_it_refuses_what_creation_refuses_in_the_same_words(api, body):
    wrong = [
        {**body, "name": ""},
        {**body, "datasetPath": "/etc/passwd"},
        {**body, "baseModel": "relative/path/of/model"},
        {**body, "trainingArgs": {"lora_r": 0, "nothing": 1}},
        {**body, "gpuConfig": {"cuda_visible_devices": "7"}},
        {},
    ]
    for each in wrong:
        checked, created = check(api, each), api("POST", "/finetuning/createTask", json=each)
        assert checked.status_code == created.status_code == 422
        assert checked.json() == created.json()


def test_an_output_path_of_another_task_is_not_claimed(api, body, tmp_path):
    body["outputPath"] = str(tmp_path / "out")
    for _ in range(2):
        assert check(api, body).status_code == 200
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"name": 'it\'s "mine" $HOME `x`', "description": "two\nlines"},
        {"name": "-dash", "description": "--also"},
        {"outputPath": "/out put/x"},
        {"trainingArgs": {"learning_rate": 2e-5, "use_dora": True, "max_steps": 20}},
        {"trainingArgs": {"lora_target_modules": ["q_proj", "v_proj"], "split": "0.8,0.1,0.1"}},
        {"trainingArgs": {"gradient_checkpointing": "auto", "method": "qlora"}},
        {"trainingArgs": {"gradient_checkpointing": False, "quantization_bits": 8}},
        {"trainingArgs": {"system_prompt": "你是 = 'Tunesmith'"}},
        {"gpuConfig": {"cuda_visible_devices": "0,1", "max_memory_gib": 20.5}},
        {"gpuConfig": {"memory_optimization": False}},
        {"gpuConfig": {"memory_optimization": True, "cuda_visible_devices": ""}},
    ],
)
def test_the_shell_line_creates_the_same_task(extra, monkeypatch):
    request = read_request({"name": "n", "baseModel": "/m", "datasetPath": "/d", **extra})
    body = json.loads(request.model_dump_json(by_alias=True, exclude_unset=True))
    program, command, *arguments = shlex.split(submit_line(body))
    assert (program, command) == ("tunesmith", "submit")
    assert read_request(read_by_the_command_line(arguments, monkeypatch)) == request


def test_the_line_has_whole_numbers_as_they_are_typed():
    arguments = {"num_train_epochs": 3.0, "learning_rate": 2e-05, "lora_r": 8}
    line = submit_line({"trainingArgs": arguments, "gpuConfig": {"max_memory_gib": 20.0}})
    assert "--set num_train_epochs=3 --set learning_rate=2e-05 --set lora_r=8" in line
    assert "--max-memory-gib 20" in line and "20.0" not in line


def read_by_the_command_line(arguments, monkeypatch):
    sent = {}

    class Sent:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def create_task_from(self, request):
            sent.update(request)
            raise typer.Exit(0)

    monkeypatch.setattr("tunesmith.client.Client", Sent)
    app = typer.Typer()
    app.command()(submit)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return sent


def test_data_is_read_again_only_when_it_has_changed(api, body, monkeypatch, tmp_path):
    read = []

    def counted(dataset, *arguments):
        read.append(dataset.path)
        return check_data(dataset, *arguments)

    monkeypatch.setattr(tasks, "check", counted)
    for name in ("a", "b", "c"):
        assert check(api, {**body, "name": name}).status_code == 200
    assert api("POST", "/finetuning/createTask", json=body).status_code == 200
    assert len(read) == 1
    assert check(api, {**body, "trainingArgs": {"on_bad_rows": "skip"}}).status_code == 200
    assert len(read) == 2
    file = tmp_path / "data set" / "train.jsonl"
    file.write_text(file.read_text() + "no row\n")
    refused = check(api, body).json()["data"]["errors"]
    assert [(each["field"], each["type"]) for each in refused] == [("datasetPath", "bad_row")]
    (tmp_path / "data set" / "valid.jsonl").write_text("no row\n")
    file.write_text(file.read_text().removesuffix("no row\n"))
    assert check(api, body).status_code == 422
