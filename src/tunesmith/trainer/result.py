"""The result of a completed run: weights, tokenizer files and model card in the output path."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tunesmith.run_directory import read_json, write_json
from tunesmith.trainer.disk import draft, flush
from tunesmith.trainer.weights import is_adapter, weights_bytes, write_weights

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
    output: Path,
    model: Any,
    base_model: Path,
    card: str,
    *,
    tokenizer: Any,
    chat_template: str | None,
    stop_token_ids: Sequence[int],
    writes: bool = True,
) -> None:
    """Write the result whole, then move it into `output` file by file, the weights last.

    A model that was tuned in full gets the number format of the base model's files, in place.
    `chat_template` is one that the base model did not have. A rank that does not write only sends
    its parts of the weights. Raises RunFailure `disk_full`.
    """
    files = tokenizer_files(base_model)
    dtype = None if is_adapter(model) else _dtype_of_files(base_model, model.dtype)
    if not writes:
        write_weights(model, str(base_model), None, dtype=dtype)
        return
    needed = weights_bytes(model, dtype) + sum(file.stat().st_size for file in files)
    with draft(output, "result", needed) as directory:
        for file in files:
            shutil.copyfile(file, directory / file.name)
        _name_tokenizer_class(directory / "tokenizer_config.json", tokenizer)
        if chat_template is not None:
            (directory / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
        (directory / "README.md").write_text(card, encoding="utf-8")
        write_weights(model, str(base_model), directory, dtype=dtype)
        generation = _generation_config(base_model, stop_token_ids)
        write_json(directory / "generation_config.json", generation)
        if not is_adapter(model):
            _keep_conversion(base_model, directory)
        flush(directory)
        # Whoever sees the weights has the rest already.
        for file in sorted(directory.iterdir(), key=lambda file: file.suffix == ".safetensors"):
            file.replace(output / file.name)


def _keep_conversion(base_model: Path, directory: Path) -> None:
    """A converted ChatGLM stays one: its prompt format and the way back are told by these."""
    if (record := base_model / "tunesmith_conversion.json").is_file():
        shutil.copyfile(record, directory / record.name)
    if (originals := base_model / "chatglm").is_dir():
        shutil.copytree(originals, directory / originals.name)


def _dtype_of_files(base_model: Path, otherwise: torch.dtype) -> torch.dtype:
    config = read_json(base_model / "config.json") or {}
    dtype = getattr(torch, str(config.get("dtype") or config.get("torch_dtype")), None)
    return dtype if isinstance(dtype, torch.dtype) and dtype.is_floating_point else otherwise


def _generation_config(base_model: Path, stop_token_ids: Sequence[int]) -> dict[str, Any]:
    """Return the base model's, ending where the trained answers end."""
    values = read_json(base_model / "generation_config.json") or {}
    if stop_token_ids:
        values["eos_token_id"] = list(stop_token_ids)
    return values


def _name_tokenizer_class(config: Path, tokenizer: Any) -> None:
    """Beside an adapter no config.json tells AutoTokenizer which class to load."""
    values = read_json(config) or {}
    if "tokenizer_class" not in values:
        write_json(config, values | {"tokenizer_class": type(tokenizer).__name__})


def tokenizer_files(base_model: Path) -> list[Path]:
    """Return the tokenizer's files in a base model's directory."""
    named = [base_model / name for name in TOKENIZER_FILES]
    return [file for file in [*named, *base_model.glob("*.tiktoken")] if file.is_file()]
