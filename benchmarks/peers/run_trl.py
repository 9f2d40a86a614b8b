"""Runs a job with TRL: `python -m benchmarks.peers.run_trl JOB STARTED_AT` in its environment."""

from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

from benchmarks.peers import job, probe


def main() -> None:
    asked, started_at = probe.asked()
    probe.install(started_at, "trl")
    adapter = LoraConfig(
        r=job.LORA_R,
        lora_alpha=job.LORA_ALPHA,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    config = SFTConfig(
        output_dir=asked.scratch,
        max_steps=asked.steps,
        per_device_train_batch_size=job.BATCH_SIZE,
        # It refuses a limit together with padding_free; no sample is longer anyway.
        max_length=None if asked.mode == "padding_free" else job.MAX_LENGTH,
        learning_rate=asked.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        completion_only_loss=True,
        packing=asked.mode == "packing",
        padding_free=asked.mode == "padding_free",
        gradient_checkpointing=asked.mode == "checkpointing",
        train_sampling_strategy="sequential",
        model_init_kwargs={"dtype": "float32"},
        bf16=False,
        use_cpu=True,
        seed=job.SEED,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    )
    SFTTrainer(
        model=asked.model,
        args=config,
        train_dataset=Dataset.from_list(asked.rows()),
        peft_config=adapter if asked.method == "lora" else None,
    ).train()


if __name__ == "__main__":
    main()
