"""Runs an attempt without a server: run directory, executor, events, verdict."""

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tunesmith import events
from tunesmith.cli.exit_codes import OF_STATUS, ExitCode
from tunesmith.cli.run_view import RunView
from tunesmith.cli.task_view import explain, status
from tunesmith.cli.terminal import notice, text
from tunesmith.devices import Device, inventory
from tunesmith.diagnosis import Verdict, verdict
from tunesmith.errors import Refused, RunFailure
from tunesmith.executor import Executor
from tunesmith.executor.local import LocalExecutor
from tunesmith.launch import environment_of
from tunesmith.messages import hint, sentence, user_language
from tunesmith.request_problems import read_request
from tunesmith.run_directory import RunDirectory, read_json, write_json
from tunesmith.settings import Settings, load_settings
from tunesmith.spec import Spec
from tunesmith.tasks import resolve

LOOK_EVERY = 0.2  # seconds
LOG_TAIL = 64 << 10  # bytes of the log that a failure is judged by


def run_here(values: Mapping[str, Any], run_dir: Path | None) -> ExitCode:
    """Train what `values` ask for and return how it ended.

    Raises InvalidInput before anything is made, and Refused for a run directory in use.
    """
    settings = load_settings()
    devices = inventory(settings.devices)
    spec = resolve(read_request(values), settings=settings, roots=None, devices=devices)
    run = RunDirectory(_make_run_directory(run_dir, settings))
    spec = spec.model_copy(
        update={
            "attempt": 1,
            "devices": _choose(spec, devices),
            "output_path": spec.output_path or str(run.path / "output"),
        }
    )
    write_json(run.spec, spec.model_dump(mode="json"))
    notice(text("run_directory", path=run.path))
    return _run(spec, run, LocalExecutor(), settings)


def _make_run_directory(wanted: Path | None, settings: Settings) -> Path:
    if wanted:
        path = wanted.expanduser().absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise Refused("run_directory_in_use", path=str(path))
        except OSError as error:
            raise Refused("file_unwritable", path=str(path), reason=error.strerror) from None
        return path
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number = 1
    while True:
        path = settings.data_dir / "local" / f"{stamp}-{number}"
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
        except OSError as error:
            raise Refused("file_unwritable", path=str(path), reason=error.strerror) from None


def _choose(spec: Spec, devices: list[Device]) -> tuple[int, ...]:
    """Return the GPUs asked for, else the one with the most free memory; () is the CPU."""
    if spec.gpu.devices or not devices:
        return spec.gpu.devices
    free = {
        device.index: device.memory_total_bytes - (device.memory_used_bytes or 0)
        for device in devices
    }
    return (max(free, key=free.__getitem__),)


def _run(spec: Spec, run: RunDirectory, executor: Executor, settings: Settings) -> ExitCode:
    with RunView() as view, _stop_signals() as asked:
        try:
            handle = executor.start(run.path, environment_of(spec, settings))
        except OSError as error:
            raise RunFailure("start_failed", reason=error.strerror or str(error)) from None
        progress = _Progress(view)
        heard = 0
        try:
            while executor.alive(handle):
                if asked.times > heard:
                    heard = asked.times
                    executor.stop(handle, settings.stop_grace_seconds if heard == 1 else 0.0)
                    notice(text("stopping_here" if heard == 1 else "killing_here"))
                progress.read(run)
                time.sleep(LOOK_EVERY)
        except BaseException:
            # The terminal or the pipe that we write to is gone: nobody would see the training.
            executor.stop(handle, settings.stop_grace_seconds)
            raise
        progress.read(run)
        tail = executor.read(handle, run.log.name, -LOG_TAIL, LOG_TAIL)
    log = tail.decode("utf-8", "replace").splitlines()
    judged = verdict(spec, read_json(run.exit), progress.telling, log, asked.times > 0)
    _tell_end(judged, spec, run)
    return OF_STATUS[judged.status]


def _tell_end(judged: Verdict, spec: Spec, run: RunDirectory) -> None:
    if error := judged.error:
        language = user_language()
        notice(f"{status(judged.status)}: {spec.name}")
        explain(
            sentence(error["code"], language, error["params"]),
            hint(error["code"], language, error["params"]),
            error["log_lines"],
            error["suggested_change"],
        )
        notice(text("log_at", path=run.log))
    elif Path(spec.output_path).exists():
        notice(f"{status(judged.status)}: {text('output', path=spec.output_path)}")
    else:
        notice(status(judged.status))


@dataclass
class _Progress:
    """Reads the events as they come and shows them."""

    view: RunView
    telling: list[events.Event] = field(default_factory=list)
    """The events that say how it ended."""
    _offset: int = 0
    _began: float = field(default_factory=time.time)
    _shown: dict[str, Any] = field(
        default_factory=lambda: {
            "doing": text("phase.starting"),
            "step": 0,
            "total_steps": None,
            "left": None,
            "download": None,
        }
    )

    def read(self, run: RunDirectory) -> None:
        while True:
            new, offset = events.read(run.events, self._offset)
            for event in new:
                self._take(event)
            if offset == self._offset:
                break
            self._offset = offset
        self.view.show(elapsed=time.time() - self._began, **self._shown)

    def _take(self, event: events.Event) -> None:
        view = self.view
        match event:
            case events.PhaseChanged():
                self._shown |= {"doing": text(f"phase.{event.phase}"), "download": None}
            case events.Download():
                there = (event.downloaded_bytes, event.total_bytes, event.bytes_per_second)
                self._shown |= {"download": there, "left": event.eta_seconds}
            case events.Planned():
                self._shown["total_steps"] = event.total_steps
                view.planned(event.samples, event.eval_samples, event.total_steps, event.device)
            case events.Progress():
                self._shown |= {"step": event.step, "left": event.eta_seconds}
            case events.Metrics():
                self._shown |= {"step": event.step, "left": event.eta_seconds}
                view.measured(event.step, event.loss, event.eta_seconds)
            case events.Evaluation():
                view.evaluated(event.step, event.eval_loss, event.token_accuracy)
            case events.Checkpoint():
                view.saved(event.step, event.path)
            case events.Warned():
                view.warn(sentence(f"warning.{event.code}", user_language(), event.params))
            case events.Finished():
                self._shown |= {"step": event.step, "left": None}
        if isinstance(event, events.PhaseChanged | events.Failed | events.Finished):
            self.telling.append(event)


@dataclass
class _Asked:
    """How often a stop was asked for."""

    times: int = 0


@contextlib.contextmanager
def _stop_signals() -> Iterator[_Asked]:
    """Count Ctrl-C, SIGTERM and a closed terminal instead of dying of them.

    The training has a session of its own: it would go on, and nobody would know.
    """
    asked = _Asked()

    def count(number: int, frame: FrameType | None) -> None:
        asked.times += 1

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, count) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
