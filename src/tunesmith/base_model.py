"""What is in a base model's directory, and what is wrong with it. Imports no torch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.errors import FieldProblem

SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
LONGEST_HEADER = 100 << 20  # bytes; the safetensors format's own limit


def problem_with(path: Path, field: str) -> FieldProblem | None:
    """Return the first thing that keeps `path` from being a base model, None if nothing does.

    Looks at names, at JSON files and at the headers of safetensors files (a download that was
    cut off is found), never at the weights themselves.
    """

    def problem(code: str, **params: Any) -> FieldProblem:
        return FieldProblem(field, f"field.{code}", params)

    try:
        if not path.is_dir():
            return problem("base_model_missing", path=str(path))
        if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
            base = _read_object(path / "adapter_config.json").get("base_model_name_or_path")
            return problem("base_model_is_adapter", path=str(path), base=base or "?")
        if not (path / "config.json").is_file():
            return problem("base_model_no_config", path=str(path))
        config = _read_object(path / "config.json")
        if not isinstance(config.get("model_type"), str):
            raise ValueError("config.json has no model_type")
        weights = list(_weight_files(path))
        if not weights:
            return problem("base_model_no_weights", path=str(path))
        for file in weights:
            if not file.is_file():
                return problem("base_model_missing_shard", path=str(path), file=file.name)
            if file.suffix == ".safetensors" and (reason := _damage(file)):
                return problem("base_model_bad_weights", path=str(file), reason=reason)
        if not any((path / name).is_file() for name in TOKENIZER_FILES):
            return problem("base_model_no_tokenizer", path=str(path))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        return problem("base_model_bad_config", path=str(path), reason=str(error))
    return None


def _weight_files(path: Path) -> Iterator[Path]:
    for single, index in zip(SINGLE_FILES, INDEX_FILES, strict=True):
        if (path / single).is_file():
            yield path / single
            return
        if (path / index).is_file():
            weight_map = _read_object(path / index).get("weight_map")
            if not isinstance(weight_map, dict):
                raise ValueError(f"{index} has no weight_map")
            for name in sorted(set(weight_map.values())):
                yield path / Path(name).name
            return


def _read_object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{file.name} holds no JSON object")
    return value


def _damage(file: Path) -> str | None:
    """Return what is wrong with a safetensors file by its header and size, None if nothing is."""
    size = file.stat().st_size
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST_HEADER):
            return "no safetensors header"
        try:
            header = json.loads(content.read(length))
            ends = [
                entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"
            ]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return "no safetensors header"
    return None if size == expected else f"{size} bytes instead of {expected}"
