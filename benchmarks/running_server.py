"""A server in a process of its own, for benchmarks: started, asked, and its memory read."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

TOKEN = "token-of-the-benchmark"
MIB = 2**20


@dataclass(frozen=True)
class RunningServer:
    """A server that has answered."""

    url: str
    pid: int
    client: httpx.Client
    """Signed in. One for all requests: making one takes longer than most answers."""
    seconds_to_answer: float
    """From the start of the process to its first answer."""
    cpu_seconds: float
    """What it computed in that time: the same on a busy machine, where all else takes longer."""

    def get(self, name: str, **query: str | int) -> httpx.Response:
        return self.client.get(f"/finetuning/{name}", params=query).raise_for_status()

    def memory(self, name: str = "VmRSS") -> float:
        """Return MiB: VmRSS is resident now, VmHWM the most since `forget_peak`."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024 / MIB
        raise LookupError(name)

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def has_loaded(self, library: str) -> bool:
        return library in Path(f"/proc/{self.pid}/maps").read_text()


@contextmanager
def running_server(data_dir: Path) -> Iterator[RunningServer]:
    """Run `tunesmith serve` on `data_dir`; files below its parent are allowed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    own = {name: v for name, v in os.environ.items() if not name.startswith("TUNESMITH_")}
    settings = {
        "TUNESMITH_DATA_DIR": str(data_dir),
        "TUNESMITH_ALLOWED_ROOTS": str(data_dir.parent),
        "TUNESMITH_PORT": str(port),
        "TUNESMITH_TOKEN": TOKEN,
        "TUNESMITH_DEVICES": "none",
        "TUNESMITH_LOG_LEVEL": "warning",
    }
    headers = {"x-token": TOKEN, "accept-language": "en"}
    with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "tunesmith", "serve"],
            env=own | settings,
            stdout=subprocess.DEVNULL,
        )
        try:
            while not _answers(client):
                if process.poll() is not None:
                    raise SystemExit(f"the server ended with code {process.returncode}")
                time.sleep(0.002)
            took = time.perf_counter() - began
            times = psutil.Process(process.pid).cpu_times()
            yield RunningServer(url, process.pid, client, took, times.user + times.system)
        finally:
            process.terminate()
            process.wait(20)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx.ConnectError:
        return False


def verdict(what: str, value: float, limit: float, unit: str, digits: int = 2) -> bool:
    """Print a figure beside its limit; return whether it is kept."""
    kept = value <= limit
    mark = "ok " if kept else "OVER"
    print(f"{mark:4} {what}: {value:.{digits}f} {unit} (at most {limit:g} {unit})")
    return kept
