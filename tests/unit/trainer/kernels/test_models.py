"""Whole models by kernels against the same models by transformers and peft, in fp64.

transformers computes norms and rotary angles in fp32 even then: hence 1e-6, not 1e-15.
"""

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.specs import make_spec
from tests.unit.trainer.test_batches import with_common_beginning
from tunesmith.trainer import model
from tunesmith.trainer.forward import Forward

SHAPE: dict[str, Any] = {
    "vocab_size": 2000,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {"attention_bias": True, "mlp_bias": True},
    "Qwen2": {"tie_word_embeddings": True},
    "Qwen3": {},
    "Mistral": {"sliding_window": 16},
    "Glm": {"attention_bias": True},
}
# Families whose layers are their own: packed attention and the head only.
OTHERS: dict[str, dict[str, Any]] = {"Olmo2": {}, "Phi3": {}}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora", "lora_r": 4},
    "full": {"method": "full"},
    "checkpointed": {"method": "lora", "lora_r": 4},
    "dora": {"method": "lora", "lora_r": 4, "use_dora": True},
    "some layers": {"method": "lora", "lora_r": 4, "lora_target_modules": "o_proj,down_proj"},
}


def tuned(family: str, method: str, **others: Any) -> Any:
    """Return a model in fp64 as the trainer prepares it; its adapters do something."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SHAPE | others)
    base = getattr(transformers, f"{family}ForCausalLM")(config).double()
    made = base
    if METHODS[method]["method"] == "lora":
        base.requires_grad_(False)
        made = model.add_lora(base, make_spec(lora_dropout=0, **METHODS[method]).training)
        for weight in made.parameters():
            if weight.requires_grad:
                weight.data = torch.randn_like(weight, dtype=torch.float64) * 0.1
    if method == "checkpointed":
        base.activation_checkpointing_enable({"use_reentrant": False})
        base.enable_input_require_grads()
    made.train()
    return made


def loss_and_gradients(forward: Forward) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    samples = with_common_beginning(9, 3, 21)
    loss = forward.loss_sum(forward.batch(samples, np.array([0, 1, 2])))
    loss.backward()  # type: ignore[no-untyped-call]
    weights = forward.model.named_parameters()
    return loss, {name: weight.grad for name, weight in weights if weight.grad is not None}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES | OTHERS)
def test_kernels_compute_what_the_plain_model_computes(family: str, method: str) -> None:
    if family == "Phi3" and method == "some layers":
        method = "lora"
    others = (FAMILIES | OTHERS)[family]
    plain = Forward(tuned(family, method, **others), 0, kernels="plain")
    fast = Forward(tuned(family, method, **others), 0)
    assert plain.way == "packed"
    own_layers = family in OTHERS or method == "dora"
    assert fast.way == ("attention" if own_layers else "layers")
    expected, expected_gradients = loss_and_gradients(plain)
    loss, gradients = loss_and_gradients(fast)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    assert gradients.keys() == expected_gradients.keys()
    difference = sum(
        (gradients[name] - gradient).square().sum() for name, gradient in expected_gradients.items()
    )
    size = sum(gradient.square().sum() for gradient in expected_gradients.values())
    assert float(difference / size) ** 0.5 <= 2e-5


def test_a_common_beginning_is_used_and_exact_for_all_samples() -> None:
    forward = Forward(tuned("Llama", "lora"), 0)
    samples = with_common_beginning(9, 3, 21)
    batch = forward.batch(samples, np.array([0, 1, 2]))
    assert batch.sequences is not None and batch.sequences.prefix == 40
    with torch.no_grad():
        together = float(forward.loss_sum(batch))
        alone = [float(forward.loss_sum(forward.batch(samples, np.array([n])))) for n in range(3)]
    assert together == pytest.approx(sum(alone), rel=1e-12)


def test_evaluation_by_kernels_and_plain_give_the_same_scores() -> None:
    samples = with_common_beginning(9, 3, 21)
    every = np.array([0, 1, 2])
    scores = []
    for kernels in ("auto", "plain"):
        forward = Forward(tuned("Qwen2", "lora"), 0, kernels=kernels)  # type: ignore[arg-type]
        forward.model.eval()
        loss, right = forward.scores(forward.batch(samples, every))
        scores.append((float(loss), int(right)))
    (loss, right), (expected, same) = scores
    assert loss == pytest.approx(expected, rel=1e-6) and right == same


def test_a_head_that_does_more_than_multiply_is_left_to_the_model() -> None:
    """Gemma 2 caps its logits and scales its embeddings: kernels would compute something else."""
    config = transformers.Gemma2Config(**SHAPE | {"final_logit_softcapping": 1.0})
    made = transformers.Gemma2ForCausalLM(config).double()
    forward = Forward(made, 0)
    assert forward.way in ("packed", "padded")
    assert "attention" in forward.passed_over  # and says why


def test_a_model_with_kernels_still_generates_and_takes_padded_batches() -> None:
    made = tuned("Llama", "lora")
    forward = Forward(made, 0)
    ids = torch.arange(5, 17)[None]
    made.eval()
    with torch.no_grad():
        fast = made(input_ids=ids).logits
        text = made.generate(input_ids=ids, max_new_tokens=4, do_sample=False)
        forward.take("padded")
        torch.testing.assert_close(made(input_ids=ids).logits, fast)
        assert torch.equal(made.generate(input_ids=ids, max_new_tokens=4, do_sample=False), text)


def kept_bytes(forward: Forward) -> int:
    """Return what the graph of a loss holds on to, weights aside."""
    weights = {weight.data_ptr() for weight in forward.model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = forward.loss_sum(forward.batch(with_common_beginning(90, 80), np.array([0])))
    assert loss.requires_grad
    return sum(kept.values())


def test_kernels_keep_less_and_checkpointing_keeps_least() -> None:
    plain = kept_bytes(Forward(tuned("Llama", "lora"), 0, kernels="plain"))
    fast = kept_bytes(Forward(tuned("Llama", "lora"), 0))
    checkpointed = kept_bytes(Forward(tuned("Llama", "checkpointed"), 0))
    assert fast < 0.5 * plain
    assert checkpointed < 0.5 * fast
