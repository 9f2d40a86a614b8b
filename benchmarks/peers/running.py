"""Runs one job of one peer in a process of its own."""

import json
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.peers.environments import ROOT
from benchmarks.peers.figures import OURS, Cell, Run
from benchmarks.peers.flops import training_flops
from benchmarks.peers.job import Job, Measured
from benchmarks.peers.material import Material

RUN_TIMEOUT = 1800.0
LONGEST_REASON = 300
# For every process alike; CUDA off: it is the CPU that is compared.
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1",
}


def run_once(
    cell: Cell,
    number: int,
    material: Material,
    limit: float,
    steps: int,
    python: Path,
    environment: Mapping[str, str],
    scratch: Path,
) -> Run:
    data = material.packed_data if cell.mode == "packing" else material.data
    before = cpu_seconds()
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        asked = Job(
            cell.peer, cell.method, cell.mode, str(material.model), str(data), steps, f"{name}/run"
        )
        Path(asked.scratch).mkdir()
        job = Path(name) / "job.json"
        asked.write(job)
        measured, failed = call(cell.peer, python, job, {**environment, **caches_in(name)})
    seconds, busy, own = (after - was for after, was in zip(cpu_seconds(), before, strict=True))
    flops = [
        training_flops(material.shape, cell.method, tokens, labels, material.mean_square_length)
        for tokens, labels in zip(
            measured.tokens if measured else (), measured.labels if measured else (), strict=True
        )
    ]
    others = max(0.0, busy - own) / seconds
    return Run(cell, number, limit, flops, others, measured, failed)


def caches_in(directory: str) -> dict[str, str]:
    """Every run prepares its data anew, wherever a peer would keep them."""
    return {"HF_HOME": f"{directory}/hf", "MODELSCOPE_CACHE": f"{directory}/modelscope"}


def call(
    peer: str, python: Path, job: Path, environment: Mapping[str, str]
) -> tuple[Measured | None, str | None]:
    """Return what a runner measured, or the reason why it failed."""
    module = f"benchmarks.peers.run_{peer.replace('-', '_')}"
    # Not ours: a peer must not find another's packages.
    paths = [str(ROOT), *([os.environ.get("PYTHONPATH", "")] if peer == OURS else [])]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [str(python), "-m", module, str(job), str(time.time())],
            cwd=ROOT,
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            code = process.wait(RUN_TIMEOUT)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # what it has started, too
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return None, f"not done after {RUN_TIMEOUT:.0f} s"
        out.seek(0)
        err.seek(0)
        if code == 0:
            return Measured(**json.loads(out.read().splitlines()[-1])), None
        said = [line for line in err.read().splitlines() if line.strip()]
        return None, (said[-1] if said else f"exit status {code}")[:LONGEST_REASON]


def cpu_seconds() -> tuple[float, float, float]:
    """Return the time, and the CPU time of all processes, and of those that this one started."""
    times = psutil.cpu_times()
    busy = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic(), busy, own.ru_utime + own.ru_stime
