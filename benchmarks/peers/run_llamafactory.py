"""Runs a job with LLaMA-Factory: `python -m benchmarks.peers.run_llamafactory JOB STARTED_AT`."""

import importlib.machinery
import json
import sys
import types
from pathlib import Path

from benchmarks.peers import job, probe

# LLaMA-Factory imports torchaudio whatever it trains; there is none for a torch without CUDA.
if importlib.machinery.PathFinder.find_spec("torchaudio") is None:
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)

from llamafactory.data.formatter import StringFormatter
from llamafactory.data.template import register_template
from llamafactory.train.tuner import run_exp


def main() -> None:
    asked, started_at = probe.asked()
    probe.install(started_at, "llamafactory")
    register_template(
        "bench",  # its "chatml", but for the line break that this one learns after each answer
        format_system=StringFormatter(slots=["<|im_start|>system\n{{content}}<|im_end|>\n"]),
        format_user=StringFormatter(
            slots=["<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n"]
        ),
        format_assistant=StringFormatter(slots=["{{content}}<|im_end|>"]),
    )
    run_exp(
        {
            "stage": "sft",
            "do_train": True,
            "model_name_or_path": asked.model,
            "finetuning_type": asked.method,
            "lora_rank": job.LORA_R,
            "lora_alpha": job.LORA_ALPHA,
            "lora_dropout": 0.0,
            "lora_target": "all",
            "template": "bench",
            "dataset": "bench",
            "dataset_dir": str(write_dataset(asked)),
            "cutoff_len": job.MAX_LENGTH,
            "neat_packing": asked.mode == "packing",
            "disable_gradient_checkpointing": asked.mode != "checkpointing",
            "disable_shuffling": True,
            "output_dir": asked.scratch,
            "max_steps": asked.steps,
            "per_device_train_batch_size": job.BATCH_SIZE,
            "learning_rate": asked.learning_rate,
            "lr_scheduler_type": "constant",
            "weight_decay": 0.0,
            "seed": job.SEED,
            "use_cpu": True,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
        }
    )


def write_dataset(asked: job.Job) -> Path:
    """Write the job's samples as LLaMA-Factory wants them; return the directory."""
    directory = Path(asked.scratch) / "dataset"
    directory.mkdir()
    rows = [{"messages": row["prompt"] + row["completion"]} for row in asked.rows()]
    (directory / "bench.json").write_text(json.dumps(rows), encoding="utf-8")
    roles = {"system": "system", "user": "user", "assistant": "assistant"}
    described = {
        "file_name": "bench.json",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {"role_tag": "role", "content_tag": "content"}
        | {f"{role}_tag": name for role, name in roles.items()},
    }
    (directory / "dataset_info.json").write_text(json.dumps({"bench": described}))
    return directory


if __name__ == "__main__":
    main()
