import json
from pathlib import Path

import pytest
import typer

from tests.unit.answers import Routes, refusal, success, task_answer
from tunesmith.cli.request import build_request
from tunesmith.errors import InvalidInput, Refused

NOTHING = {
    "name": None,
    "base_model": None,
    "dataset": None,
    "output": None,
    "description": None,
    "settings": None,
    "gpu": None,
    "memory_optimization": None,
    "max_memory_gib": None,
}


def build(file: Path | None = None, **options) -> dict:
    return build_request(file, **(NOTHING | options))


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(here: Path, text: str, name: str = "task.yaml") -> Path:
    (here / name).write_text(text, encoding="utf-8")
    return here / name


def test_options_alone_make_a_request_with_absolute_paths(here):
    (here / "smol").mkdir()
    assert build(
        base_model="smol",
        dataset="./persona",
        output="../out",
        settings=["learning_rate=1e-4", "lora_target_modules=q_proj,v_proj"],
        gpu="0,1",
        memory_optimization=True,
        max_memory_gib=8.0,
    ) == {
        "baseModel": str(here / "smol"),
        "datasetPath": str(here / "persona"),
        "outputPath": str(here.parent / "out"),
        "name": "persona",
        "trainingArgs": {"learning_rate": "1e-4", "lora_target_modules": "q_proj,v_proj"},
        "gpuConfig": {
            "cuda_visible_devices": "0,1",
            "memory_optimization": True,
            "max_memory_gib": 8.0,
        },
    }


def test_a_base_model_that_is_not_here_stays_a_name_of_the_server(here):
    assert build(base_model="smol")["baseModel"] == "smol"
    assert build(base_model="./models/smol")["baseModel"] == str(here / "models" / "smol")
    assert build(base_model="a/b/smol")["baseModel"] == str(here / "a" / "b" / "smol")
    assert build(base_model="~/smol")["baseModel"] == str(Path.home() / "smol")


def test_a_hub_id_stays_one_unless_there_is_such_a_directory(here):
    assert build(base_model="Qwen/Qwen2-7B@main")["baseModel"] == "Qwen/Qwen2-7B@main"
    (here / "Qwen" / "Qwen2-7B").mkdir(parents=True)
    assert build(base_model="Qwen/Qwen2-7B")["baseModel"] == str(here / "Qwen" / "Qwen2-7B")


def test_a_file_may_use_wire_or_python_names_and_options_win(here):
    python = written(
        here,
        "name: 人设\nbase_model: /m\ndataset_path: data.jsonl\n"
        "training_args: {batch_size: 8, learning_rate: 2e-4, seed: 1}\n"
        "gpu_config: {memory_optimization: true}\n",
    )
    wire = written(
        here,
        json.dumps(
            {
                "name": "人设",
                "baseModel": "/m",
                "datasetPath": "data.jsonl",
                "trainingArgs": {"batch_size": 8, "learning_rate": "2e-4", "seed": 1},
                "gpuConfig": {"memory_optimization": True},
            },
            indent="\t",
        ),
        "task.json",
    )
    flags = {"settings": ["per_device_train_batch_size=2"], "memory_optimization": False}
    expected = {
        "name": "人设",
        "baseModel": "/m",
        "datasetPath": str(here / "data.jsonl"),
        # The short name of the file and the long one of the option are the same argument.
        "trainingArgs": {
            "learning_rate": "2e-4",
            "seed": 1,
            "per_device_train_batch_size": "2",
        },
        "gpuConfig": {"memory_optimization": False},
    }
    assert build(python, **flags) == build(wire, **flags) == expected


def test_unknown_names_are_left_for_the_one_who_refuses_them(here):
    assert build(written(here, "nmae: x"))["nmae"] == "x"


@pytest.mark.parametrize("text", ["a: [", "\x00"])
def test_a_file_that_cannot_be_read_is_named(here, text):
    with pytest.raises(Refused) as refused:
        build(written(here, text))
    assert "task.yaml" in str(refused.value)


def test_a_missing_file_is_named(here):
    with pytest.raises(Refused) as refused:
        build(here / "none.yaml")
    assert "none.yaml" in str(refused.value)


@pytest.mark.parametrize("text", ["", "- a", "training_args: 3"])
def test_what_is_no_mapping_is_refused(here, text):
    with pytest.raises(InvalidInput):
        build(written(here, text), settings=["seed=1"])


@pytest.mark.parametrize("text", ["seed", "=1"])
def test_a_set_without_name_or_value_is_wrong_usage(text):
    with pytest.raises(typer.BadParameter):
        build(settings=[text])


def test_submit_sends_the_request_and_prints_the_task(run, here):
    routes = Routes(createTask=lambda request: success(task_answer(9)))
    done = run("submit", "--base-model", "/m", "--dataset", "d", "--json", routes=routes)
    assert done.exit_code == 0 and json.loads(done.stdout)["ID"] == 9
    assert json.loads(routes.requests[0].content) == {
        "name": "d",
        "baseModel": "/m",
        "datasetPath": str(here / "d"),
    }
    assert "Task 9 is created" in run("submit", "--name", "n", routes=routes).stdout


def test_submit_shows_every_field_that_the_server_refuses(run):
    problems = [
        {"field": "baseModel", "message": "is required", "type": "missing"},
        {"field": "datasetPath", "message": "does not exist", "type": "dataset_missing"},
    ]
    routes = Routes(createTask=lambda request: refusal(422, "bad", {"errors": problems}))
    done = run("submit", "--name", "n", routes=routes)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[1:] == [
        "  baseModel: is required",
        "  datasetPath: does not exist",
    ]


def test_a_nan_of_a_yaml_file_reaches_the_server_that_refuses_it(run, here):
    file = written(here, "name: 2026-01-01\ntraining_args: {learning_rate: .nan}\n")
    routes = Routes(createTask=lambda request: success(task_answer()))
    assert run("submit", "--file", str(file), routes=routes).exit_code == 0
    assert b"NaN" in routes.requests[0].content
