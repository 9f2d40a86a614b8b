"""The result of a completed run: adapter, tokenizer files and model card in the output path."""

import shutil
from pathlib import Path
from typing import Any

from tunesmith.trainer.adapter import adapter_bytes, write_adapter
from tunesmith.trainer.disk import draft, flush

# Copied as they are: what transformers would write lacks tokenizer.model, without which a
# conversion to GGUF gives wrong tokens.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)


def write_result(
    output: Path, model: Any, base_model: Path, chat_template: str | None, card: str
) -> None:
    """Write the result whole, then move it into `output` file by file, the adapter last.

    `chat_template` is one that the base model did not have. Raises RunFailure `disk_full`.
    """
    files = tokenizer_files(base_model)
    needed = adapter_bytes(model) + sum(file.stat().st_size for file in files)
    with draft(output, "result", needed) as directory:
        for file in files:
            shutil.copyfile(file, directory / file.name)
        if chat_template is not None:
            (directory / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
        (directory / "README.md").write_text(card, encoding="utf-8")
        write_adapter(model, str(base_model), directory)
        flush(directory)
        # Whoever sees the weights has the rest already.
        for file in sorted(directory.iterdir(), key=lambda file: file.suffix == ".safetensors"):
            file.replace(output / file.name)


def tokenizer_files(base_model: Path) -> list[Path]:
    """Return the tokenizer's files in a base model's directory."""
    named = [base_model / name for name in TOKENIZER_FILES]
    return [file for file in [*named, *base_model.glob("*.tiktoken")] if file.is_file()]
