"""Checks big data sets while their tasks wait: one process at a time, none of it in the server."""

import contextlib
import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tunesmith.spec import Spec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checked:
    """A check that has ended; `error` is {"code", "params"} or None when the data is right."""

    task_id: int
    error: dict[str, Any] | None


class DataChecks:
    """Runs `python -m tunesmith.dataset` for one task at a time.

    Nothing is remembered: a server that restarts checks anew.
    """

    def __init__(self) -> None:
        self._task_id: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def task_id(self) -> int | None:
        """The task whose data is being checked."""
        return self._task_id

    def start(self, task_id: int, spec: Spec) -> None:
        """Begin to check; there must be no check under way."""
        assert self._process is None
        training = spec.training
        request = {
            "path": spec.dataset_path,
            "split": training.split,
            "seed": training.seed,
            "on_bad_rows": training.on_bad_rows,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tunesmith.dataset"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,  # one short line: it fits into the pipe unread
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died; `ended` tells
            self._process.stdin.write(json.dumps(request).encode())  # as short
            self._process.stdin.close()
        self._process.stdin = None
        self._task_id = task_id

    def ended(self) -> Checked | None:
        """Return the result if the check has ended, else None."""
        if self._process is None or self._task_id is None or self._process.poll() is None:
            return None
        output, _ = self._process.communicate()
        task_id, code = self._task_id, self._process.returncode
        self._task_id = self._process = None
        try:
            reply = json.loads(output)
            if "answer" in reply:
                return Checked(task_id, None)
            return Checked(task_id, {"code": reply["code"], "params": reply["params"]})
        except (ValueError, LookupError):
            log.error("the data check of task %d ended with code %d", task_id, code)
            reason = f"the check ended with exit code {code}"
            return Checked(task_id, {"code": "check_failed", "params": {"reason": reason}})

    def cancel(self) -> None:
        """End the check under way, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._task_id = self._process = None
