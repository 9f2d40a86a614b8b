"""Keeps results in results.json and writes the documents made of them."""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks.peers import figures, plot, report
from benchmarks.peers.environments import ROOT
from benchmarks.peers.figures import Run

SHOWN = ("mixed", "lora")  # in the plot


def results_file(into: Path | None) -> Path:
    return (into or ROOT / "benchmarks") / "results.json"


def load_results(into: Path | None) -> tuple[list[Run], dict[str, str], list[str]]:
    try:
        found = json.loads(results_file(into).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [], {}, []
    return [figures.from_json(run) for run in found["runs"]], found["machine"], found["commands"]


def save(into: Path | None, runs: list[Run]) -> None:
    """Write the results after every run: an interrupted benchmark keeps what it has."""
    old, _, commands = load_results(into)
    command = shlex.join(["python", "-m", "benchmarks.peers", *sys.argv[1:]])
    found = {
        "machine": machine(),
        "commands": [*(each for each in commands if each != command), command],
        "runs": [figures.to_json(run) for run in figures.merged(old, runs)],
    }
    text = json.dumps(found, ensure_ascii=False, indent=1)
    results_file(into).write_text(text + "\n", encoding="utf-8")


def write_documents(into: Path | None) -> None:
    runs, facts, commands = load_results(into)
    if not runs:
        sys.exit(f"There are no results in {results_file(into)}.")
    docs = into or ROOT / "docs"
    text = report.markdown(runs, facts, commands)
    (docs / "benchmarks.md").write_text(text, encoding="utf-8")
    if not (made := figures.summaries(runs)):
        return
    kinds = [(cell.workload, cell.method) for cell in made]
    kind = SHOWN if SHOWN in kinds else kinds[0]
    found = {cell: each for cell, each in made.items() if (cell.workload, cell.method) == kind}
    title = f"{', '.join(kind)}: {facts['cores']} cores of {facts['model name']}"
    (docs / "benchmarks.svg").write_text(plot.svg(title, found), encoding="utf-8")
    print(f"Written: {docs / 'benchmarks.md'}, {docs / 'benchmarks.svg'}, {results_file(into)}")


def machine() -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "?")
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return {
        "model name": name,
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "Tunesmith's commit": commit.stdout.strip(),
    }
