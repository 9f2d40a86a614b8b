"""Each method over tiny real models: it learns, is saved, loads again, and goes on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_parameter_registration_hook
from transformers import AutoModelForCausalLM

from tests.specs import make_spec
from tests.unit.trainer.test_training import CPU, samples
from tunesmith import events
from tunesmith.errors import RunFailure
from tunesmith.spec import Spec
from tunesmith.trainer import forward as forward_module
from tunesmith.trainer import model
from tunesmith.trainer.batches import pack
from tunesmith.trainer.checkpoint import (
    SAMPLES_PER_STEP,
    Checkpoints,
    Resume,
    find_checkpoints,
    find_resume,
    read_state,
    require_same_data,
)
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.loop import Outcome, Training
from tunesmith.trainer.report import Report
from tunesmith.trainer.schedule import make_plan
from tunesmith.trainer.stop import Stop
from tunesmith.trainer.weights import load_weights, write_weights

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "rslora": {"method": "lora", "use_rslora": True},
    "dora": {"method": "lora", "use_dora": True},
    "qlora4": {"method": "qlora", "quantization_bits": 4},
    "qlora8": {"method": "qlora", "quantization_bits": 8},
    "full": {"method": "full", "learning_rate": 1e-3},
}
every_method = pytest.mark.parametrize("method", METHODS)


class Run:
    """A training over the tiny base model `base`; its directory is `output`."""

    def __init__(self, base: Path, output: Path, dtype: str = "fp32", **arguments: Any) -> None:
        given = {"learning_rate": 1e-2, "lora_dropout": 0.0, "logging_steps": 1} | arguments
        self.spec: Spec = make_spec(**given).model_copy(
            update={"base_model": str(base), "output_path": str(output)}
        )
        self.output = output
        output.mkdir(parents=True, exist_ok=True)
        training = self.spec.training
        torch.manual_seed(0)
        _, tuned = model.load_for_training(
            base, training, dtype, CPU, self.spec.gradient_checkpointing
        )
        self.forward = Forward(
            tuned,
            0,
            autocast=training.method == "full" and dtype == "bf16",
            neftune_noise_alpha=training.neftune_noise_alpha,
            kernels=training.kernels,
        )
        self.valid = None

    def train(self, resume: Resume | None = None, stop: Stop | None = None) -> Outcome:
        data = samples()
        self.events = self.output / f"events{len(list(self.output.glob('events*')))}.jsonl"
        return Training(
            self.forward,
            data,
            self.valid,
            plan=make_plan(len(data), self.spec.training, self.spec.given),
            spec=self.spec,
            checkpoints=Checkpoints(self.output, self.spec.training.save_total_limit),
            report=Report(events.EventWriter(self.events)),
            stop=stop or Stop(),
            resume=resume,
        ).train()

    @property
    def losses(self) -> list[tuple[int, float, float]]:
        found, _ = events.read(self.events, 0)
        return [(e.step, e.loss, e.grad_norm) for e in found if isinstance(e, events.Metrics)]

    def logits(self) -> torch.Tensor:
        return logits(self.forward.model)


def logits(tuned: Any) -> torch.Tensor:
    ids = torch.from_numpy(pack(samples(), np.array([0])).input_ids)
    tuned.eval()
    with torch.no_grad():
        found: torch.Tensor = tuned(input_ids=ids).logits.float()
    return found


@every_method
def test_a_method_learns_and_how_a_step_is_cut_does_not_matter(
    llama: Path, tmp_path: Path, method: str
) -> None:
    ways = []
    for size, accumulation in ((8, 1), (4, 2), (1, 8)):
        run = Run(
            llama,
            tmp_path / str(size),
            **METHODS[method],
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
        )
        assert run.forward.way == ("attention" if method == "dora" else "layers")
        run.train()
        ways.append([loss for _, loss, _ in run.losses])
    whole, *cut = ways
    assert len(whole) == 6 and whole[-1] < whole[0]
    # LLM.int8 rounds activations: which samples are together moves the last digits.
    tolerance = 1e-2 if method == "qlora8" else 1e-4
    for way in cut:
        assert way == pytest.approx(whole, rel=tolerance)


@pytest.mark.parametrize("name", ["lora", "dora", "full"])
def test_the_outline_of_a_model_has_its_shapes_and_no_numbers(name: str, llama: Path) -> None:
    training = make_spec(**METHODS[name]).training
    _, outline = model.outline_for_training(llama, training, "bf16", True)
    _, tuned = model.load_for_training(llama, training, "bf16", CPU, True)

    def described(made: Any) -> list[Any]:
        return [
            (key, weight.shape, weight.dtype, weight.requires_grad)
            for key, weight in made.named_parameters()
        ]

    assert described(outline) == described(tuned)
    assert all(each.is_meta for each in (*outline.parameters(), *outline.buffers()))


# peft asks transformers under its old names.
@pytest.mark.filterwarnings("ignore:.*checkpointing.*:FutureWarning")
@every_method
def test_what_was_saved_loads_without_us_and_gives_the_same_logits(
    llama: Path, tmp_path: Path, method: str
) -> None:
    run = Run(llama, tmp_path / "run", **METHODS[method])
    before = run.logits()
    run.train()
    trained = run.logits()
    assert not torch.allclose(before, trained, atol=1e-3)
    saved = tmp_path / "saved"
    saved.mkdir()
    write_weights(run.forward.model, str(llama), saved)
    if METHODS[method]["method"] == "full":
        loaded = AutoModelForCausalLM.from_pretrained(saved)
        assert json.loads((saved / "config.json").read_text())["rope_theta"]
    elif METHODS[method]["method"] == "qlora":
        # On the base model as it was trained on: quantised.
        base = model.load_base_model(llama, "fp32", CPU, METHODS[method]["quantization_bits"])
        loaded = model.load_adapter(base, str(saved))
        assert AutoPeftModelForCausalLM.from_pretrained(saved)  # and on the plain one
    else:
        loaded = AutoPeftModelForCausalLM.from_pretrained(saved)
    torch.testing.assert_close(logits(loaded), trained, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["lora", "dora", "qlora4", "qlora8", "full"])
def test_a_resumed_run_has_the_losses_of_one_never_interrupted(
    llama: Path, tmp_path: Path, method: str
) -> None:
    arguments = METHODS[method] | {
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 4,
        "logging_steps": 2,
        "save_steps": 5,
        "lora_dropout": 0.1,
        "neftune_noise_alpha": 5.0,
    }
    whole = Run(llama, tmp_path / "whole", **arguments)
    whole.train()
    assert [step for step, _, _ in whole.losses] == [2, 4, 6, 8, 10, 12]

    # A checkpoint in the middle of an epoch, and of a window between two metrics.
    path = tmp_path / "whole" / "checkpoint-5"
    resumed = Run(llama, tmp_path / "resumed", **arguments, resume_from_checkpoint=str(path))
    resume = find_resume(resumed.spec)
    assert resume is not None
    require_same_data(resume, samples())
    resumed.train(resume)
    assert resumed.losses == whole.losses[2:]
    assert torch.equal(resumed.logits(), whole.logits())


def test_a_second_attempt_goes_on_from_the_newest_checkpoint_of_its_output(
    llama: Path, tmp_path: Path
) -> None:
    run = Run(llama, tmp_path / "o", per_device_train_batch_size=2, save_steps=3)
    run.train()
    again = run.spec.model_copy(update={"attempt": 2})
    resume = find_resume(again)
    assert resume is not None and resume.state.step == max(find_checkpoints(tmp_path / "o"))[0]
    assert find_resume(run.spec) is None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"lora_r": 4}, "lora_r"),
        ({"per_device_train_batch_size": 2}, SAMPLES_PER_STEP),
        ({"seed": 1}, "seed"),
        ({"method": "full"}, "method"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_the_name_of_what_differs(
    llama: Path, tmp_path: Path, change: dict[str, Any], name: str
) -> None:
    run = Run(llama, tmp_path / "o", save_steps=2, save_total_limit=9)
    run.train()
    path = tmp_path / "o" / "checkpoint-2"
    spec = make_spec(lora_dropout=0.0, resume_from_checkpoint=str(path), **change)
    with pytest.raises(RunFailure) as failure:
        find_resume(spec.model_copy(update={"base_model": str(llama)}))
    assert failure.value.code == "checkpoint_of_other_run"
    assert failure.value.params["name"] == name
    (path / "optimizer.pt").unlink()
    with pytest.raises(RunFailure) as failure:
        read_state(path)
    assert failure.value.code == "checkpoint_unusable"
    assert "optimizer.pt" in failure.value.params["reason"]


def test_other_data_is_no_continuation(llama: Path, tmp_path: Path) -> None:
    run = Run(llama, tmp_path / "o", save_steps=2, save_total_limit=9)
    run.train()
    path = tmp_path / "o" / "checkpoint-2"
    with pytest.raises(RunFailure) as failure:
        require_same_data(Resume(path, read_state(path)), samples(12))
    assert failure.value.params["there"] == "16 samples"


@pytest.mark.parametrize("method", ["lora", "full"])
def test_early_stopping_ends_the_run_and_gives_the_best_weights(
    llama: Path, tmp_path: Path, method: str
) -> None:
    # Random answers: what is learnt of the training samples makes the others worse.
    run = Run(
        llama,
        tmp_path / "o",
        **METHODS[method] | {"learning_rate": 3e-2 if method == "lora" else 3e-3},
        num_train_epochs=40,
        lr_scheduler_type="constant",
        early_stopping_patience=2,
        save_total_limit=1,
    )
    run.valid = samples(6)
    run.valid.tokens[:] = run.valid.tokens[::-1]
    outcome = run.train()
    found, _ = events.read(run.events, 0)
    evaluations = {e.step: e.eval_loss for e in found if isinstance(e, events.Evaluation)}
    best = min(evaluations, key=lambda step: evaluations[step])
    assert outcome.best_step == best
    assert outcome.step < 160 and outcome.step > best
    assert outcome.final["eval_loss"] == evaluations[best]
    warned = [e for e in found if isinstance(e, events.Warned)]
    assert [e.code for e in warned] == ["early_stopped"]
    # The weights are those of the best evaluation, whose checkpoint was kept.
    kept = Run(llama, tmp_path / "kept", **METHODS[method])
    load_weights(kept.forward.model, tmp_path / "o" / f"checkpoint-{best}")
    assert torch.equal(kept.logits(), run.logits())


@pytest.mark.parametrize("method", ["lora", "qlora4", "full"])
def test_a_loss_that_is_no_number_ends_the_run_and_saves_nothing(
    llama: Path, tmp_path: Path, method: str
) -> None:
    run = Run(llama, tmp_path / "o", **METHODS[method], save_steps=1)
    with torch.no_grad():
        norm = run.forward.model.get_input_embeddings().weight
        norm.data[:] = float("nan")
    with pytest.raises(RunFailure) as failure:
        run.train()
    assert failure.value.code == "nan_loss"
    assert not list((tmp_path / "o").glob("checkpoint-*"))


def test_full_in_bf16_keeps_its_weights_in_fp32(llama: Path, tmp_path: Path) -> None:
    run = Run(llama, tmp_path / "o", dtype="bf16", **METHODS["full"])
    assert {weight.dtype for weight in run.forward.model.parameters()} == {torch.float32}
    assert run.forward.packed
    run.train()
    losses = [loss for _, loss, _ in run.losses]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("method", ["qlora4", "qlora8", "full"])
def test_gradient_checkpointing_learns_the_same(llama: Path, tmp_path: Path, method: str) -> None:
    plain = Run(llama, tmp_path / "a", **METHODS[method], max_steps=3)
    saving = Run(llama, tmp_path / "b", **METHODS[method], max_steps=3, gradient_checkpointing=True)
    plain.train()
    saving.train()
    assert [loss for _, loss, _ in saving.losses] == pytest.approx(
        [loss for _, loss, _ in plain.losses], rel=1e-4
    )


@pytest.mark.parametrize(
    ("method", "checkpointing", "kernels", "times"),
    [
        ("lora", False, "auto", 1),
        ("lora", False, "plain", 1),
        # By kernels the embeddings add their gradient to the head's: nothing large is to come.
        ("full", False, "auto", 1),
        ("full", False, "plain", 2),
        ("full", True, "auto", 2),
        ("full", True, "plain", 3),
    ],
)
def test_free_memory_is_given_back_where_a_step_takes_most(
    llama: Path,
    monkeypatch: pytest.MonkeyPatch,
    kernels: str,
    method: str,
    checkpointing: bool,
    times: int,
) -> None:
    given_back: list[bool] = []
    monkeypatch.setattr(forward_module, "compact", lambda: given_back.append(True))
    training = make_spec(method=method).training
    _, tuned = model.load_for_training(llama, training, "fp32", CPU, checkpointing)
    forward = Forward(tuned, 0, kernels=kernels)  # type: ignore[arg-type]
    tuned.train()
    given_back.clear()
    batch = forward.batch(samples(), np.array([0, 1]))
    forward.loss_sum(batch).backward()  # type: ignore[no-untyped-call]
    assert len(given_back) == times
    tuned.eval()
    forward.scores(batch)
    assert len(given_back) == times


def test_neftune_noise_is_there_in_training_only_and_measured_by_each_sample(
    llama: Path, tmp_path: Path
) -> None:
    run = Run(llama, tmp_path / "o", neftune_noise_alpha=5.0)
    layer = run.forward.model.get_input_embeddings()
    seen: list[torch.Tensor] = []
    layer.register_forward_hook(
        lambda module, inputs, output: seen.append(output - module.weight[inputs[0]])
    )
    batch = pack(samples(), np.array([0, 1]))
    run.forward.model.train()
    with torch.no_grad():
        run.forward.logits(batch)
    noise = seen.pop()[0]
    lengths = [len(samples().sample(index)) - 1 for index in (0, 1)]
    for part, length in zip(noise.split(lengths), lengths, strict=True):
        largest = 5.0 / (length * noise.shape[-1]) ** 0.5
        assert largest * 0.9 < float(part.abs().max()) <= largest * 1.0001
    run.forward.model.eval()
    with torch.no_grad():
        run.forward.logits(batch)
    assert not seen.pop().any()


@every_method
@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 1e-4), ("bf16", 0.02)])
def test_a_run_by_kernels_learns_what_one_by_transformers_and_peft_learns(
    llama: Path, tmp_path: Path, method: str, dtype: str, tolerance: float
) -> None:
    losses = []
    for kernels in ("auto", "plain"):
        run = Run(llama, tmp_path / kernels, dtype, kernels=kernels, **METHODS[method])
        run.train()
        assert run.forward.by_kernels == (kernels == "auto")
        losses.append([loss for _, loss, _ in run.losses])
    assert losses[0] == pytest.approx(losses[1], rel=tolerance)
    assert losses[0][-1] < losses[0][0]


def test_a_short_name_that_means_another_module_too_is_not_used(llama: Path) -> None:
    base = model.load_base_model(llama, "fp32", CPU)
    base.model.layers[0].gate_proj = torch.nn.Identity()
    tuned = model.add_lora(base, make_spec().training)
    adapted = {name for name, _ in tuned.named_modules() if name.endswith("lora_A")}
    assert len(adapted) == 2 * 7


HEADS = {"q_proj", "k_proj", "v_proj", "o_proj"}


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("Glm4Moe", HEADS),
        ("Qwen2Moe", HEADS | {"gate_proj", "up_proj", "down_proj", "shared_expert_gate"}),
    ],
)
def test_an_adapter_names_no_layer_that_peft_takes_for_all_experts(
    family: str, expected: set[str]
) -> None:
    """As it does with a shared expert's, and the dense layers', of kinds like GLM-4's."""
    config = getattr(transformers, f"{family}Config")(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        n_routed_experts=4,
        num_experts=4,
        num_experts_per_tok=2,
    )
    base = getattr(transformers, f"{family}ForCausalLM")(config)
    assert any(name.endswith(".gate_proj") for name in model.linear_layers(base))
    tuned = model.add_lora(base, make_spec(lora_dropout=0.1).training)
    adapted = {name.split(".")[-2] for name, _ in tuned.named_modules() if name.endswith("lora_A")}
    assert adapted == expected
    assert not tuned.peft_config["default"].target_parameters


