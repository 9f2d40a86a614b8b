"""Measures what followers of one running task cost the server: CPU seconds a second.

    python -m benchmarks.followers [--followers 50] [--seconds 20]

From the root of the repository. The server is a real one; its running task is played by this
process, which writes events and log lines as a trainer does. The followers are Server-Sent Events
connections: of a task's events, of its log, of both together (as many pages that show both, which
is twice the connections), and of the list of tasks.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.played_task import played_task
from benchmarks.running_server import TOKEN, RunningServer, running_server, verdict

CPU_LIMIT = 1.0  # cores
HISTORY = 1000  # metrics that the task has when it is first followed
SETTLE = 2.0  # seconds after connecting, in which the history is sent
CASES = {
    "events (streamTask)": ["streamTask"],
    "log (streamTaskLog)": ["streamTaskLog"],
    "both": ["streamTask", "streamTaskLog"],
    "list (streamTaskList)": ["streamTaskList"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--followers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    kept = True
    with tempfile.TemporaryDirectory() as directory:
        data_dir = Path(directory) / "data"
        with played_task(data_dir, HISTORY), running_server(data_dir) as server:
            alone = asyncio.run(cpu_with(server, [], 0, 5.0))
            print(f"     nobody follows: {alone.cores:.2f} cores")
            for name, streams in CASES.items():
                used = asyncio.run(cpu_with(server, streams, options.followers, options.seconds))
                what = f"{options.followers} followers of {name}"
                kept &= verdict(what, used.cores, CPU_LIMIT, "cores")
                print(f"     {used.events:.0f} events a second, {used.mib:.2f} MiB a second")
            print(f"     the server's memory: {server.memory():.0f} MiB")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    sys.exit(0 if kept else 1)


@dataclass(frozen=True)
class Used:
    """What a second of following took and gave."""

    cores: float
    events: float
    mib: float


async def cpu_with(
    server: RunningServer, streams: list[str], followers: int, seconds: float
) -> Used:
    """Return what the server does in a second while so many follow each of `streams`."""
    count = [0, 0]  # events, bytes
    readers = [
        asyncio.create_task(follow(server.url, stream, count))
        for stream in streams
        for _ in range(followers)
    ]
    process = psutil.Process(server.pid)
    await asyncio.sleep(SETTLE)
    before, began, so_far = process.cpu_times(), time.perf_counter(), list(count)
    await asyncio.sleep(seconds)
    after, took = process.cpu_times(), time.perf_counter() - began
    gone = [reader for reader in readers if reader.done()]
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    if gone:
        raise SystemExit(f"{len(gone)} followers were sent away")
    computed = after.user + after.system - before.user - before.system
    events, size = (now - then for now, then in zip(count, so_far, strict=True))
    return Used(computed / took, events / took, size / took / 2**20)


async def follow(url: str, stream: str, count: list[int]) -> None:
    """Read a stream to its end; `count` what comes."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    ask = (
        f"GET /finetuning/{stream}?id=1 HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"x-token: {TOKEN}\r\naccept: text/event-stream\r\n\r\n"
    )
    with contextlib.closing(writer):
        writer.write(ask.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise SystemExit(head.decode())
        while data := await reader.read(1 << 16):
            count[0] += data.count(b"\nevent: ")
            count[1] += len(data)


if __name__ == "__main__":
    main()
