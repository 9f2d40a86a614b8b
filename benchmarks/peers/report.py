"""Results -> docs/benchmarks.md. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.peers.figures import (
    OURS,
    Cell,
    Run,
    Summary,
    by_cell,
    differences,
    ratio,
    summaries,
)
from benchmarks.peers.flops import FORMULA
from benchmarks.peers.goals import goals
from benchmarks.peers.job import BATCH_SIZE, LORA_ALPHA, LORA_R, MAX_LENGTH
from benchmarks.peers.workloads import WORKLOADS

BUSY = 0.1  # CPU seconds per second
INTRODUCTION = f"""\
# Benchmarks against peers

Written by `make bench`; the raw figures are in `benchmarks/results.json`, how it works is in
`benchmarks/README.md`.

Every peer learns the same samples in the same order, batch {BATCH_SIZE}, at most {MAX_LENGTH}
tokens, fp32, loss on the answers only, AdamW with a constant learning rate, LoRA r {LORA_R},
alpha {LORA_ALPHA}, no dropout, on all linear layers. The peers take turns, in every round another
one first; the figures are medians over the rounds, without a run's first step.

- **tokens/s** counts tokens that are no padding. With packing a step holds other samples than
  without, so compare tokens/s.
- **of the limit**: useful arithmetic by what the machine does in bare fp32 matrix products of the
  model's shapes, measured right before the run.
- **peak**: resident high water of the process; **above**: less what was resident before the model
  was loaded.
- **first step**: from the start of the process to the end of the first step.
- **speed**, **memory**: Tunesmith against this row, in tokens/s and in peak: plain against all,
  checkpointing against checkpointing.

![Tokens per second and peak memory by peer](benchmarks.svg)
"""
HEADER = (
    "peer",
    "mode",
    "tokens/s",
    "s/step",
    "of the limit",
    "peak MiB",
    "above MiB",
    "first step s",
    "loss",
    "speed",
    "memory",
)


def markdown(runs: Sequence[Run], machine: Mapping[str, str], commands: Iterable[str]) -> str:
    parts = [INTRODUCTION, _facts("Machine", machine)]
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.cell.workload, run.cell.method), []).append(run)
    for (workload, method), same in groups.items():
        parts.append(_group(workload, method, same))
    parts.append(_goals(runs))
    parts.append(_checks(runs))
    parts.append(_facts("Versions", versions(runs)))
    parts.append("## Commands\n\n```\n" + "\n".join(commands) + "\n```\n")
    parts.append(f"## The arithmetic\n\n```\n{FORMULA}\n```\n")
    return "\n".join(parts)


def _group(workload: str, method: str, runs: Sequence[Run]) -> str:
    about = WORKLOADS[workload].about if workload in WORKLOADS else "a data set of its own"
    cells = by_cell(runs)
    found = summaries(runs)
    limits = sorted({run.limit / 1e9 for run in runs})
    text = f"limit {' to '.join(f'{limit:.0f}' for limit in limits[:: max(1, len(limits) - 1)])}"
    lines = [f"## {workload}, {method}\n", f"{about.capitalize()}; {text} GFLOP/s.\n", _row(HEADER)]
    lines.append(_row(["---"] * len(HEADER)))
    lines += [_row(_cells(cell, made, found)) for cell, made in found.items()]
    failed = [
        f"- {cell.peer} {cell.mode}: `{same[0].failed}`"
        for cell, same in cells.items()
        if cell not in found
    ]
    if failed:
        lines += ["\nRefused or failed:\n", *failed]
    return "\n".join(lines) + "\n"


def _cells(cell: Cell, made: Summary, found: Mapping[Cell, Summary]) -> list[str]:
    mode = "checkpointing" if cell.mode == "checkpointing" else "plain"
    ours = found.get(Cell(cell.workload, cell.method, OURS, mode))
    compared = ["", ""]
    if ours is not None and cell.peer != OURS:
        compared = [
            ratio(ours.tokens_per_second, made.tokens_per_second) + "x",
            ratio(ours.peak_mib, made.peak_mib) + "x",
        ]
    return [
        cell.peer,
        cell.mode,
        f"{made.tokens_per_second:.0f}",
        f"{made.seconds_per_step:.3g}",
        f"{made.share_of_limit:.0%}",
        f"{made.peak_mib:.0f}",
        f"{made.above_mib:.0f}",
        f"{made.first_step_seconds:.1f}",
        f"{made.loss:.4f}",
        *compared,
    ]


def _goals(runs: Iterable[Run]) -> str:
    lines = [f"- {goal.sentence}" for goal in goals(summaries(runs))]
    return "## Goals\n\nTunesmith against the peer named.\n\n" + "\n".join(lines) + "\n"


def _checks(runs: Sequence[Run]) -> str:
    """Say whether the comparison is fair: the same work, on an idle machine."""
    lines = ["## Was it the same work?\n"]
    if found := differences(runs):
        lines += [f"- {words}" for words in found]
    else:
        lines.append(
            "Yes: same samples in the first step, same tokens and labels in every step, same mean "
            "loss to 1e-3. (Packing has other steps: not compared.)"
        )
    busy = max((run.others for run in runs), default=0.0)
    lines.append(f"\nOther processes took at most {busy:.2f} CPU seconds per second in a run.")
    if busy > BUSY:
        lines.append("**The machine was busy: the times are not to be trusted.**")
    rounds = {made.rounds for made in summaries(runs).values()}
    lines.append(f"Rounds: {', '.join(map(str, sorted(rounds)))}.")
    return "\n".join(lines) + "\n"


def versions(runs: Iterable[Run]) -> dict[str, str]:
    found = {}
    for run in runs:
        if run.measured:
            pairs = run.measured.versions.items()
            found[run.cell.peer] = ", ".join(f"{name} {number}" for name, number in pairs)
    return found


def _facts(title: str, facts: Mapping[str, str]) -> str:
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
