"""Runs of the real trainer process over tiny data, for tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith import events
from tunesmith.events import Event, Failed
from tunesmith.launch import environment_of
from tunesmith.run_directory import RunDirectory
from tunesmith.settings import Settings
from tunesmith.spec import GpuConfig, Spec, TrainingArguments

DEADLINE = 120  # seconds; for a machine that does other things
ROWS = [
    {"instruction": "What is your name?", "input": "", "output": "My name is Smithy."},
    {"instruction": "你叫什么名字？", "input": "", "output": "我叫小匠。"},
    {"instruction": "Say it", "input": "<|im_end|> twice", "output": "small hammer"},
] * 8


class Run:
    """A run directory, its data and its process."""

    def __init__(self, root: Path, base: Path) -> None:
        self.root, self.base = root, base
        self.data = root / "data"
        self.data.mkdir(parents=True)
        self.output = root / "output"
        self.directory = RunDirectory(root / "run")
        self.directory.path.mkdir()
        self.variables: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *given: Any, **named: Any) -> "Run":
        return self.prepare(*given, **named).spawn()

    def prepare(
        self,
        rows: list[dict[str, str]] = ROWS,
        valid: list[dict[str, str]] | None = None,
        gpu: dict[str, Any] | None = None,
        devices: tuple[int, ...] = (),
        simulated: int = 0,
        **arguments: Any,
    ) -> "Run":
        """Write what the trainer needs: `rows`, and a spec with so many simulated devices."""
        for name, split in (("train", rows), ("valid", valid)):
            if split is not None:
                lines = [json.dumps(row, ensure_ascii=False) for row in split]
                (self.data / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        spec = Spec(
            task_id=7,
            attempt=1,
            name="A name, 名字",
            description=None,
            base_model=str(self.base),
            dataset_path=str(self.data),
            output_path=str(self.output),
            training=TrainingArguments(**arguments),
            given=tuple(sorted(arguments)),
            gpu=GpuConfig(**(gpu or {})),
            devices=devices or tuple(range(simulated)),
            simulated=simulated > 0,
        )
        self.directory.spec.write_text(spec.model_dump_json(), encoding="utf-8")
        self.variables = environment_of(spec, Settings(data_dir=self.root))
        return self

    def spawn(self) -> "Run":
        with self.directory.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tunesmith.trainer", str(self.directory.path)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                # A cap that would stop threads from starting is none of this test's concerns.
                env=os.environ | self.variables | {"OMP_NUM_THREADS": "1"},
            )
        return self

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(DEADLINE)

    def stop_when(self, condition: Callable[[], bool]) -> int:
        assert self.process is not None
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    @property
    def events(self) -> list[Event]:
        return events.read(self.directory.events, 0)[0]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def log(self) -> str:
        return self.directory.log.read_text(encoding="utf-8")

    @property
    def failure(self) -> Failed:
        assert self.wait() == 1, self.log
        last = self.events[-1]
        assert isinstance(last, Failed)
        assert "Traceback" in self.log
        leftovers = self.output.glob(".*") if self.output.exists() else ()
        assert list(leftovers) == []
        assert not (self.output / "adapter_model.safetensors").exists()
        return last
