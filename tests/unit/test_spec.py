import pytest

from tests.specs import make_spec
from tunesmith.errors import InvalidInput
from tunesmith.messages import catalogue
from tunesmith.request_problems import read_request
from tunesmith.spec import (
    GpuConfig,
    Spec,
    TrainingArguments,
    parse_devices,
)
from tunesmith.training_schema import training_schema

GOOD = {"name": "a", "baseModel": "/m", "datasetPath": "/d"}


def problems(**changes):
    with pytest.raises(InvalidInput) as refused:
        read_request(GOOD | changes)
    return {problem.field: problem for problem in refused.value.problems}


def test_defaults_are_the_specifications():
    arguments = TrainingArguments()
    assert (arguments.num_train_epochs, arguments.per_device_train_batch_size) == (3, 4)
    assert (arguments.gradient_accumulation_steps, arguments.learning_rate) == (1, 2e-4)
    assert (arguments.warmup_steps, arguments.logging_steps) == (100, 10)
    assert (arguments.save_steps, arguments.max_seq_length) == (500, 512)


def test_numbers_may_arrive_as_text():
    request = read_request(GOOD | {"trainingArgs": {"learning_rate": "1e-4", "lora_r": "8"}})
    assert (request.training_args.learning_rate, request.training_args.lora_r) == (1e-4, 8)


def test_short_names_of_consoles_are_understood():
    request = read_request(GOOD | {"trainingArgs": {"batch_size": 2, "max_steps": -1}})
    assert request.training_args.per_device_train_batch_size == 2
    assert "per_device_train_batch_size" in request.training_args.model_fields_set


def test_a_short_name_and_its_full_name_must_agree():
    found = problems(trainingArgs={"batch_size": 2, "per_device_train_batch_size": 4})
    assert found["trainingArgs"].code == "field.alias_conflict"


@pytest.mark.parametrize("empty", ["", None])
def test_empty_values_mean_not_given(empty):
    request = read_request(
        GOOD
        | {
            "outputPath": empty,
            "command": empty,
            "description": empty,
            "trainingArgs": {"warmup_ratio": empty, "lora_r": empty},
            "gpuConfig": {"max_memory_gib": empty, "cuda_visible_devices": empty},
        }
    )
    assert request.output_path is None and request.command is None
    assert request.training_args == TrainingArguments() and request.gpu_config == GpuConfig()
    assert request.training_args.model_fields_set == set()


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    found = problems(trainingArgs={"learning_rat": 1}, basemodel="/m", gpuConfig={"cuda": "0"})
    assert found["trainingArgs.learning_rat"].params["nearest"] == "learning_rate"
    assert found["basemodel"].params["nearest"] == "baseModel"
    assert found["gpuConfig.cuda"].code.startswith("field.unknown_name")


def test_a_name_of_another_tool_is_refused_with_ours():
    found = problems(trainingArgs={"lr": 1, "cutoff_len": 512})
    assert found["trainingArgs.lr"].params["nearest"] == "learning_rate"
    assert found["trainingArgs.cutoff_len"].params["nearest"] == "max_seq_length"


def test_every_wrong_field_is_named_at_once():
    found = problems(
        name="", trainingArgs={"learning_rate": -1, "lora_r": "many", "max_steps": 0, "seed": True}
    )
    assert found.keys() == {
        "name",
        "trainingArgs.learning_rate",
        "trainingArgs.lora_r",
        "trainingArgs.max_steps",
        "trainingArgs.seed",
    }
    assert {problem.code for problem in found.values()} <= catalogue("zh").keys()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan"])
def test_numbers_must_be_finite(value):
    assert "trainingArgs.learning_rate" in problems(trainingArgs={"learning_rate": value})


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
def test_text_that_no_file_system_takes_is_refused(text):
    assert "datasetPath" in problems(datasetPath=text)


def test_a_command_is_refused():
    assert problems(command="rm -rf /")["command"].code == "field.command_refused"


@pytest.mark.parametrize("body", [[], "text", 3])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(InvalidInput) as refused:
        read_request(body)
    assert refused.value.problems[0].code in catalogue("en")


@pytest.mark.parametrize(
    ("text", "indices"),
    [("", ()), ("0", (0,)), (" 0, 1 ", (0, 1)), ("0-2", (0, 1, 2)), ("1,1", (1,))],
)
def test_device_lists(text, indices):
    assert parse_devices(text) == indices
    assert GpuConfig(cuda_visible_devices=text).devices == indices


@pytest.mark.parametrize("text", ["x", "-1", "2-0", "0;1", "0-99999", "１"])
def test_wrong_device_lists_are_refused(text):
    found = problems(gpuConfig={"cuda_visible_devices": text})
    assert found["gpuConfig.cuda_visible_devices"].code == "field.device_list"


def test_layer_names_may_come_as_one_text():
    request = read_request(GOOD | {"trainingArgs": {"lora_target_modules": "q_proj, v_proj"}})
    assert request.training_args.lora_target_modules == ("q_proj", "v_proj")


def test_the_schema_describes_every_argument():
    rows = {row["name"]: row for row in training_schema()}
    assert rows.keys() == TrainingArguments.model_fields.keys()
    assert rows["learning_rate"]["recommended"] == [5e-5, 2e-4]
    assert rows["learning_rate"]["minimumExclusive"] and rows["learning_rate"]["maximum"] == 1
    assert rows["warmup_ratio"]["minimum"] == 0 and rows["warmup_ratio"]["nullable"]
    assert rows["per_device_train_batch_size"]["aliases"] == ["batch_size"]
    assert rows["lr_scheduler_type"]["choices"] == ["cosine", "linear", "constant"]


def test_a_spec_survives_its_file():
    one = make_spec(lora_target_modules=("q_proj",), eval_steps=3)
    assert Spec.model_validate_json(one.model_dump_json()) == one
