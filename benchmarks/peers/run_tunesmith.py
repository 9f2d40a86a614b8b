"""Runs a job with Tunesmith's own trainer, as the server would: `python -m tunesmith.trainer`.

The trainer is measured from outside: step times from its events, memory from /proc.
"""

import itertools
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import job, probe
from benchmarks.peers.workloads import arranged, encoded, write_rows
from tunesmith import allocator, events
from tunesmith.run_directory import RunDirectory
from tunesmith.spec import GpuConfig, Spec, TrainingArguments

# While the libraries are imported, and then: looking 50 times a second took 2 % of a step.
EVERY_SECONDS, EVERY_SECONDS_THEN = 0.02, 0.2


@dataclass(frozen=True)
class Memory:
    at: float
    resident: int
    peak: int
    """Resident high water until then."""


def main() -> None:
    asked, _ = probe.asked()
    root = Path(asked.scratch)
    dataset = write_rows(arranged(asked.rows(), job.SEED), root / "train.jsonl")
    spec = spec_of(asked, dataset)
    directory = RunDirectory(root)
    directory.spec.write_text(spec.model_dump_json(), encoding="utf-8")
    # Not the time that the driver started this process at: the trainer's own.
    started_at, memory = run(directory)
    measured = result(directory, started_at, memory, spec)
    print(measured.line(), flush=True)


def spec_of(asked: job.Job, dataset: Path) -> Spec:
    training = TrainingArguments(
        method=asked.method,
        max_steps=asked.steps,
        per_device_train_batch_size=job.BATCH_SIZE,
        max_seq_length=job.MAX_LENGTH,
        learning_rate=asked.learning_rate,
        lr_scheduler_type="constant",
        warmup_steps=0,
        weight_decay=0.0,
        lora_r=job.LORA_R,
        lora_alpha=job.LORA_ALPHA,
        lora_dropout=0.0,
        gradient_checkpointing=asked.mode == "checkpointing",
        dtype="fp32",
        logging_steps=1,
        seed=job.SEED,
    )
    return Spec(
        task_id=1,
        attempt=1,
        name="benchmark",
        description=None,
        base_model=asked.model,
        dataset_path=str(dataset),
        output_path=str(Path(asked.scratch) / "output"),
        training=training,
        given=tuple(sorted(training.model_fields_set)),
        gpu=GpuConfig(),
        devices=(),
    )


def run(directory: RunDirectory) -> tuple[float, list[Memory]]:
    """Do the run; return when it was started, and its memory all the time."""
    memory = []
    with directory.log.open("wb") as log:
        started_at = time.time()
        command = [sys.executable, "-m", "tunesmith.trainer", str(directory.path)]
        variables = os.environ | allocator.environment()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=variables)
        while process.poll() is None:
            if (now := memory_of(process.pid)) is not None:
                memory.append(now)
            time.sleep(EVERY_SECONDS_THEN if is_imported(directory) else EVERY_SECONDS)
    if process.returncode:
        sys.exit(directory.log.read_text(encoding="utf-8", errors="replace")[-4000:])
    return started_at, memory


def is_imported(directory: RunDirectory) -> bool:
    return directory.events.exists() and b"cpu_training" in directory.events.read_bytes()


def memory_of(pid: int) -> Memory | None:
    """Return what /proc says; None for a process that is just ending."""
    at = time.time()
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    values = dict(line.split(":", 1) for line in status.splitlines())
    if "VmHWM" not in values:
        return None
    resident, peak = (int(values[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return Memory(at, resident, peak)


def result(
    directory: RunDirectory, started_at: float, memory: list[Memory], spec: Spec
) -> job.Measured:
    found = read_events(directory)
    metrics = [event for event in found if isinstance(event, events.Metrics)]
    # The device is known, and told, when all is imported and nothing loaded.
    imported = next(event.at for event in found if getattr(event, "code", "") == "cpu_training")
    training = next(
        event.at
        for event in found
        if isinstance(event, events.PhaseChanged) and event.phase is events.Phase.TRAINING
    )
    ends = [training, *(event.at for event in metrics)]
    tokens, labels, first_batch = contents(spec)
    return job.Measured(
        seconds=[end - begin for begin, end in itertools.pairwise(ends)],
        tokens=tokens,
        labels=labels,
        losses=[event.loss for event in metrics],
        first_batch=first_batch,
        peak_bytes=next((at.peak for at in memory if at.at >= ends[-1]), memory[-1].peak),
        before_model_bytes=max(at.resident for at in memory if at.at <= imported),
        first_step_seconds=ends[1] - started_at,
        versions=probe.versions(["tunesmith", *probe.PACKAGES]),
    )


def read_events(directory: RunDirectory) -> list[events.Event]:
    found: list[events.Event] = []
    offset = 0
    while True:
        more, after = events.read(directory.events, offset)
        if after == offset:
            return found
        found += more
        offset = after


def contents(spec: Spec) -> tuple[list[int], list[int], list[str]]:
    """Return tokens and labels of each step, and the first step's samples: encoded once more."""
    from tunesmith.trainer.batches import steps

    samples = encoded(Path(spec.dataset_path), Path(spec.base_model))
    order = list(steps(len(samples), spec.training.max_steps, job.BATCH_SIZE, 1, job.SEED))
    return (
        [samples.count_tokens(step.indices) for step in order],
        [samples.count_labels(step.indices) for step in order],
        [probe.hash_of(samples.sample(index).tolist()) for index in order[0].indices],
    )


if __name__ == "__main__":
    main()
