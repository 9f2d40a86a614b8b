"""Which way is taken through models of many kinds, and that a run goes on along it."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.unit.trainer.kernels.test_models import SHAPE
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.kernels import backend

SMALL = {name: value for name, value in SHAPE.items() if name != "head_dim"}
LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
}


def made(name: str, dtype: torch.dtype = torch.float32, **values: Any) -> Any:
    torch.manual_seed(0)
    kind = "TextConfig" if name == "Gemma3" else "Config"
    config = getattr(transformers, f"{name}{kind}")(**values)
    return getattr(transformers, f"{name}ForCausalLM")(config).to(dtype).train()


def samples(*lengths: int) -> EncodedSamples:
    random = np.random.default_rng(1)
    starts = np.array([0, *np.cumsum(lengths)])
    learnt = np.ones(starts[-1], dtype=np.bool_)
    learnt[starts[:-1]] = False
    tokens = random.integers(3, SHAPE["vocab_size"], starts[-1]).astype(np.int32)
    return EncodedSamples(tokens, starts, learnt)


def learn(forward: Forward, data: EncodedSamples, tokens: int = 10_000) -> float:
    total = 0.0
    for batch in forward.batches(data, np.arange(len(data)), tokens):
        loss = forward.loss_sum(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


@pytest.mark.parametrize("name", ["Mistral", "Gemma3"])
def test_a_window_shorter_than_a_sample_is_learnt_with_in_bf16(name: str) -> None:
    data = samples(20, 90)
    losses = [
        learn(Forward(made(name, dtype, **SHAPE, sliding_window=32), 0), data)
        for dtype in (torch.float32, torch.bfloat16)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize("name", ["Llama", "Phi3", "Starcoder2"])
def test_dropout_within_the_attention_is_left_to_the_model(name: str) -> None:
    forward = Forward(made(name, **SMALL, attention_dropout=0.1), 0)
    assert forward.way == "packed"
    assert "does not compute" in forward.passed_over["attention"]
    assert learn(forward, samples(30, 40)) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Gemma2", {"final_logit_softcapping": 30.0, "attn_logit_softcapping": None}),
        ("Granite", {"logits_scaling": 8.0}),
        ("Cohere", {"logit_scale": 0.0625}),
        ("MiniCPM3", LATENT),
    ],
)
def test_what_a_model_does_around_its_head_is_seen_while_logits_are_small(
    name: str, values: dict[str, Any], dtype: torch.dtype
) -> None:
    small = {"initializer_range": 0.002}
    forward = Forward(made(name, dtype, **SMALL | small | values), 0)
    assert forward.way == "packed"
    assert "its head" in forward.passed_over["attention"]


def test_a_state_that_runs_from_one_sample_into_the_next_is_seen_in_bf16() -> None:
    layers = {"layer_types": ["conv", "full_attention"]}
    forward = Forward(made("Lfm2", torch.bfloat16, **SMALL, **layers), 0)
    assert forward.way == "padded"
    assert "changes the next one's" in forward.passed_over["packed"]


def test_a_mask_of_its_own_is_left_to_the_model() -> None:
    forward = Forward(made("Doge", **SMALL), 0)
    assert forward.way == "packed"
    assert "mask of its own" in forward.passed_over["attention"]


def test_heads_whose_values_have_another_size_are_packed_by_kernels() -> None:
    model = made("DeepseekV3", **SMALL | LATENT | {"first_k_dense_replace": 2})
    forward = Forward(model, 0)
    assert forward.way == "attention"
    data = samples(30, 40)
    fast = learn(forward, data)
    assert fast == pytest.approx(learn(Forward(model, 0, kernels="plain"), data), rel=1e-5)


def test_where_rotary_angles_hang_on_length_no_sample_changes_anothers() -> None:
    long = {
        "original_max_position_embeddings": 64,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 1.0,
            "short_factor": [1.0] * 6,
            "long_factor": [4.0] * 6,
            "original_max_position_embeddings": 64,
        },
    }
    data = samples(30, 90, 65, 66, 50)
    model = made("Phi3", **SMALL | long)
    for kernels in ("auto", "plain"):
        forward = Forward(model, 0, kernels=kernels)  # type: ignore[arg-type]
        together, alone = (learn(forward, data, tokens) for tokens in (10_000, 1))
        assert together == pytest.approx(alone, rel=1e-5)


def test_whatever_a_way_raises_is_a_reason_not_to_take_it(monkeypatch: Any) -> None:
    def fails(*_tensors: Any) -> Any:
        raise IndexError("of a kind that nobody has thought of")

    monkeypatch.setattr(backend, "packed_attention", fails)
    forward = Forward(made("Olmo2", **SMALL), 0)
    assert forward.way == "packed"
    assert forward.passed_over["attention"].startswith("IndexError: of a kind")


def test_memory_that_runs_out_while_ways_are_tried_is_no_reason(monkeypatch: Any) -> None:
    def fails(*_tensors: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(backend, "packed_attention", fails)
    with pytest.raises(torch.OutOfMemoryError):
        Forward(made("Olmo2", **SMALL), 0)


def test_the_model_is_left_in_the_mode_that_it_was_in() -> None:
    model = made("Llama", **SMALL)
    for training in (True, False):
        model.train(training)
        Forward(model, 0)
        assert model.training is training
    assert not model.model._forward_hooks and not model.lm_head._forward_hooks
