"""The run directory of an attempt: which file is where, and how a file appears whole or not at all.

It is the contract between server, supervisor and trainer. Standard library only: the supervisor
imports it and must stay small.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

SPEC = "spec.json"
SUPERVISOR = "supervisor.json"
LOG = "train.log"
EVENTS = "events.jsonl"
STOP = "stop.json"
EXIT = "exit.json"
SUPERVISOR_LOG = "supervisor.log"


# A named tuple: importing dataclasses takes the supervisor a fifth of its start.
class RunDirectory(NamedTuple):
    """`<data>/tasks/<task id>/<attempt>/`."""

    path: Path

    @property
    def spec(self) -> Path:
        """Everything the trainer needs; written by the server before the start."""
        return self.path / SPEC

    @property
    def supervisor(self) -> Path:
        """Who runs: pid, start time and boot id of supervisor and trainer."""
        return self.path / SUPERVISOR

    @property
    def log(self) -> Path:
        """The trainer's standard output and error, for people."""
        return self.path / LOG

    @property
    def events(self) -> Path:
        """The trainer's report."""
        return self.path / EVENTS

    @property
    def stop(self) -> Path:
        """The grace period in seconds, written before the supervisor is asked to stop."""
        return self.path / STOP

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor itself had to say: nearly always nothing."""
        return self.path / SUPERVISOR_LOG

    @property
    def exit(self) -> Path:
        """How the trainer ended; written last, when no process of it is left."""
        return self.path / EXIT


def write_json(path: Path, value: Any) -> None:
    """Write `value` so that a reader sees the old file or the whole new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in `path`, or None if the file is not there (yet)."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return value if isinstance(value, dict) else None
