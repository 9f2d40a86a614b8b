"""Traces memory plans for server and command line: `python -m tunesmith.trainer.plan_process`.

JSON in, JSON out, in a process of its own, which imports no more than the plans' methods need.
"""

from dataclasses import asdict
from typing import Any

from tunesmith.memory_plan.records import Workload
from tunesmith.side_process import answer_one
from tunesmith.spec import TrainingArguments
from tunesmith.trainer.imports import left_out, uncollected, unused


def answer(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the plans of `{"config", "workloads"}` as JSON values."""
    workloads = [Workload(**each) for each in request["workloads"]]
    quantised = any(work.method == "qlora" for work in workloads)
    not_needed = unused(TrainingArguments(method="qlora" if quantised else "lora"))
    with left_out(not_needed):
        with uncollected():
            from tunesmith.trainer.memory_trace import trace

        return [asdict(trace(request["config"], work)) for work in workloads]


if __name__ == "__main__":
    answer_one(answer)
