"""Each method on the demo's data with a real base model: losses, time, memory, size of the result.

    python -m benchmarks.real_methods BASE_MODEL_DIR [METHOD ...]

METHOD is lora, qlora4, qlora8 or full; all of them by default. Runs the real trainer, one method
after the other, with the demo's arguments and the learning rate that a method has by default where
the demo's own (for LoRA) does not fit. Run it on an idle machine.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.one_run import run_once
from tunesmith import events
from tunesmith.spec import GpuConfig, Spec, TrainingArguments

PERSONA = Path(__file__).parents[1] / "examples" / "persona"
DEMO: dict[str, Any] = {
    "num_train_epochs": 3,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.1,
    "lora_dropout": 0.0,
    "max_seq_length": 128,
    "logging_steps": 5,
    "system_prompt": "You are a helpful assistant.",
}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "qlora4": {"method": "qlora", "quantization_bits": 4},
    "qlora8": {"method": "qlora", "quantization_bits": 8},
    # A rate for adapters would wreck the weights; the default 2e-5 is for larger models and data.
    "full": {"method": "full", "learning_rate": 1e-4},
}


def measure(base_model: Path, name: str, root: Path) -> dict[str, str]:
    """Train once and return a row of the table."""
    arguments = DEMO | METHODS[name]
    output = root / "output"
    spec = Spec(
        task_id=1,
        attempt=1,
        name=name,
        description=None,
        base_model=str(base_model),
        dataset_path=str(PERSONA),
        output_path=str(output),
        training=TrainingArguments(**arguments),
        given=tuple(sorted(arguments)),
        gpu=GpuConfig(),
        devices=(),
    )
    found = run_once(spec, root)
    losses = [event.loss for event in found if isinstance(event, events.Metrics)]
    end = next(event for event in found if isinstance(event, events.Finished))
    size = sum(file.stat().st_size for file in output.glob("*.safetensors"))
    return {
        "first loss": f"{losses[0]:.3f}",
        "last loss": f"{losses[-1]:.3f}",
        "eval_loss": f"{end.final['eval_loss']:.3f}",
        "token accuracy": f"{end.final['token_accuracy']:.3f}",
        "training s": f"{end.train_seconds:.0f}",
        "s/step": f"{end.train_seconds / end.step:.2f}",
        "peak MiB": f"{end.peak_memory_bytes / 2**20:.0f}",
        "result MiB": f"{size / 2**20:.1f}",
    }


def main() -> None:
    base_model, wanted = Path(sys.argv[1]).resolve(), sys.argv[2:] or list(METHODS)
    for number, name in enumerate(wanted):
        with tempfile.TemporaryDirectory() as root:
            row = measure(base_model, name, Path(root))
        if number == 0:
            print("| method | " + " | ".join(row) + " |")
            print("|---" * (len(row) + 1) + "|")
        print(f"| {name} | " + " | ".join(row.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
