"""Several devices: real ranks over gloo on the CPU, one process each, on simulated devices."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.runs import DEADLINE, ROWS, Run
from tunesmith.events import (
    Checkpoint,
    Evaluation,
    Failed,
    Finished,
    MemoryPlanned,
    Metrics,
    Planned,
    Warned,
)
from tunesmith.executor import process
from tunesmith.executor.local import MARK, LocalExecutor
from tunesmith.run_directory import read_json

pytestmark = pytest.mark.processes

# The last step of an epoch has one sample, and so none for all ranks but one.
UNEVEN = [*ROWS, {"instruction": "Which tool?", "input": "", "output": "A hammer, 小锤子。 " * 8}]
LEARNING: dict[str, Any] = {
    "num_train_epochs": 2,
    "learning_rate": 1e-2,
    "lora_dropout": 0.0,
    "logging_steps": 1,
    "save_steps": 3,
    "eval_steps": 4,
    # Losses are compared to 1e-5; where a CPU has bf16, a run would take that.
    "dtype": "fp32",
}
END_WITHIN = 10  # seconds, from a rank's death to the end of the task

NewRun = Callable[[str], Run]


def losses(run: Run) -> list[tuple[int, float, float]]:
    return [(e.step, e.loss, e.grad_norm) for e in run.of(Metrics)]


def scores(run: Run) -> list[tuple[int, float, float]]:
    return [(e.step, e.eval_loss, e.token_accuracy) for e in run.of(Evaluation)]


def near(values: list[tuple[int, float, float]]) -> list[Any]:
    return [pytest.approx(value, rel=1e-5) for value in values]


def done(run: Run) -> Run:
    assert run.wait() == 0, run.log
    return run


def test_two_ranks_learn_what_one_process_does(
    new_run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    given: dict[str, Any] = {"rows": UNEVEN, "valid": ROWS[:3], **LEARNING}
    one = done(new_run("one").start(per_device_train_batch_size=8, **given))
    two = done(new_run("two").start(per_device_train_batch_size=4, simulated=2, **given))
    assert [step for step, _, _ in losses(one)] == list(range(1, 9))
    assert losses(two) == near(losses(one))
    assert scores(two) == near(scores(one)) and len(scores(two)) == 2
    # One process reports, as of one run.
    assert [event.seq for event in two.events] == list(range(1, len(two.events) + 1))
    assert two.log.count("started: ") == 1
    (plan,) = two.of(Planned)
    assert (plan.devices, plan.sharded, plan.total_steps) == (2, False, 8)
    assert [event.step for event in two.of(Checkpoint)] == [3, 6]
    assert sorted(path.name for path in two.output.iterdir()) == sorted(
        path.name for path in one.output.iterdir()
    )
    assert same_weights(one.output, two.output)
    finished = two.events[-1]
    assert isinstance(finished, Finished) and finished.peak_memory_bytes > 1e7
    # Nor does torch's launcher leave anything behind.
    assert not list(scratch.iterdir())
    assert {path.name for path in two.directory.path.iterdir()} == {
        path.name for path in one.directory.path.iterdir()
    }


def test_a_divided_model_learns_the_same_and_goes_on_from_its_checkpoint_anywhere(
    new_run: NewRun, llama: Path
) -> None:
    given: dict[str, Any] = {"rows": UNEVEN, "valid": ROWS[:3], **LEARNING, "method": "full"}
    given |= {"learning_rate": 1e-3}
    divided = {"per_device_train_batch_size": 4, "simulated": 2, "sharding": "full"}
    one = done(new_run("one").start(per_device_train_batch_size=8, **given))
    two = done(new_run("two").start(**given, **divided))
    assert losses(two) == near(losses(one))
    assert scores(two) == near(scores(one))
    assert two.of(Planned)[0].sharded
    whole, part = (run.of(MemoryPlanned)[0] for run in (one, two))
    assert part.weights_bytes < 0.6 * whole.weights_bytes
    assert same_weights(one.output, two.output)
    assert_model_loads(two.output, llama)

    checkpoint = str(two.output / "checkpoint-3")
    alone = new_run("alone").start(
        **given, per_device_train_batch_size=8, resume_from_checkpoint=checkpoint
    )
    assert losses(done(alone)) == near(losses(two)[3:])
    warned = {event.code: event.params for event in alone.of(Warned)}
    assert warned["resumed_other_devices"] == {"before": 2, "now": 1}
    assert same_weights(two.output, alone.output)


def test_what_one_device_cannot_hold_is_divided_by_the_plan(new_run: NewRun) -> None:
    """The plan counts samples as long as they may be; these are short, so that the run fits."""
    given = LEARNING | {"method": "full", "max_steps": 2, "simulated": 2}
    given |= {"gradient_checkpointing": True, "gpu": {"max_memory_gib": 1}}
    fits = done(new_run("fits").start(max_seq_length=64, **given))
    not_so = done(new_run("not so").start(max_seq_length=131072, **given))
    (here,), (there,) = fits.of(Planned), not_so.of(Planned)
    assert (here.sharded, there.sharded) == (False, True)
    assert "sharded" in [event.code for event in not_so.of(Warned)]
    assert losses(not_so) == near(losses(fits))


def test_a_divided_batch_that_does_not_fit_begins_again_smaller(new_run: NewRun) -> None:
    rows = [{"instruction": "a" * 400, "input": "", "output": "b" * 400}] * 256
    given: dict[str, Any] = LEARNING | {"rows": rows, "num_train_epochs": 1}
    given |= {"per_device_train_batch_size": 128, "simulated": 2, "sharding": "full"}
    fits = done(new_run("fits").start(**given))
    cut = done(new_run("does not fit").start(**given, gpu={"max_memory_gib": 0.12}))
    warned = [event.params for event in cut.of(Warned) if event.code == "smaller_batches"]
    assert warned and warned[0]["now"] < warned[0]["before"]
    assert losses(cut) == near(losses(fits))
    numbers = [event.seq for event in cut.events]
    assert numbers == list(range(1, len(numbers) + 1))


def test_four_ranks_learn_what_one_process_does(new_run: NewRun) -> None:
    given: dict[str, Any] = {"rows": UNEVEN, **LEARNING, "method": "full", "learning_rate": 1e-3}
    one = done(new_run("one").start(per_device_train_batch_size=8, **given))
    four = done(new_run("four").start(per_device_train_batch_size=2, simulated=4, **given))
    assert losses(four) == near(losses(one))
    assert same_weights(one.output, four.output)


def test_a_divided_adapter_and_each_ranks_random_numbers_come_back(new_run: NewRun) -> None:
    given: dict[str, Any] = LEARNING | {"per_device_train_batch_size": 4, "simulated": 2}
    given |= {"lora_dropout": 0.2, "neftune_noise_alpha": 5.0, "sharding": "full"}
    whole = done(new_run("whole").start(**given))
    resumed = new_run("resumed")
    done(resumed.start(**given, resume_from_checkpoint=str(whole.output / "checkpoint-3")))
    assert losses(resumed) == losses(whole)[3:]
    adapters = [(run.output / "adapter_model.safetensors") for run in (whole, resumed)]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


def test_a_stop_reaches_all_ranks_and_leaves_what_another_number_goes_on_from(
    new_run: NewRun,
) -> None:
    given: dict[str, Any] = LEARNING | {"num_train_epochs": 10_000, "save_steps": 1_000_000}
    given |= {"lr_scheduler_type": "constant", "warmup_steps": 0}
    stopped = new_run("stopped").start(**given, per_device_train_batch_size=2, simulated=3)
    assert stopped.stop_when(lambda: len(stopped.of(Metrics)) > 3) == 0, stopped.log
    finished = stopped.events[-1]
    assert isinstance(finished, Finished) and finished.outcome == "stopped"
    (saved,) = stopped.of(Checkpoint)
    assert saved.step == finished.step == stopped.of(Metrics)[-1].step
    assert [path.name for path in stopped.output.iterdir()] == [f"checkpoint-{saved.step}"]
    assert not list(stopped.directory.path.glob("failure-*"))

    given |= {"max_steps": saved.step + 2, "resume_from_checkpoint": saved.path}
    alone = done(new_run("alone").start(**given, per_device_train_batch_size=6))
    assert [step for step, _, _ in losses(alone)] == [saved.step + 1, saved.step + 2]


def test_a_rank_that_is_killed_ends_the_task_with_its_reason(new_run: NewRun) -> None:
    run = new_run("killed").prepare(
        **LEARNING | {"num_train_epochs": 10_000}, simulated=3, sharding="full"
    )
    launcher = supervised(run)
    victim = next(pid for pid in process.children(launcher) if rank_of(pid) == "1")
    killed_at = time.time()
    os.kill(victim, signal.SIGKILL)
    eventually(run, run.directory.exit.exists)
    outcome = read_json(run.directory.exit)
    assert outcome is not None
    assert outcome["ended_at"] - killed_at < END_WITHIN
    assert outcome["exit_code"] == 1
    last = run.events[-1]
    assert isinstance(last, Failed), run.log
    assert (last.code, last.params) == (
        "rank_killed",
        {"rank": 1, "ranks": 3, "signal": "SIGKILL"},
    )
    assert [event.seq for event in run.events] == list(range(1, len(run.events) + 1))
    # The others noticed only that it was gone.
    left = [read_json(path) for path in run.directory.path.glob("failure-*.json")]
    assert left and all(each and each["lost_peer"] for each in left)
    assert_nothing_is_left(run)


def test_the_launcher_itself_can_be_killed_and_no_rank_stays(new_run: NewRun) -> None:
    run = new_run("orphans").prepare(**LEARNING | {"num_train_epochs": 10_000}, simulated=2)
    os.kill(supervised(run), signal.SIGKILL)
    eventually(run, run.directory.exit.exists)
    assert_nothing_is_left(run)


def test_a_failure_that_all_ranks_share_is_told_once(new_run: NewRun) -> None:
    rows = [*ROWS, {"instruction": "no answer", "input": ""}]
    run = new_run("bad row").start(rows=rows, simulated=2)
    assert run.failure.code == "bad_row"
    assert [event.seq for event in run.events] == list(range(1, len(run.events) + 1))


def supervised(run: Run) -> int:
    """Start `run` as a server does; return the launcher's pid once all ranks have learnt."""
    LocalExecutor().start(run.directory.path, {"OMP_NUM_THREADS": "1"})
    eventually(run, lambda: run.directory.exit.exists() or run.of(Metrics))
    known = read_json(run.directory.supervisor)
    assert known is not None and run.of(Metrics), run.log
    pid: int = known["trainer"]["pid"]
    return pid


