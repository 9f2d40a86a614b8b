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
from benchmarks.peers.figures import Cell, Run


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
    docs = into or ROOT / "docs"
    text = report.markdown(runs, facts, commands)
    (docs / "benchmarks.md").write_text(text, encoding="utf-8")
    shown = runs[0].cell if runs else Cell("mixed", "lora", "", "")
    for run in runs:
        if (run.cell.workload, run.cell.method) == ("mixed", "lora"):
            shown = run.cell
    found = {
        cell: made
        for cell, same in figures.by_cell(runs).items()
        if (cell.workload, cell.method) == (shown.workload, shown.method)
        and (made := figures.summary(same))
    }
    title = f"{shown.method}, {shown.workload}: {facts.get('model name', 'this machine')}"
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
