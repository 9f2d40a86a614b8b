"""The closed formula: what is counted is exact, for every model of the catalogue."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import InvalidInput
from tunesmith.families import CATALOGUE
from tunesmith.memory_plan.architecture import architecture_of, config_of
from tunesmith.memory_plan.formula import plan
from tunesmith.memory_plan.records import Workload

GIB = 2**30


def config(name: str) -> dict[str, Any]:
    found = config_of(name)
    assert found is not None
    return found


# Published numbers of parameters, in billions.
PARAMETERS = {
    "LLaMA 2-7B": 6.74,
    "LLaMA 2-13B": 13.02,
    "LLaMA 2-70B": 68.98,
    "LLaMA 3-8B": 8.03,
    "LLaMA 3-70B": 70.55,
    "ChatGLM2-6B": 6.24,
    "ChatGLM3-6B": 6.24,
    "GLM-4-9B": 9.40,
    "Qwen1.5-7B": 7.72,
    "Qwen1.5-14B": 14.17,
    "Qwen2-7B": 7.62,
    "Qwen2-72B": 72.71,
}


def test_every_model_of_the_specification_has_a_plan_of_its_true_size() -> None:
    specified = {entry.name for entry in CATALOGUE if entry.specified}
    assert specified == set(PARAMETERS)
    for name, billions in PARAMETERS.items():
        found = plan(config(name), Workload())
        assert found.parameters / 1e9 == pytest.approx(billions, abs=0.006), name


def test_weights_gradients_and_optimizer_are_counted() -> None:
    llama = config("LLaMA 2-7B")
    count = architecture_of(llama).parameters
    full = plan(llama, Workload(method="full"))
    # fp32 masters, gradients and two moments.
    assert (full.weights, full.gradients, full.optimizer) == (4 * count, 4 * count, 8 * count)
    assert full.peak >= full.weights + full.gradients + full.optimizer
    lora = plan(llama, Workload(lora_r=8, lora_target_modules=("q_proj", "v_proj")))
    trained = 32 * 2 * 8 * (4096 + 4096)
    assert lora.trainable_parameters == trained
    assert lora.weights == 2 * count + 4 * trained
    assert (lora.gradients, lora.optimizer) == (4 * trained, 8 * trained)


def test_less_of_everything_takes_less() -> None:
    llama = config("LLaMA 3-8B")

    def peak(**changes: Any) -> int:
        return plan(llama, Workload(**changes)).peak

    assert peak(gradient_checkpointing=True) < peak()
    assert peak(per_device_train_batch_size=1) < peak(per_device_train_batch_size=8)
    assert peak(max_seq_length=256) < peak(max_seq_length=2048)
    # Without recomputing, our leaner layers make up for LoRA's larger weights.
    saving = {"gradient_checkpointing": True}
    four, eight = (peak(method="qlora", quantization_bits=bits, **saving) for bits in (4, 8))
    assert four < eight < peak(**saving) < peak(method="full", **saving)
    assert peak(method="full", devices=4, sharded=True) < peak(method="full") / 2


def test_a_directory_is_planned_by_its_config_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config("Qwen2-7B")))
    assert config_of(tmp_path) == config("Qwen2-7B")
    assert config_of("no such model") is None


@pytest.mark.parametrize(
    "text", ["", "[]", '{"model_type": "llama"', '{"model_type": "chatglm", "num_layers": 2}']
)
def test_a_config_that_says_nothing_is_refused_with_its_field(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InvalidInput) as refused:
        plan(config_of(tmp_path) or {}, Workload())
    assert refused.value.problems[0].field == "baseModel"


def test_the_formula_needs_no_torch() -> None:
    code = (
        "import sys; from tunesmith.memory_plan.formula import plan;"
        "from tunesmith.memory_plan.architecture import config_of;"
        "from tunesmith.memory_plan.records import Workload;"
        "plan(config_of('Qwen2-72B'), Workload()); print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
