"""Edges of stopping, resuming and quantised layers on a CPU."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.specs import make_spec
from tests.unit.trainer.test_methods import Run, logits
from tests.unit.trainer.test_training import CPU, samples
from tunesmith import events
from tunesmith.diagnosis import suggested_change
from tunesmith.errors import RunFailure
from tunesmith.spec import GpuConfig
from tunesmith.trainer import model
from tunesmith.trainer.batches import Batch
from tunesmith.trainer.checkpoint import find_resume
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.memory_planning import RunPlan
from tunesmith.trainer.report import Report
from tunesmith.trainer.stop import Stop


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> Stop:
    """A stop that is heard when the progress or metrics of `step` are told."""
    stop = Stop()
    for name in ("metrics", "progress"):
        told = getattr(Report, name)

        def tell(self: Any, event: Any, *rest: Any, told: Any = told) -> None:
            told(self, event, *rest)
            if event.step == step:
                stop.requested = True

        monkeypatch.setattr(Report, name, tell)
    return stop


def evaluations(run: Run) -> list[tuple[int, float]]:
    found, _ = events.read(run.events, 0)
    return [(e.step, e.eval_loss) for e in found if isinstance(e, events.Evaluation)]


ARGUMENTS = {"num_train_epochs": 4, "lora_dropout": 0.1, "save_total_limit": 9}


def test_a_stop_inside_a_window_of_metrics_does_not_cut_it(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ARGUMENTS | {"logging_steps": 4}
    whole = Run(llama, tmp_path / "w", **arguments)
    whole.train()
    with monkeypatch.context() as patched:
        stopped = Run(llama, tmp_path / "s", **arguments)
        stopped.train(stop=stop_after(patched, 6))
    path = tmp_path / "s" / "checkpoint-6"
    resumed = Run(llama, tmp_path / "r", **arguments, resume_from_checkpoint=str(path))
    resumed.train(find_resume(resumed.spec))
    assert resumed.losses == whole.losses[1:]


def test_an_evaluation_that_a_stop_left_out_is_done_after_the_resume(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Run(llama, tmp_path / "w", **ARGUMENTS)
    whole.valid = samples(6)
    whole.train()
    assert [step for step, _ in evaluations(whole)] == [4, 8, 12, 16]
    with monkeypatch.context() as patched:
        stopped = Run(llama, tmp_path / "s", **ARGUMENTS)
        stopped.valid = samples(6)
        stopped.train(stop=stop_after(patched, 8))
    path = tmp_path / "s" / "checkpoint-8"
    resumed = Run(llama, tmp_path / "r", **ARGUMENTS, resume_from_checkpoint=str(path))
    resumed.valid = samples(6)
    resumed.train(find_resume(resumed.spec))
    assert evaluations(resumed) == evaluations(whole)[1:]


def test_a_retried_attempt_prefers_its_own_newest_whole_checkpoint(
    llama: Path, tmp_path: Path
) -> None:
    Run(llama, tmp_path / "a", save_steps=2, save_total_limit=9, max_steps=4).train()
    first = str(tmp_path / "a" / "checkpoint-2")
    run = Run(llama, tmp_path / "b", save_steps=3, save_total_limit=9, resume_from_checkpoint=first)
    run.train(find_resume(run.spec))
    again = run.spec.model_copy(update={"attempt": 2})
    resume = find_resume(again)
    assert resume is not None and resume.path == tmp_path / "b" / "checkpoint-9"
    (resume.path / "optimizer.pt").unlink()
    resume = find_resume(again)
    assert resume is not None and resume.path == tmp_path / "b" / "checkpoint-6"


def test_the_best_checkpoint_of_before_a_resume_is_still_there_without_the_old_output(
    llama: Path, tmp_path: Path
) -> None:
    import shutil

    arguments: dict[str, Any] = {
        "num_train_epochs": 40,
        "learning_rate": 3e-2,
        "lr_scheduler_type": "constant",
        "early_stopping_patience": 3,
        "save_steps": 1,
        "save_total_limit": 50,
    }
    whole = Run(llama, tmp_path / "w", **arguments)
    whole.valid = samples(6)
    whole.valid.tokens[:] = whole.valid.tokens[::-1]
    outcome = whole.train()
    assert outcome.best_step is not None
    path = tmp_path / "w" / f"checkpoint-{outcome.best_step + 1}"
    resumed = Run(llama, tmp_path / "r", **arguments, resume_from_checkpoint=str(path))
    resumed.valid = whole.valid
    resume = find_resume(resumed.spec)
    told: list[int] = []
    original = resumed.forward.logits

    def train_on(*given: Any) -> Any:
        if not told:
            shutil.rmtree(tmp_path / "w")  # somebody tidies up while it runs
            told.append(1)
        return original(*given)

    resumed.forward.logits = train_on  # type: ignore[method-assign]
    again = resumed.train(resume)
    assert (again.step, again.best_step) == (outcome.step, outcome.best_step)
    assert torch.equal(resumed.logits(), whole.logits())


def test_an_eval_loss_that_is_no_number_ends_the_run(llama: Path, tmp_path: Path) -> None:
    run = Run(llama, tmp_path / "o", early_stopping_patience=1)
    run.valid = samples(6)
    inner = run.forward.scores

    def broken(batch: Batch) -> Any:
        loss, right = inner(batch)
        return loss * torch.nan, right

    run.forward.scores = broken  # type: ignore[method-assign]
    with pytest.raises(RunFailure) as failure:
        run.train()
    assert failure.value.code == "nan_loss"


def test_the_weight_decay_of_a_new_task_is_used(llama: Path, tmp_path: Path) -> None:
    Run(llama, tmp_path / "a", save_steps=2, save_total_limit=9, max_steps=4).train()
    path = str(tmp_path / "a" / "checkpoint-2")
    ended = []
    for decay in (0.0, 0.9):
        out = tmp_path / str(decay)
        run = Run(llama, out, max_steps=4, weight_decay=decay, resume_from_checkpoint=path)
        run.train(find_resume(run.spec))
        ended.append(run.logits())
    assert not torch.equal(*ended)


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_layers_compute_the_same_in_training_and_evaluation(
    qwen2: Path, bits: int
) -> None:
    tuned = model.load_base_model(qwen2, "fp32", CPU, bits)
    plain = logits(tuned)
    tuned.train()
    with torch.no_grad():
        ids = torch.from_numpy(samples().sample(0)[:-1].astype(np.int64))[None]
        assert torch.equal(tuned(input_ids=ids).logits.float(), plain)


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize("bits", [4, 8])
def test_gradients_through_quantised_layers_are_those_of_their_numbers(
    llama: Path, bits: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.trainer import quantized

    monkeypatch.setattr(quantized, "KEPT_AT_MOST", size)
    layer = model.load_base_model(llama, "fp32", CPU, bits).model.layers[0].mlp.up_proj
    inputs = torch.randn(5, layer.in_features, requires_grad=True)
    layer(inputs).square().sum().backward()
    weight = layer(torch.eye(layer.in_features)).T
    expected = 2 * (inputs.detach() @ weight.T) @ weight
    torch.testing.assert_close(inputs.grad, expected, rtol=1e-4, atol=1e-5)


def test_scaled_rope_is_told_to_older_versions(llama: Path, tmp_path: Path) -> None:
    import json

    from transformers import AutoModelForCausalLM

    from tunesmith.trainer.weights import write_weights

    base = AutoModelForCausalLM.from_pretrained(llama)
    base.config.rope_parameters = {
        "rope_type": "linear",
        "factor": 4.0,
        "rope_theta": 5e5,
    }
    write_weights(base, str(llama), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["rope_theta"] == 5e5
    assert config["rope_scaling"]["factor"] == 4.0
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.config.rope_parameters["factor"] == 4.0
    assert again.config.rope_parameters["rope_theta"] == 5e5


def test_a_checkpoint_of_a_mixture_of_experts_is_read_again(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM

    from tests.specs import make_spec
    from tunesmith.trainer.weights import load_weights, write_weights

    shape: dict[str, int] = {
        "vocab_size": 99,
        "hidden_size": 32,
        "intermediate_size": 64,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_experts": 4,
        "num_experts_per_tok": 2,
    }
    Qwen2MoeForCausalLM(Qwen2MoeConfig(**shape)).save_pretrained(tmp_path / "base")
    training = make_spec(method="full").training
    _, tuned = model.load_for_training(tmp_path / "base", training, "fp32", CPU, False)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        before = tuned(input_ids=ids).logits
        for original_names in (False, True):
            saved = tmp_path / str(original_names)
            saved.mkdir()
            write_weights(tuned, "base", saved, original_names=original_names)
            loaded = AutoModelForCausalLM.from_pretrained(saved)
            torch.testing.assert_close(loaded(input_ids=ids).logits, before)
        for weight in tuned.parameters():
            weight.zero_()
        load_weights(tuned, tmp_path / "False")
        assert torch.equal(tuned(input_ids=ids).logits, before)


class Cramped(Forward):
    """Memory for so many tokens at once, and no more."""

    def __init__(self, model: Any, tokens: int, **options: Any) -> None:
        super().__init__(model, 0, **options)
        self._room = tokens
        self.tried: list[int] = []

    def loss_sum(self, batch: Batch) -> torch.Tensor:
        self.tried.append(batch.input_ids.size)
        if batch.input_ids.size > self._room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().loss_sum(batch)


def cramped(llama: Path, out: Path, tokens: int, **arguments: Any) -> Run:
    run = Run(llama, out, per_device_train_batch_size=8, **arguments)
    run.forward = Cramped(run.forward.model, tokens)
    return run


def test_out_of_memory_makes_smaller_micro_batches_and_learns_the_same(
    llama: Path, tmp_path: Path
) -> None:
    whole = Run(llama, tmp_path / "whole", per_device_train_batch_size=8)
    whole.train()
    run = cramped(llama, tmp_path / "o", 60)
    run.train()
    assert [loss for _, loss, _ in run.losses] == pytest.approx(
        [loss for _, loss, _ in whole.losses], rel=1e-4
    )
    told, _ = events.read(run.events, 0)
    warned = [e for e in told if isinstance(e, events.Warned)]
    assert {e.code for e in warned} == {"smaller_batches"}
    assert all(e.params["now"] < e.params["before"] for e in warned)
    # What did not fit once is not tried again.
    forward = run.forward
    assert isinstance(forward, Cramped)
    assert sum(size > 60 for size in forward.tried) == len(warned)


def test_out_of_memory_in_a_validation_makes_smaller_micro_batches_too(
    llama: Path, tmp_path: Path
) -> None:
    class CrampedScores(Cramped):
        def loss_sum(self, batch: Batch) -> torch.Tensor:
            return Forward.loss_sum(self, batch)

        def scores(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
            if batch.input_ids.size > self._room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().scores(batch)

    found = []
    for room in (10**9, 60):
        run = Run(llama, tmp_path / str(room), per_device_train_batch_size=8)
        run.valid = samples(6)
        run.forward = CrampedScores(run.forward.model, room)
        run.train()
        found.append([loss for _, loss in evaluations(run)])
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    told, _ = events.read(run.events, 0)
    assert {e.code for e in told if isinstance(e, events.Warned)} == {"smaller_batches"}


def test_where_all_logits_are_held_the_batch_of_most_learnt_tokens_is_rehearsed_too(
    llama: Path, tmp_path: Path
) -> None:
    tried = []
    for kernels in ("auto", "plain"):
        run = Run(llama, tmp_path / kernels, per_device_train_batch_size=2)
        gpu = run.spec.gpu.model_copy(update={"max_memory_gib": 1000.0})
        run.spec = run.spec.model_copy(update={"gpu": gpu})
        run.forward = Cramped(run.forward.model, 10**9, kernels=kernels)
        run.train()
        assert isinstance(run.forward, Cramped)
        tried.append(len(run.forward.tried))
    assert tried[1] == tried[0] + 1


def test_a_sample_that_alone_is_too_much_ends_the_run_and_is_named(
    llama: Path, tmp_path: Path
) -> None:
    run = cramped(llama, tmp_path / "o", 20)
    with pytest.raises(RunFailure) as failure:
        run.train()
    assert failure.value.code == "sample_out_of_memory"
    assert failure.value.params["tokens"] > 20
    assert not list((tmp_path / "o").glob("checkpoint-*"))


@pytest.mark.parametrize(("gib", "changes"), [(0.3, True), (0.0001, False)])
def test_what_one_sample_lacks_is_told_with_what_would_help(
    llama: Path, gib: float, changes: bool
) -> None:
    spec = make_spec(max_seq_length=65536, gradient_checkpointing=False).model_copy(
        update={"base_model": str(llama), "gpu": GpuConfig(max_memory_gib=gib)}
    )
    failure = RunFailure("sample_out_of_memory", tokens=65536, device="cpu", reason="none left")
    told = RunPlan(spec, "fp32", CPU).explained(failure, checkpointing=False)
    assert told.code == "sample_too_large"
    assert told.params["needed_gib"] > told.params["available_gib"] == round(gib, 2)
    change = suggested_change(told.code, spec, told.params)
    if changes:
        assert change == told.params["change"]
    else:
        assert told.params["change"] == {} and change == {"gradient_checkpointing": True}


def test_a_failure_that_no_plan_explains_stays_as_it_is(llama: Path, tmp_path: Path) -> None:
    lost = RunFailure("sample_out_of_memory", tokens=99, device="cpu", reason="none left")
    for base, gib in ((llama, 1000.0), (tmp_path, 0.0001)):
        spec = make_spec().model_copy(
            update={"base_model": str(base), "gpu": GpuConfig(max_memory_gib=gib)}
        )
        assert RunPlan(spec, "fp32", CPU).explained(lost, checkpointing=False) is lost
    other = RunFailure("nan_loss", value="nan", step=1)
    assert RunPlan(spec, "fp32", CPU).explained(other, checkpointing=False) is other


def test_where_memory_is_bounded_the_largest_batch_comes_first_and_changes_nothing(
    llama: Path, tmp_path: Path
) -> None:
    losses = []
    for bounded in (False, True):
        run = Run(llama, tmp_path / str(bounded), per_device_train_batch_size=2, lora_dropout=0.1)
        if bounded:
            gpu = run.spec.gpu.model_copy(update={"max_memory_gib": 1000.0})
            run.spec = run.spec.model_copy(update={"gpu": gpu})
        run.forward = Cramped(run.forward.model, 10**9)
        run.train()
        losses.append(run.losses)
        assert isinstance(run.forward, Cramped)
        tried = run.forward.tried
    assert losses[0] == losses[1]
    assert tried[0] == max(tried) and len(tried) == 1 + 3 * 8
