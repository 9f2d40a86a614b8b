"""Each method, and a resumed run, through the real trainer process; results without our code."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runs import ROWS, Run
from tunesmith.events import Metrics, Planned, Warned
from tunesmith.spec import Spec

pytestmark = pytest.mark.processes


def answer(path: Path, full: bool) -> str:
    """Ask the result with plain transformers and peft."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers under old names
        loader = AutoModelForCausalLM if full else AutoPeftModelForCausalLM
        tuned = loader.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    messages = [{"role": "user", "content": "What is your name?"}]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    stops = json.loads((path / "generation_config.json").read_text())["eos_token_id"]
    found = tuned.generate(**prompt, max_new_tokens=20, do_sample=False, eos_token_id=stops)
    return str(tokenizer.decode(found[0, prompt["input_ids"].shape[1] :]))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("qlora4", {"method": "qlora", "learning_rate": 1e-2}),
        ("qlora8", {"method": "qlora", "quantization_bits": 8, "learning_rate": 1e-2}),
        ("full", {"method": "full", "learning_rate": 5e-3}),
    ],
)
def test_a_method_from_the_spec_to_an_answer(
    new_run: Callable[[str], Run], name: str, arguments: dict[str, Any]
) -> None:
    run = new_run(name).start(
        num_train_epochs=15, warmup_ratio=0.1, logging_steps=5, save_steps=20, **arguments
    )
    assert run.wait() == 0, run.log
    losses = [event.loss for event in run.of(Metrics)]
    # An adapter cannot make much of random weights whose head is frozen; all weights can.
    if name == "full":
        assert losses[-1] < 0.1 * losses[0]
        assert answer(run.output, True) == "My name is Smithy.<|im_end|>"
    else:
        assert losses[-1] < 0.9 * losses[0]
        assert answer(run.output, False)
    card = (run.output / "README.md").read_text(encoding="utf-8")
    assert ("AutoModelForCausalLM" in card) == (name == "full")
    (plan,) = run.of(Planned)
    assert (plan.trainable_parameters == plan.total_parameters) == (name == "full")


def test_a_new_task_goes_on_from_the_checkpoint_of_a_stopped_one(
    new_run: Callable[[str], Run],
) -> None:
    arguments: dict[str, Any] = {
        "max_steps": 30,
        "num_train_epochs": 30,
        "per_device_train_batch_size": 8,
        "logging_steps": 1,
        "warmup_steps": 3,
    }
    whole = new_run("whole").start(**arguments)
    stopped = new_run("stopped").start(**arguments)
    assert stopped.stop_when(lambda: len(stopped.of(Metrics)) >= 5) == 0
    assert whole.wait() == 0, whole.log
    (checkpoint,) = stopped.output.glob("checkpoint-*")
    step = int(checkpoint.name.removeprefix("checkpoint-"))

    resumed = new_run("resumed")
    resumed.data.rmdir()
    resumed.data = stopped.data  # the same files
    resumed.start(**arguments, resume_from_checkpoint=str(checkpoint))
    assert resumed.wait() == 0, resumed.log
    warned = {event.code: event.params for event in resumed.of(Warned)}
    assert warned["resumed"]["step"] == step
    expected = [(e.step, e.loss, e.grad_norm) for e in whole.of(Metrics) if e.step > step]
    assert [(e.step, e.loss, e.grad_norm) for e in resumed.of(Metrics)] == expected
    assert resumed.of(Metrics)[0].eta_seconds < 60


def test_an_attempt_that_was_killed_is_taken_up_where_it_saved(
    new_run: Callable[[str], Run],
) -> None:
    run = new_run("killed").start(max_steps=200, num_train_epochs=200, save_steps=2)
    assert run.process is not None
    while not list(run.output.glob("checkpoint-*/trainer_state.json")):
        assert run.process.poll() is None, run.log
    run.process.kill()
    run.process.wait()
    spec = Spec.model_validate_json(run.directory.spec.read_text(encoding="utf-8"))
    shorter = spec.training.model_copy(update={"max_steps": 120})
    again = spec.model_copy(update={"attempt": 2, "training": shorter})
    run.directory.spec.write_text(again.model_dump_json(), encoding="utf-8")
    run.directory.events.unlink()
    run.spawn()
    assert run.wait() == 0, run.log
    warned = {event.code: event.params for event in run.of(Warned)}
    assert warned["resumed"]["step"] >= 2
    assert warned["resumed_other_plan"] == {"before": 200, "now": 120}
    assert (run.output / "adapter_model.safetensors").exists()


def test_data_that_changed_since_is_refused(new_run: Callable[[str], Run]) -> None:
    first = new_run("first").start(max_steps=6, save_steps=2)
    assert first.wait() == 0, first.log
    other = new_run("other").start(
        ROWS[:20], max_steps=6, resume_from_checkpoint=str(first.output / "checkpoint-4")
    )
    assert other.failure.code == "checkpoint_of_other_run"
    assert "24 samples" in str(other.failure.params)


def test_early_stopping_needs_a_validation_set(new_run: Callable[[str], Run]) -> None:
    run = new_run("early").start(early_stopping_patience=2)
    assert run.failure.code == "early_stopping_without_validation"
