"""Runs a job with ms-swift: `python -m benchmarks.peers.run_ms_swift JOB STARTED_AT`."""

import json
from pathlib import Path

from swift import SftArguments, sft_main
from swift.template.register import register_template
from swift.template.templates.utils import ChatmlTemplateMeta

from benchmarks.peers import job, probe


def main() -> None:
    asked, started_at = probe.asked()
    probe.install(started_at, "ms-swift")
    # Its "chatml", but for the line break that this one learns after each answer.
    register_template(ChatmlTemplateMeta("bench", suffix=["<|im_end|>"], auto_add_bos=False))
    config = json.loads((Path(asked.model) / "config.json").read_text(encoding="utf-8"))
    sft_main(
        SftArguments(
            model=asked.model,
            model_type=config["model_type"],
            template="bench",
            use_hf=True,
            check_model=False,
            torch_dtype="float32",
            attn_impl="sdpa",
            tuner_type=asked.method,
            lora_rank=job.LORA_R,
            lora_alpha=job.LORA_ALPHA,
            lora_dropout=0.0,
            dataset=[str(write_dataset(asked))],
            split_dataset_ratio=0.0,
            dataset_shuffle=False,
            train_dataloader_shuffle=False,
            max_length=job.MAX_LENGTH,
            packing=asked.mode == "packing",
            padding_free=asked.mode == "padding_free",
            gradient_checkpointing=asked.mode == "checkpointing",
            output_dir=asked.scratch,
            max_steps=asked.steps,
            per_device_train_batch_size=job.BATCH_SIZE,
            gradient_accumulation_steps=1,
            learning_rate=asked.learning_rate,
            lr_scheduler_type="constant",
            warmup_ratio=0.0,
            weight_decay=0.0,
            adam_beta2=0.999,
            seed=job.SEED,
            use_cpu=True,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
        )
    )


def write_dataset(asked: job.Job) -> Path:
    """Write the job's samples as ms-swift wants them; return the file."""
    path = Path(asked.scratch) / "bench.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for row in asked.rows():
            file.write(json.dumps({"messages": row["prompt"] + row["completion"]}) + "\n")
    return path


if __name__ == "__main__":
    main()
