"""`python -m tunesmith.trainer` for real, over tiny base models on the CPU."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runs import DEADLINE, ROWS, Run
from tests.tiny_models import make_tiny_model
from tunesmith import events

pytestmark = pytest.mark.processes


# peft asks transformers 5 for this under its old name.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_a_run_learns_says_how_and_leaves_an_adapter_that_loads(new_run: Any, llama: Path) -> None:
    arguments: dict[str, Any] = {
        "num_train_epochs": 4,
        "learning_rate": 1e-2,
        "warmup_steps": 1000,
        "logging_steps": 5,
        "save_steps": 7,
        "save_total_limit": 2,
        "seed": 3,
    }
    run = new_run().start(valid=ROWS[:3], **arguments)
    assert run.wait() == 0, run.log

    assert isinstance(run.events[0], events.Started)
    assert [event.seq for event in run.events] == list(range(1, len(run.events) + 1))
    phases = [event.phase.value for event in run.of(events.PhaseChanged)]
    learning = ["training", "evaluating"] * 4
    assert phases == ["checking", "loading", "preparing", *learning, "saving"]
    (plan,) = run.of(events.Planned)
    assert (plan.total_steps, plan.warmup_steps, plan.packed) == (24, 2, True)
    assert (plan.samples, plan.eval_samples, plan.device) == (24, 3, "cpu")
    assert {event.code for event in run.of(events.Warned)} == {
        "few_samples",
        "cpu_training",
        "warmup_too_long",
    }
    metrics = run.of(events.Metrics)
    assert [event.step for event in metrics] == [5, 10, 15, 20, 24]
    assert metrics[-1].loss < 0.9 * metrics[0].loss
    assert metrics[-1].eta_seconds == 0 and metrics[0].tokens_per_second > 0
    evaluations = run.of(events.Evaluation)
    assert [event.step for event in evaluations] == [6, 12, 18, 24]
    assert evaluations[-1].eval_loss < evaluations[0].eval_loss
    assert [event.step for event in run.of(events.Checkpoint)] == [7, 14, 21]
    finished = run.events[-1]
    assert isinstance(finished, events.Finished)
    assert (finished.outcome, finished.step) == ("completed", 24)
    assert finished.final == {
        "loss": metrics[-1].loss,
        "eval_loss": evaluations[-1].eval_loss,
        "token_accuracy": evaluations[-1].token_accuracy,
    }
    assert len(re.findall(r"step \d+/24 .* loss ", run.log)) == len(metrics)
    assert "warning: " in run.log and "Warning" not in run.log

    names = {path.name for path in run.output.iterdir()}
    assert names == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "checkpoint-14",
        "checkpoint-21",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    tokenizer = (run.output / "tokenizer.json").read_bytes()
    assert tokenizer == (llama / "tokenizer.json").read_bytes()
    card = (run.output / "README.md").read_text(encoding="utf-8")
    assert "library_name: peft" in card and "A name, 名字" in card and "| lora_r | 16 |" in card
    assert_loads(run.output, llama, evaluations[-1].eval_loss)

    again = new_run("again").start(valid=ROWS[:3], **arguments)
    assert again.wait() == 0, again.log
    assert values(again) == values(run)
    adapters = [(made.output / "adapter_model.safetensors").read_bytes() for made in (run, again)]
    assert adapters[0] == adapters[1]


def values(run: Run) -> list[tuple[int, float, float]]:
    return [(event.step, event.loss, event.grad_norm) for event in run.of(events.Metrics)]


def assert_loads(output: Path, base: Path, eval_loss: float) -> None:
    """The adapter gives the loss that the run reported, both ways of loading it."""
    import torch
    from peft import AutoPeftModelForCausalLM, PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(output)
    plain = AutoModelForCausalLM.from_pretrained(base)
    for tuned in (
        AutoPeftModelForCausalLM.from_pretrained(output),
        PeftModel.from_pretrained(plain, str(output)),
    ):
        lost, count = 0.0, 0
        for row in ROWS[:3]:
            user = f"{row['instruction']}\n{row['input']}" if row["input"] else row["instruction"]
            messages = [{"role": "user", "content": user}]
            # The data holds a control token as text, as ours must have encoded it.
            prompt = tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=True,
                return_dict=False,
                sanitize_control_tokens=True,
            )
            answer = tokenizer(row["output"] + "<|im_end|>")["input_ids"]
            ids = torch.tensor([prompt + answer])
            labels = torch.tensor([[-100] * len(prompt) + answer])
            with torch.no_grad():
                lost += float(tuned(input_ids=ids, labels=labels).loss) * len(answer)
            count += len(answer)
        assert lost / count == pytest.approx(eval_loss, rel=0.02)


def test_a_stop_in_training_leaves_a_whole_checkpoint_and_no_result(new_run: Any) -> None:
    run = new_run().start(num_train_epochs=10_000, logging_steps=7)
    assert run.stop_when(lambda: bool(run.of(events.Metrics))) == 0, run.log
    finished = run.events[-1]
    assert isinstance(finished, events.Finished)
    assert finished.outcome == "stopped" and finished.step >= 7
    assert run.of(events.PhaseChanged)[-1].phase == events.Phase.STOPPING
    (saved,) = run.of(events.Checkpoint)
    assert [path.name for path in run.output.iterdir()] == [f"checkpoint-{finished.step}"]
    assert saved.path == str(run.output / f"checkpoint-{finished.step}")
    state = json.loads((Path(saved.path) / "trainer_state.json").read_text())
    assert (state["step"], state["samples"]) == (finished.step, 24)
    assert (Path(saved.path) / "adapter_model.safetensors").stat().st_size > 100_000


def test_a_stop_before_training_leaves_nothing(new_run: Any) -> None:
    run = new_run().start()
    loading = [events.Phase.CHECKING, events.Phase.LOADING]
    assert run.stop_when(lambda: [e.phase for e in run.of(events.PhaseChanged)] == loading) == 0
    finished = run.events[-1]
    assert isinstance(finished, events.Finished)
    assert (finished.outcome, finished.step) == ("stopped", 0)
    assert not run.output.exists()


def test_a_corrupt_line_is_named_before_anything_heavy_is_loaded(new_run: Any) -> None:
    run = new_run()
    run.start(rows=[])
    run.wait()
    (run.data / "train.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"instruct\n')
    run.directory.events.unlink()
    run.spawn()
    failure = run.failure
    assert (failure.code, failure.params["line"]) == ("bad_row", 2)
    assert failure.params["file"] == "train.jsonl"
    assert "loading" not in [event.phase for event in run.of(events.PhaseChanged)]


def test_data_and_template_that_leave_nothing_to_learn(new_run: Any, tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "no template", "qwen2", chat_template=False)
    long = [{"instruction": "a" * 99, "input": "", "output": "b"}]
    run = new_run(base=base).start(rows=long * 2, max_seq_length=8)
    assert run.failure.code == "no_labels"
    assert run.failure.params == {"samples": 2, "max_seq_length": 8}
    assert "family_format" in [event.code for event in run.of(events.Warned)]


def test_a_loss_that_is_no_number_ends_the_run(new_run: Any, llama: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    for file in llama.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][3] = torch.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    failure = new_run(base=broken).start().failure
    assert failure.code == "nan_loss"
    assert failure.params == {"value": "nan", "step": 1}


def test_memory_beyond_the_cap_is_a_failure_that_says_so(new_run: Any) -> None:
    run = new_run().start(gpu={"max_memory_gib": 0.001})
    assert run.failure.code in ("out_of_memory", "sample_out_of_memory", "sample_too_large")
    assert run.failure.params["device"] == "cpu"


def test_a_batch_beyond_the_cap_is_cut_and_trains_all_the_same(new_run: Any) -> None:
    rows = [{"instruction": "a" * 400, "input": "", "output": "b" * 400}] * 256
    run = new_run().start(
        rows=rows,
        per_device_train_batch_size=256,
        num_train_epochs=1,
        # The code that oneDNN makes for bf16, where a CPU has it, takes as much as the tensors.
        dtype="fp32",
        gpu={"max_memory_gib": 0.12},
    )
    assert run.wait() == 0, run.log
    warned = [each for each in run.of(events.Warned) if each.code == "smaller_batches"]
    assert warned and warned[0].params["now"] < warned[0].params["before"]
    assert run.of(events.Finished)[0].step == 1


def test_a_full_disk_is_told_before_training(new_run: Any, tmp_path: Path) -> None:
    small = tmp_path / "small disk"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs root and mount to make a disk that is full")
    try:
        run = new_run()
        run.output = small / "output"
        failure = run.start().failure
        assert failure.code == "disk_full"
        assert failure.params == {"path": str(run.output)}
        assert run.of(events.Metrics) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_an_incomplete_base_model_is_refused_with_a_reason(new_run: Any, tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "cut")
    weights = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    failure = new_run(base=base).start().failure
    assert failure.code == "base_model_unreadable"
    assert failure.params["path"] == str(base) and failure.params["reason"]


def test_questions_are_answered_with_and_without_an_adapter(llama: Path) -> None:
    request = {
        "base_model": str(llama),
        "adapter": None,
        "system_prompt": None,
        "questions": ["What is your name?", "你好"],
        "max_new_tokens": 4,
    }
    answered = subprocess.run(
        [sys.executable, "-m", "tunesmith.trainer.answer"],
        input=json.dumps(request).encode(),
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
    assert len(json.loads(answered.stdout)["answers"]) == 2


def test_a_length_beyond_the_base_model_s_positions_is_a_warning(new_run: Any) -> None:
    run = new_run().start(max_seq_length=600, max_steps=1)
    assert run.wait() == 0, run.log
    (warned,) = [event for event in run.of(events.Warned) if event.code == "beyond_positions"]
    assert warned.params == {"max_seq_length": 600, "positions": 512}
