"""The loop, forward pass and adapter over tiny real models, in this process."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from tests.specs import make_spec
from tunesmith import events
from tunesmith.errors import RunFailure
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.trainer import model
from tunesmith.trainer.batches import pack
from tunesmith.trainer.checkpoint import Checkpoints, find_checkpoints
from tunesmith.trainer.evaluate import evaluate
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.loop import Training
from tunesmith.trainer.report import Report
from tunesmith.trainer.schedule import make_plan
from tunesmith.trainer.stop import Stop

CPU = torch.device("cpu")


def samples(count: int = 16) -> EncodedSamples:
    lengths = np.random.default_rng(1).integers(4, 30, count)
    tokens = np.random.default_rng(2).integers(3, 300, lengths.sum()).astype(np.int32)
    starts = np.cumsum([0, *lengths])
    places = np.arange(len(tokens)) - np.repeat(starts[:-1], lengths)
    return EncodedSamples(tokens, starts, places >= np.repeat(np.maximum(lengths // 2, 1), lengths))


def adapted(base: Path, gradient_checkpointing: bool = False, **arguments: Any) -> Any:
    torch.manual_seed(0)
    training = make_spec(lora_dropout=0, **arguments).training
    _, tuned = model.load_for_training(base, training, "fp32", CPU, gradient_checkpointing)
    return tuned


def losses(
    base: Path,
    tmp_path: Path,
    packed: bool = True,
    checkpointing: bool = False,
    kernels: Literal["auto", "plain"] = "auto",
    **arguments: Any,
) -> list[tuple[float, float]]:
    """Train and return loss and gradient norm of each step."""
    spec = make_spec(lora_dropout=0, learning_rate=1e-2, logging_steps=1, **arguments)
    forward = Forward(adapted(base, checkpointing), 0, kernels=kernels)
    assert forward.packed
    if not packed:
        forward.take("padded")
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
    data = samples()
    Training(
        forward,
        data,
        None,
        plan=make_plan(len(data), spec.training, spec.given),
        spec=spec,
        checkpoints=Checkpoints(tmp_path, 1),
        report=Report(events.EventWriter(path)),
        stop=Stop(),
    ).train()
    found, _ = events.read(path, 0)
    return [(e.loss, e.grad_norm) for e in found if isinstance(e, events.Metrics)]


def test_the_loss_does_not_hang_on_how_a_step_is_cut(llama: Path, tmp_path: Path) -> None:
    whole = losses(llama, tmp_path, per_device_train_batch_size=8)
    assert len(whole) == 6
    assert whole[-1][0] < whole[0][0]
    for size, accumulation in ((4, 2), (1, 8)):
        cut = losses(
            llama,
            tmp_path,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
        )
        assert cut == [pytest.approx(step, rel=1e-4) for step in whole]


def test_a_run_by_kernels_has_the_losses_of_one_by_transformers_and_peft(
    qwen2: Path, tmp_path: Path
) -> None:
    fast = losses(qwen2, tmp_path, num_train_epochs=6)
    plain = losses(qwen2, tmp_path, kernels="plain", num_train_epochs=6)
    assert len(fast) == 24
    assert [loss for loss, _ in fast] == pytest.approx([loss for loss, _ in plain], rel=1e-4)


def test_packed_and_padded_batches_and_checkpointing_learn_the_same(
    qwen2: Path, tmp_path: Path
) -> None:
    packed = losses(qwen2, tmp_path, max_steps=3)
    assert losses(qwen2, tmp_path, packed=False, max_steps=3) == [
        pytest.approx(step, rel=1e-4) for step in packed
    ]
    assert losses(qwen2, tmp_path, checkpointing=True, max_steps=3) == [
        pytest.approx(step, rel=1e-4) for step in packed
    ]
    assert losses(qwen2, tmp_path, max_steps=3) == packed


def test_a_model_that_mixes_packed_samples_is_noticed(llama: Path) -> None:
    forward = Forward(model.load_base_model(llama, "fp32", CPU), 0)
    assert forward.packed

    class Mixing(torch.nn.Module):
        """Like an architecture that ignores position_ids, and gives all logits always."""

        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner, self.dtype = inner, inner.dtype
            self.get_input_embeddings = inner.get_input_embeddings
            self.get_output_embeddings = inner.get_output_embeddings

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor | None = None,
            position_ids: torch.Tensor | None = None,
            use_cache: bool = False,
        ) -> Any:
            return self.inner(input_ids, attention_mask=attention_mask, use_cache=use_cache)

    mixing = Forward(Mixing(forward.model), 0)
    assert not mixing.packed
    every = np.arange(4)
    with torch.no_grad():
        batches = forward.batch(samples(), every), mixing.batch(samples(), every)
        ours, theirs = forward.logits(batches[0]), mixing.logits(batches[1])
    assert np.array_equal(batches[0].targets, batches[1].targets)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_evaluation_weighs_by_tokens_and_does_not_hang_on_batches(llama: Path) -> None:
    forward = Forward(model.load_base_model(llama, "fp32", CPU), 0)
    data = samples()
    every = np.arange(len(data))
    with torch.no_grad():
        logits = forward.logits(pack(data, every))
    targets = torch.from_numpy(pack(data, every).targets)
    for tokens_at_once in (1, 100, 10_000):
        scores = evaluate(forward, data, tokens_at_once, Stop())
        assert scores is not None
        expected = torch.nn.functional.cross_entropy(logits, targets)
        assert scores.eval_loss == pytest.approx(float(expected), rel=1e-5)
        right = (logits.argmax(-1) == targets).float().mean()
        assert scores.token_accuracy == pytest.approx(float(right))


def test_all_linear_is_every_linear_layer_but_the_head(llama: Path) -> None:
    tuned = adapted(llama, lora_r=4)
    config = tuned.peft_config["default"]
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert set(config.target_modules) == set(names)
    trained = [name for name, weight in tuned.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 7 * 2
    assert not any("lm_head" in name for name in trained)


def test_targets_that_are_not_there_are_named_with_those_that_are(llama: Path) -> None:
    adapted(llama, lora_target_modules="q_proj,layers.0.mlp.up_proj")
    with pytest.raises(RunFailure) as failure:
        adapted(llama, lora_target_modules="q_proj,wide_proj,lm_head")
    assert failure.value.code == "targets_missing"
    assert failure.value.params["names"] == ["wide_proj", "lm_head"]
    assert "o_proj" in failure.value.params["known"]


def test_adapters_are_fp32_on_a_bf16_base_model(llama: Path) -> None:
    base = model.load_base_model(llama, "bf16", CPU)
    tuned = model.add_lora(base, make_spec().training)
    kinds = {weight.dtype for weight in tuned.parameters() if weight.requires_grad}
    assert kinds == {torch.float32}
    assert Forward(tuned, 0).packed


def test_a_base_model_that_lacks_weights_is_refused(llama: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in llama.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(llama / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunFailure) as failure:
        model.load_base_model(tmp_path, "fp32", CPU)
    assert failure.value.code == "base_model_unreadable"
    assert "layers.1.mlp.up_proj" in failure.value.params["reason"]


def test_old_checkpoints_are_pruned_by_step_not_by_name(llama: Path, tmp_path: Path) -> None:
    losses(llama, tmp_path, per_device_train_batch_size=1, save_steps=3, max_steps=13)
    assert [step for step, _ in find_checkpoints(tmp_path)] == [12]
    files = {path.name for path in (tmp_path / "checkpoint-12").iterdir()}
    assert files == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.pt",
        "rng_state.pt",
        "trainer_state.json",
    }
    state = torch.load(tmp_path / "checkpoint-12" / "optimizer.pt", weights_only=True)
    assert len(state["state"]) == 28
