"""The trace by fake tensors against the same step with real ones."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.specs import make_spec
from tunesmith.memory_plan.formula import plan
from tunesmith.memory_plan.records import Workload
from tunesmith.trainer.memory_trace import Storages, forward_of, micro_batch, trace, trace_at
from tunesmith.trainer.model import prepare_for_training
from tunesmith.trainer.weights import trained_parameters

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 6,
    "hidden_size": 128,
    "intermediate_size": 344,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 1000,
    "tie_word_embeddings": False,
    "max_position_embeddings": 512,
}
WORK = Workload(per_device_train_batch_size=2, max_seq_length=128, dtype="fp32", device_type="cpu")
CASES = {
    "lora": WORK,
    "checkpointed": Workload(**{**WORK.__dict__, "gradient_checkpointing": True}),
    "dora": Workload(**{**WORK.__dict__, "use_dora": True}),
    "full": Workload(**{**WORK.__dict__, "method": "full"}),
}


def measured(work: Workload, layers: int) -> tuple[int, int]:
    """Return weights and peak of a step with real tensors, by the same counting."""
    with Storages() as storages:
        base = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(**CONFIG | {"num_hidden_layers": layers, "use_cache": False}),
            dtype=torch.float32,
        )
        arguments = make_spec(method=work.method, use_dora=work.use_dora).training
        tuned = prepare_for_training(base, arguments, work.gradient_checkpointing).train()
        forward = forward_of(tuned, work)
        weights = storages.now
        states = [torch.empty_like(each) for each in trained_parameters(tuned) for _ in range(2)]
        storages.restart()
        micro_batch(forward, work)
        del states
        return weights, storages.peak


@pytest.mark.parametrize("case", CASES)
def test_a_trace_counts_what_real_tensors_take(case: str) -> None:
    work = CASES[case]
    weights, peak = measured(work, 2)
    traced = trace_at(CONFIG, work, 2)
    assert traced.weights == pytest.approx(weights, rel=0.01)
    assert max(traced.top_peak, traced.bottom_peak) == pytest.approx(peak, rel=0.02)


@pytest.mark.parametrize("case", CASES)
def test_two_depths_tell_every_other(case: str) -> None:
    work = CASES[case]
    whole = trace_at(CONFIG, work, 6)
    assert trace(CONFIG, work).peak == pytest.approx(
        max(whole.top_peak, whole.bottom_peak), rel=0.01
    )


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_weights_are_planned_without_any(bits: int) -> None:
    work = Workload(**{**WORK.__dict__, "method": "qlora", "quantization_bits": bits})
    found, plain = trace(CONFIG, work), trace(CONFIG, WORK)
    assert found.weights < plain.weights
    assert found.trainable_parameters == plain.trainable_parameters


@pytest.mark.parametrize("case", ["lora", "checkpointed", "full"])
def test_the_formula_is_near_the_trace(case: str) -> None:
    config = CONFIG | {"hidden_size": 1024, "intermediate_size": 2752, "num_attention_heads": 16}
    config |= {"num_key_value_heads": 4, "head_dim": 64, "vocab_size": 32000}
    exact, quick = trace(config, CASES[case]), plan(config, CASES[case])
    assert quick.parameters == exact.parameters
    assert quick.trainable_parameters == exact.trainable_parameters
    assert quick.weights == pytest.approx(exact.weights, rel=0.02)
    assert quick.peak == pytest.approx(exact.peak, rel=0.15)