def test_the_numbers_of_quantised_weights_are_counted_whole(llama: Path) -> None:
    counts = set()
    for method in ("lora", "qlora4", "qlora8"):
        training = make_spec(**METHODS[method]).training
        _, tuned = model.load_for_training(llama, training, "fp32", CPU, False)
        counts.add(model.count_parameters(tuned))
    assert len(counts) == 1


@pytest.mark.parametrize(("dtype", "bits"), [("bf16", None), ("fp32", 4), ("fp32", 8)])
def test_weights_that_are_converted_on_a_cpu_are_read_one_by_one(
    llama: Path, tmp_path: Path, dtype: str, bits: int | None
) -> None:
    # Of a mapped file all that was read is resident until the last weight is there.
    own = shutil.copytree(llama, tmp_path / "own")  # other tests have mapped the common one
    mapped = []

    def note(*_parameter: object) -> None:
        mapped.append(str(own) in Path("/proc/self/maps").read_text())

    handle = register_module_parameter_registration_hook(note)
    try:
        model.load_base_model(own, dtype, CPU, bits)
    finally:
        handle.remove()
    assert mapped
    assert not any(mapped)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantised_model_lets_go_of_the_file_it_was_read_from(
    llama: Path, tmp_path: Path, bits: int
) -> None:
    own = shutil.copytree(llama, tmp_path / "own")
    torch.save(load_file(own / "model.safetensors"), own / "pytorch_model.bin")
    (own / "model.safetensors").unlink()
    base = model.load_base_model(own, "fp32", CPU, bits)
    assert base.get_input_embeddings().weight.isfinite().all()
    assert str(own) not in Path("/proc/self/maps").read_text()


def test_a_damaged_checkpoint_is_told_and_not_used(llama: Path, tmp_path: Path) -> None:
    run = Run(llama, tmp_path / "o", save_steps=2, save_total_limit=9)
    run.train()
    path = tmp_path / "o" / "checkpoint-2"
    shutil.copyfile(path / "rng_state.pt", path / "optimizer.pt")
    resumed = Run(llama, tmp_path / "p", resume_from_checkpoint=str(path))
    resume = find_resume(resumed.spec)
    with pytest.raises(RunFailure) as failure:
        resumed.train(resume)
    assert failure.value.code == "checkpoint_unusable"
