"""A real server in a process of its own, for tests: started, killed, started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tunesmith import Client

PATIENCE = 90.0  # seconds until a condition counts as never coming true


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return the first truthy value of `condition`; fail the test if there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.05)
    return value


class Server:
    """`python -m tunesmith serve` on a data directory below `root`, on a free port."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.data_dir = root / "data"
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TUNESMITH_")
        } | {
            "HOME": str(root),
            "TUNESMITH_DATA_DIR": str(self.data_dir),
            "TUNESMITH_PORT": "0",
            "TUNESMITH_LANGUAGE": "en",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        """Start it and wait until it answers."""
        with (self.data_dir.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tunesmith", "serve"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers, "the server answers")
        return self

    def _answers(self) -> bool:
        assert self.process and self.process.poll() is None, self.said()
        file = self.data_dir / "server.json"
        return file.exists() and json.loads(file.read_text())["pid"] == self.process.pid

    @property
    def url(self) -> str:
        return str(json.loads((self.data_dir / "server.json").read_text())["url"])

    @property
    def token(self) -> str:
        return (self.data_dir / "token").read_text().strip()

    def client(self) -> Client:
        return Client(self.url, self.token, language="en")

    def said(self) -> str:
        return (self.data_dir.parent / "server.log").read_text()

    def kill(self) -> None:
        """End it the hard way, as a power cut would."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Stop every training and the server."""
        if self.process and self.process.poll() is None:
            with self.client() as client:
                for task in client.iter_tasks():
                    client.delete_task(task.id)
            self.process.terminate()
            self.process.wait(20)

    def trainers(self) -> list[psutil.Process]:
        """Return supervisors and trainers of this server's data directory that live."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            line = " ".join(process.info["cmdline"] or ())
            if str(self.data_dir / "tasks") in line and process.info["status"] != "zombie":
                found.append(process)
        return found