def eventually(run: Run, condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, run.log
        time.sleep(0.02)


def assert_nothing_is_left(run: Run) -> None:
    # The supervisor itself ends right after exit.json.
    eventually(run, lambda: not process.marked(MARK, str(run.directory.path)))


def rank_of(pid: int) -> str | None:
    entries = (process.PROC / str(pid) / "environ").read_bytes().split(b"\0")
    values = dict(entry.decode().split("=", 1) for entry in entries if b"=" in entry)
    return values.get("RANK")


def same_weights(one: Path, other: Path) -> bool:
    import torch
    from safetensors.torch import load_file

    (first,), (second,) = one.glob("*.safetensors"), other.glob("*.safetensors")
    here, there = load_file(first), load_file(second)
    return here.keys() == there.keys() and all(
        torch.allclose(here[name], there[name], rtol=1e-3, atol=1e-5) for name in here
    )


def assert_model_loads(output: Path, base: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tuned, info = AutoModelForCausalLM.from_pretrained(output, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    before = AutoModelForCausalLM.from_pretrained(base)
    assert tuned.dtype == before.dtype and type(tuned) is type(before)
    changed = [
        not torch.equal(weight, old)
        for weight, old in zip(tuned.parameters(), before.parameters(), strict=True)
    ]
    assert all(changed)
    assert AutoTokenizer.from_pretrained(output).eos_token == "<|im_end|>"
