"""Measures the server: start, idle memory, and how fast a task gets through the whole chain.

    python -m benchmarks.server [--starts 7] [--steps 120]

From the root of the repository. The chain is measured with a tiny model on the CPU: from
createTask to the trainer's first event, and from each of its events to a client of streamTask.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.running_server import RunningServer, running_server, verdict
from tunesmith.client.server_sent_events import parse

START_LIMIT = 1.5  # seconds
MEMORY_LIMIT = 150.0  # MiB
CREATION_LIMIT = 1.0  # seconds
DELIVERY_LIMIT = 0.5  # seconds
IDLE = 2.0  # seconds until the memory of the start is read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--steps", type=int, default=120)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        kept = measure_start(root, options.starts)
        kept &= measure_chain(root, options.steps)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    sys.exit(0 if kept else 1)


def measure_start(root: Path, starts: int) -> bool:
    with running_server(root / "data") as server:
        print(f"     first start, which makes the store: {server.seconds_to_answer:.2f} s")
    seconds, computed = [], []
    for _ in range(starts):
        with running_server(root / "data") as server:
            seconds.append(server.seconds_to_answer)
            computed.append(server.cpu_seconds)
    kept = verdict("start to first answer, median", statistics.median(seconds), START_LIMIT, "s")
    print(f"     fastest {min(seconds):.2f} s, slowest {max(seconds):.2f} s")
    print(f"     CPU time of it: {statistics.median(computed):.2f} s")
    with running_server(root / "data") as server:
        time.sleep(IDLE)
        kept &= verdict("idle memory", server.memory(), MEMORY_LIMIT, "MiB", 0)
        kept &= not server.has_loaded("libtorch")
        print(f"     torch loaded: {server.has_loaded('libtorch')}")
    return kept


def measure_chain(root: Path, steps: int) -> bool:
    from tests.tiny_models import make_tiny_model

    model = make_tiny_model(root / "model")
    rows = [{"instruction": f"Question {n}?", "input": "", "output": "Yes."} for n in range(64)]
    (root / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    request = {
        "name": "benchmark",
        "baseModel": str(model),
        "datasetPath": str(root / "train.jsonl"),
        "trainingArgs": {
            "max_steps": steps,
            "num_train_epochs": 1000,
            "logging_steps": 1,
            "max_seq_length": 64,
        },
    }
    with running_server(root / "data") as server:
        first, delays = follow(server, request)
    kept = verdict("createTask to the trainer's first event", first, CREATION_LIMIT, "s")
    kept &= verdict("event to SSE client, slowest", max(delays), DELIVERY_LIMIT, "s")
    print(f"     median {statistics.median(delays):.3f} s of {len(delays)} events")
    return kept


def follow(server: RunningServer, request: dict[str, Any]) -> tuple[float, list[float]]:
    """Return the seconds to the trainer's first event, and each event's way to us."""
    asked_at = time.time()
    answer = server.client.post("/finetuning/createTask", json=request).json()
    if answer["code"]:
        raise SystemExit(answer["msg"])
    first: float | None = None
    delays = []
    query = {"id": answer["data"]["ID"]}
    with server.client.stream("GET", "/finetuning/streamTask", params=query) as response:
        for event in parse(response.iter_bytes()):
            now, data = time.time(), json.loads(event.data)
            if event.event == "status" and data["error"]:
                raise SystemExit(f"the task failed: {data['message']}")
            if event.event in ("status", "progress", "exited"):
                continue  # the server's own
            if first is None:
                first = data["at"] - asked_at
            delays.append(now - data["at"])
    if first is None:
        raise SystemExit("the trainer reported nothing")
    return first, delays


if __name__ == "__main__":
    main()
