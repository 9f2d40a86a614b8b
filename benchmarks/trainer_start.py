"""From the start of a trainer process to its first optimiser step, broken down.

    python -m benchmarks.trainer_start BASE_MODEL_DIR [DATASET]

Runs the real trainer for one step, three times, and prints the median of each part. The parts
are read from the events, so that nothing is added to what is measured. DATASET defaults to
examples/persona. Run it on an idle machine.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.one_run import run_once
from tunesmith import events
from tunesmith.spec import GpuConfig, Spec, TrainingArguments

RUNS = 3
PERSONA = Path(__file__).parents[1] / "examples" / "persona"


def measure(base_model: Path, dataset: Path) -> dict[str, float]:
    """Return the seconds of each part of one run."""
    with tempfile.TemporaryDirectory() as root:
        training = TrainingArguments(max_steps=1, per_device_train_batch_size=4)
        spec = Spec(
            task_id=1,
            attempt=1,
            name="trainer_start",
            description=None,
            base_model=str(base_model),
            dataset_path=str(dataset),
            output_path=str(Path(root) / "output"),
            training=training,
            given=("max_steps",),
            gpu=GpuConfig(),
            devices=(),
        )
        began = time.time()
        found = run_once(spec, Path(root))
        ended = time.time()
    at = {"start": began, "end": ended}
    for event in found:
        name = event.phase.value if isinstance(event, events.PhaseChanged) else event.type
        # The device is known, and reported, right after the imports.
        if isinstance(event, events.Warned) and event.code == "cpu_training":
            name = "imported"
        at.setdefault(name, event.at)
    return {
        "start to first event (Python, pydantic)": at["started"] - began,
        "checking the data": at["loading"] - at["started"],
        "imports (torch, transformers, peft)": at["imported"] - at["loading"],
        "loading base model and tokenizer, LoRA": at["preparing"] - at["imported"],
        "preparing (token ids, plan, probe)": at["training"] - at["preparing"],
        "first optimiser step": at["metrics"] - at["training"],
        "start to first optimiser step": at["metrics"] - began,
        "evaluation, saving, exit": ended - at["metrics"],
    }


def main() -> None:
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    base_model = Path(sys.argv[1]).resolve()
    dataset = Path(sys.argv[2]).resolve() if len(sys.argv) == 3 else PERSONA
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    runs = [measure(base_model, dataset) for _ in range(RUNS)]
    for part in runs[0]:
        print(f"{statistics.median(run[part] for run in runs):8.2f} s  {part}")


if __name__ == "__main__":
    main()
