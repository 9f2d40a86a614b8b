"""How an attempt ended, why, and what would likely help. Pure: facts in, verdict out."""

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.dataset import ends_file
from tunesmith.events import Event, Failed, Finished, PhaseChanged
from tunesmith.spec import Spec
from tunesmith.status import Status

LOG_LINES = 20

# What a process that died without an `error` event may have left in its log, newest first.
LOG_SIGNS = {
    "out_of_memory": re.compile(
        r"out of memory|can't allocate memory|MemoryError|bad_alloc|memory allocation of", re.I
    ),
    "disk_full": re.compile(r"No space left on device|Disk quota exceeded", re.I),
}


@dataclass(frozen=True)
class Verdict:
    """The final status, and for a failure {"code", "params", "log_lines", "suggested_change"}."""

    status: Status
    error: dict[str, Any] | None = None


def verdict(
    spec: Spec,
    exit: dict[str, Any] | None,
    events: Iterable[Event],
    log_tail: Sequence[str],
    stop_requested: bool,
) -> Verdict:
    """Judge an ended attempt.

    `exit` is the content of exit.json, None when the supervisor left none; `events` hold at
    least the attempt's phase, error and finished events; `log_tail` the last lines of its log.
    """
    finished: Finished | None = None
    failed: Failed | None = None
    phase = "starting"
    for event in events:
        if isinstance(event, Finished):
            finished = event
        elif isinstance(event, Failed):
            failed = event
        elif isinstance(event, PhaseChanged):
            phase = event.phase.value
    # A task may finish in the moment it is asked to stop: believe the trainer.
    if finished and finished.outcome == "completed":
        return Verdict(Status.COMPLETED)
    if stop_requested:
        return Verdict(Status.STOPPED)
    code, params = _reason(spec, exit, finished, failed, phase, log_tail)
    return Verdict(
        Status.FAILED,
        {
            "code": code,
            "params": params,
            "log_lines": telling_lines(log_tail),
            "suggested_change": suggested_change(code, spec, params),
        },
    )


def suggested_change(code: str, spec: Spec, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return training arguments that would likely help against `code`; {} where none would.

    `params` are those of the failure.
    """
    training = spec.training
    if code == "sample_too_large" and params["change"]:
        return dict(params["change"])
    if code in ("out_of_memory", "sample_out_of_memory", "sample_too_large", "killed"):
        batch = training.per_device_train_batch_size
        if batch > 1 and not code.startswith("sample_"):
            together = batch * training.gradient_accumulation_steps
            # What is learnt from at once stays the same.
            smaller = next(size for size in range(batch // 2, 0, -1) if together % size == 0)
            return {
                "per_device_train_batch_size": smaller,
                "gradient_accumulation_steps": together // smaller,
            }
        if not spec.gradient_checkpointing:
            return {"gradient_checkpointing": True}
        if leaner := {"full": "lora", "lora": "qlora"}.get(training.method):
            return {"method": leaner}
        if training.max_seq_length > 128:
            return {"max_seq_length": training.max_seq_length // 2}
    if code == "nan_loss":
        return {"learning_rate": training.learning_rate / 4}
    if code in ("checkpoint_unusable", "checkpoint_of_other_run", "nothing_to_resume"):
        return {"resume_from_checkpoint": ""}  # not given
    if code == "early_stopping_without_validation":
        return {"early_stopping_patience": ""}
    if (
        code == "bad_row"
        and training.on_bad_rows == "error"
        and not ends_file(params.get("problem", {}))
    ):
        return {"on_bad_rows": "skip"}
    if code == "no_labels":
        return {"max_seq_length": training.max_seq_length * 2}
    if code == "targets_missing":
        return {"lora_target_modules": "all-linear"}
    if code == "disk_full" and training.save_total_limit > 1:
        return {"save_total_limit": 1}
    return {}


def telling_lines(log_tail: Sequence[str]) -> list[str]:
    """Return the lines that show the failure: from the last traceback on, else the last ones."""
    for index in range(len(log_tail) - 1, -1, -1):
        if log_tail[index].startswith("Traceback (most recent call last)"):
            trace = list(log_tail[index:])
            # The end of a traceback names the error; its beginning is our own frames.
            return trace if len(trace) <= LOG_LINES else [trace[0], "...", *trace[2 - LOG_LINES :]]
    return list(log_tail[-LOG_LINES:])


def _reason(
    spec: Spec,
    exit: dict[str, Any] | None,
    finished: Finished | None,
    failed: Failed | None,
    phase: str,
    log_tail: Sequence[str],
) -> tuple[str, dict[str, Any]]:
    if failed:
        return failed.code, failed.params
    if exit is None:
        return "supervisor_lost", {}
    if exit.get("error"):
        return "start_failed", {"reason": exit["error"]}
    number = exit.get("signal")
    if number == signal.SIGKILL:
        return "killed", {}
    if number == signal.SIGABRT and (found := _sign_in(log_tail, spec)):
        return found  # C++ and Rust abort where Python would raise MemoryError
    if number or finished:
        # "stopped" that nobody asked us for: somebody sent SIGTERM to the trainer itself.
        return "killed_by_signal", {"signal": _signal_name(number or signal.SIGTERM)}
    if found := _sign_in(log_tail, spec):
        return found
    return "exited_unexpectedly", {"exit_code": exit.get("exit_code"), "phase": phase}


def _sign_in(log_tail: Sequence[str], spec: Spec) -> tuple[str, dict[str, Any]] | None:
    for line in reversed(log_tail):
        for code, sign in LOG_SIGNS.items():
            if sign.search(line):
                device = "GPU" if spec.devices and not spec.simulated else "CPU"
                return code, {
                    "device": device,
                    "reason": line.strip(),
                    "path": spec.output_path,
                }
    return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
