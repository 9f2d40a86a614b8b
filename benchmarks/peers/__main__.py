"""Runs Tunesmith and its peers side by side and writes what came out.

    make bench                                         LoRA and full on `mixed`, three rounds
    make bench ARGS="--workloads mixed system300 --methods lora --rounds 5 --steps 6"
    make bench ARGS="--dataset my.jsonl --model /models/Qwen2-0.5B"
    make bench ARGS="--report"                         only write the documents again

Peers take turns, every round another one first. Results of cells that are run again replace the
old ones in results.json; the others stay.
"""

import argparse
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from benchmarks.peers import figures, report
from benchmarks.peers.environments import PEERS, prepare
from benchmarks.peers.figures import OURS, Cell, Run
from benchmarks.peers.flops import measure_limit
from benchmarks.peers.material import Material, make
from benchmarks.peers.results import save, write_documents
from benchmarks.peers.running import ENVIRONMENT, run_once
from benchmarks.peers.workloads import PERSONA, WORKLOADS, Workload, read_rows

CACHE = Path.home() / ".cache" / "tunesmith-bench"
MODES = ("plain", "checkpointing", "packing", "padding_free")
HAS_MODES = {
    OURS: ("plain", "checkpointing"),  # it never pads
    "trl": MODES,
    "llamafactory": ("plain", "checkpointing", "packing"),
    "ms-swift": MODES,
}
BUSY_PERCENT, WATCHED_SECONDS = 10.0, 3.0


def main() -> None:
    options = parsed()
    if not options.report:
        pythons = {peer: prepare(peer, options.cache) for peer in options.peers if peer in PEERS}
        if options.install:
            return
        require_idle(options.busy)
        benchmark(options, {**pythons, OURS: Path(sys.executable)})
    write_documents(options.into)


def require_idle(busy: bool) -> None:
    """Exit unless hardly anything else runs, or the user wants to go on."""
    used = psutil.cpu_percent(WATCHED_SECONDS)
    if used > BUSY_PERCENT:
        load = os.getloadavg()[0]
        print(f"The machine is busy: {used:.0f} % of its cores are used, load average {load:.2f}.")
        if not busy:
            sys.exit("Times would be worth nothing. --busy goes on: to see whether all runs work.")


def benchmark(options: argparse.Namespace, pythons: Mapping[str, Path]) -> None:
    """Do all runs, and keep the results after each."""
    base_model = options.model or demo_model()
    environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": str(options.threads)}
    runs: list[Run] = []
    failed: set[Cell] = set()
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as directory:
        scratch = Path(directory)
        materials = [
            make(name, workload, base_model, options.steps, scratch / name)
            for name, workload in chosen_workloads(options)
        ]
        for made in materials:
            about = f"{made.tokens_per_step} tokens a step, {made.padding:.0%} padding"
            print(f"{made.name}: {about}", flush=True)
        for number, made, cell in turns(options, materials):
            if cell in failed:
                continue
            python = pythons[cell.peer]
            # Beside each run: within an hour this moved from 90 to 158 GFLOP/s on an idle machine.
            limit = measure_limit(made.model, made.tokens_per_step, environment)
            run = run_once(cell, number, made, limit, options.steps, python, environment, scratch)
            if run.failed:
                failed.add(cell)
            runs.append(run)
            print(told(run), flush=True)
            save(options.into, runs)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--peers", nargs="+", choices=(OURS, *PEERS), default=[OURS, *PEERS])
    add("--modes", nargs="+", choices=MODES, default=list(MODES))
    add("--methods", nargs="+", choices=("lora", "full"), default=["lora", "full"])
    add("--workloads", nargs="+", choices=tuple(WORKLOADS), default=["mixed"])
    add("--dataset", type=Path, help="any data set that Tunesmith reads, instead of a workload")
    add("--model", type=Path, help="directory of a llama-like base model (the demo's)")
    add("--rounds", type=int, default=3)
    add("--steps", type=int, default=4, help="optimiser steps a run; the first is not counted (4)")
    add("--threads", type=int, default=os.cpu_count(), help="of torch, for every peer (all cores)")
    add("--cache", type=Path, default=CACHE, help=f"where the environments are ({CACHE})")
    add("--into", type=Path, help="write results and documents there, not into the repository")
    add("--busy", action="store_true", help="go on although the machine is busy")
    add("--install", action="store_true", help="only make the environments")
    add("--report", action="store_true", help="only write the documents from results.json")
    options = parser.parse_args()
    if options.into:
        options.into = options.into.resolve()
        options.into.mkdir(parents=True, exist_ok=True)
    return options


def demo_model() -> Path:
    """Return the demo's base model, made at the first time."""
    from tunesmith.settings import load_settings

    prepare_model = runpy.run_path(str(PERSONA / "base_model.py"))["prepare"]
    return Path(prepare_model(load_settings().models_dir))


def chosen_workloads(options: argparse.Namespace) -> list[tuple[str, Workload]]:
    if not options.dataset:
        return [(name, WORKLOADS[name]) for name in options.workloads]
    file = options.dataset.resolve()
    return [(file.stem, Workload(str(file), lambda writer: read_rows(file)))]


def turns(
    options: argparse.Namespace, materials: list[Material]
) -> Iterator[tuple[int, Material, Cell]]:
    """Yield every run: round, material, cell. Each round starts with another peer."""
    for number in range(options.rounds):
        at = number % len(options.peers)
        for material in materials:
            for method in options.methods:
                for peer in (*options.peers[at:], *options.peers[:at]):
                    for mode in options.modes:
                        if mode in HAS_MODES[peer]:
                            yield number, material, Cell(material.name, method, peer, mode)


def told(run: Run) -> str:
    words = f"round {run.round + 1}  {' '.join(vars(run.cell).values())}"
    if run.measured is None:
        return f"{words}: {run.failed}"
    made = figures.summary([run])
    assert made is not None
    return (
        f"{words}: {made.tokens_per_second:.0f} tokens/s, "
        f"{made.share_of_limit:.0%} of the limit of {run.limit / 1e9:.0f} GFLOP/s, "
        f"{made.peak_mib:.0f} MiB, first step {made.first_step_seconds:.1f} s, loss {made.loss:.4f}"
        + (f"; others took {run.others:.2f} of a core" if run.others > report.BUSY else "")
    )


if __name__ == "__main__":
    main()
