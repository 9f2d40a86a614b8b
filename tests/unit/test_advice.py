import pytest

from tests.specs import make_spec
from tunesmith.advice import advise, figure
from tunesmith.messages import LANGUAGES, catalogue
from tunesmith.presets import PRESETS
from tunesmith.spec import GpuConfig

SAMPLES = {"train": 2000, "validation": 100}


def found(spec=None, samples=SAMPLES, parameters=7e9, positions=4096, devices=1, **arguments):
    spec = spec or make_spec(**arguments)
    problems = advise(
        spec, samples=samples, parameters=parameters, positions=positions, devices=devices
    )
    for problem in problems:
        assert all(problem.code in catalogue(language) for language in LANGUAGES)
    return [(problem.field.removeprefix("trainingArgs."), problem.code) for problem in problems]


def test_defaults_and_usual_values_need_no_advice():
    assert found() == []
    assert found(lora_r=64, lora_alpha=16, learning_rate=5e-5, num_train_epochs=10) == []


@pytest.mark.parametrize(
    ("arguments", "name", "code"),
    [
        ({"learning_rate": 3e-4}, "learning_rate", "advice.out_of_range"),
        ({"num_train_epochs": 2}, "num_train_epochs", "advice.out_of_range"),
        ({"per_device_train_batch_size": 16}, "per_device_train_batch_size", "advice.out_of_range"),
        ({"weight_decay": 0.1}, "weight_decay", "advice.not_recommended"),
        ({"method": "full", "lora_r": 8}, "lora_r", "advice.unused"),
        ({"method": "full", "use_dora": True}, "use_dora", "advice.unused"),
        ({"method": "lora", "quantization_bits": 8}, "quantization_bits", "advice.unused"),
        ({"method": "full", "learning_rate": 2e-4}, "learning_rate", "advice.out_of_range"),
    ],
)
def test_an_unusual_argument_that_was_given_is_named(arguments, name, code):
    assert found(**arguments) == [(name, code)]


def test_numbers_are_told_as_people_write_them():
    told = [figure(value) for value in (2e-4, 5e-05, 1.5e-5, 0.05, 30.0, 16, 1000000, 0.0)]
    assert told == ["2e-4", "5e-5", "1.5e-5", "0.05", "30", "16", "1000000", "0"]


def test_the_learning_rate_of_a_full_fine_tuning_is_another():
    assert found(method="full", learning_rate=2e-5) == []


def test_a_large_base_model_wants_a_low_learning_rate_and_several_gpus():
    spec = make_spec().model_copy(update={"gpu": GpuConfig(cuda_visible_devices="0")})
    advised = found(spec, parameters=13e9, devices=4)
    assert advised == [
        ("learning_rate", "warning.learning_rate_large_model"),
        ("gpuConfig.cuda_visible_devices", "advice.one_gpu"),
    ]
    assert found(spec, parameters=13e9, devices=1) == advised[:1]
    assert found(parameters=None) == []


def test_data_and_machine_are_told_too():
    assert found(samples={"train": 999, "validation": 1}) == [
        ("datasetPath", "warning.few_samples")
    ]
    assert found(samples={"train": 2000}, early_stopping_patience=2, eval_steps=5) == [
        ("early_stopping_patience", "advice.no_validation"),
        ("eval_steps", "advice.evaluation_without_validation"),
    ]
    assert found(samples=None, early_stopping_patience=2) == []
    assert found(max_seq_length=2000, positions=1024) == [
        ("max_seq_length", "warning.beyond_positions")
    ]
    assert found(devices=0) == [("gpuConfig.cuda_visible_devices", "advice.no_gpu")]


@pytest.mark.parametrize("key", PRESETS)
def test_presets_are_valid_and_but_for_the_quick_one_as_recommended(key):
    assert found(**PRESETS[key]) == []
    for language in LANGUAGES:
        assert {f"preset.{key}.title", f"preset.{key}.description"} <= catalogue(language).keys()
