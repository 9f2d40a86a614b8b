"""What is in a base model's directory, and what is wrong with it. Imports no torch."""

import json
import math
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import FieldProblem
from tunesmith.families import GENERIC, Family, family_of

SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
TEMPLATES = "additional_chat_templates"  # the one directory that a tokenizer reads as well
LONGEST_HEADER = 100 << 20  # bytes; the safetensors format's own limit
LARGEST_JSON = 32 << 20  # bytes; the index of the largest models has a few MiB
MOST_FILES = 10_000  # of a directory that are counted
# What `git clone` leaves in a large file's place where Git LFS is not installed.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_DTYPE_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Inspection:
    """What a base model's directory tells of itself; None where it does not."""

    path: Path
    family: Family
    size_bytes: int
    """Of all files."""
    prompt_format: str
    """The family's, "plain", or "template" for the tokenizer's own chat template."""
    problems: tuple[FieldProblem, ...]
    architecture: str | None = None
    model_type: str | None = None
    parameters: int | None = None
    parameters_estimated: bool = False
    """From the size of the weights; else they are counted."""
    layers: int | None = None
    hidden_size: int | None = None
    vocabulary: int | None = None
    max_positions: int | None = None
    dtype: str | None = None
    chat_template: bool = False
    """The tokenizer has one of its own."""
    stop_tokens: tuple[str, ...] = ()
    lora_targets: tuple[str, ...] = ()
    quantization: str | None = None
    """Method by which the weights are quantised already."""
    is_adapter: bool = False


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
        if _is_adapter(path):
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
            if _is_pointer(file):
                return problem("base_model_lfs_pointer", path=str(file))
            if reason := _damage(file):
                return problem("base_model_bad_weights", path=str(file), reason=reason)
        tokenizer = [path / name for name in TOKENIZER_FILES if (path / name).is_file()]
        if not tokenizer:
            return problem("base_model_no_tokenizer", path=str(path))
        if pointer := next(filter(_is_pointer, tokenizer), None):
            return problem("base_model_lfs_pointer", path=str(pointer))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        return problem("base_model_bad_config", path=str(path), reason=str(error))
    return None


def link_problem(path: Path, roots: Sequence[Path] | None, field: str) -> FieldProblem | None:
    """Return the problem of files that are symlinks out of `roots`, None if there are none.

    A file of an allowed directory may be a link out of it; to be asked before any is opened.
    None for `roots` allows all. A directory that is not there is for `problem_with` to tell.
    """
    try:
        outside = files_outside(path, roots) if roots is not None and path.is_dir() else None
    except OSError as error:
        unread = {"path": str(path), "reason": error.strerror or str(error)}
        return FieldProblem(field, "field.base_model_bad_config", unread)
    if outside is None:
        return None
    params = {"path": str(outside), "roots": [str(root) for root in roots or ()]}
    return FieldProblem(field, "field.base_model_file_outside", params)


def files_outside(path: Path, roots: Sequence[Path]) -> Path | None:
    """Return an entry of `path` that is a symlink out of `roots`, None if there is none.

    The links of a Hugging Face cache lead to its `blobs`, which lie inside as it does. Raises
    OSError for a directory that cannot be read.
    """
    # All entries are looked at, however many: a link must not hide behind the rest.
    with os.scandir(path) as entries:
        links = [Path(entry.path) for entry in entries if entry.is_symlink()]
    if (path / TEMPLATES).is_dir():
        with os.scandir(path / TEMPLATES) as entries:
            links += [Path(entry.path) for entry in entries if entry.is_symlink()]
    for link in links:
        try:
            target = link.resolve()
        except RuntimeError:  # links in a circle lead nowhere
            continue
        if not any(target.is_relative_to(root) for root in roots):
            return link
    return None


def inspect(path: Path, roots: Sequence[Path] | None = None) -> Inspection:
    """Return what the directory `path` tells; never fails, what is wrong is among `problems`.

    No file is opened where one of them leads out of `roots`; None allows all.
    """
    if problem := link_problem(path, roots, "baseModel"):
        return _closed(path, problem)
    problem = problem_with(path, "baseModel")
    config = _object_or_empty(path / "config.json")
    tokenizer = _object_or_empty(path / "tokenizer_config.json")
    family = family_of(path)
    template = bool(tokenizer.get("chat_template")) or (path / "chat_template.jinja").is_file()
    own_format = template and not family.format_wins
    dtype, parameters, estimated = _weights(path, config)
    end = tokenizer.get("eos_token")
    end = end.get("content") if isinstance(end, dict) else end
    return Inspection(
        path=path,
        family=family,
        architecture=_first(config.get("architectures")),
        model_type=_text(config.get("model_type")),
        parameters=parameters,
        parameters_estimated=estimated,
        layers=_number(config, "num_hidden_layers", "num_layers", "n_layer"),
        hidden_size=_number(config, "hidden_size", "n_embd"),
        vocabulary=_number(config, "padded_vocab_size", "vocab_size"),
        max_positions=positions_of(config),
        dtype=dtype,
        size_bytes=_size(path),
        chat_template=template,
        prompt_format="template" if own_format else family.prompt_format,
        stop_tokens=family.stop_tokens or ((end,) if isinstance(end, str) else ()),
        lora_targets=family.lora_targets,
        quantization=_quantization(config.get("quantization_config")),
        is_adapter=_is_adapter(path),
        problems=(problem,) if problem else (),
    )


def positions_of(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens the base model of a config.json was made for; None if untold.

    Rotary scaling may reach beyond `max_position_embeddings` (YaRN in Qwen's model cards).
    """
    positions = _number(config, "max_position_embeddings", "seq_length", "n_positions")
    scaling = config.get("rope_parameters") or config.get("rope_scaling")
    if positions is None or not isinstance(scaling, dict):
        return positions
    factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings")
    if isinstance(factor, int | float) and isinstance(original, int) and math.isfinite(factor):
        return max(positions, int(factor * original))
    return positions


def _closed(path: Path, problem: FieldProblem) -> Inspection:
    """Return the inspection of a directory whose files are not opened."""
    return Inspection(path, GENERIC, _size(path), GENERIC.prompt_format, (problem,))


def _weights(path: Path, config: Mapping[str, Any]) -> tuple[str | None, int | None, bool]:
    """Return dtype and number of the parameters, and whether the number is an estimate."""
    stated = _text(config.get("torch_dtype")) or _text(config.get("dtype"))
    try:
        files = [file for file in _weight_files(path) if file.is_file()]
        if files and all(file.suffix == ".safetensors" for file in files):
            dtype, parameters = _count(map(_header, files))
            return dtype or stated, parameters, bool(config.get("quantization_config"))
        total = _stated_size(path) or sum(file.stat().st_size for file in files)
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return stated, None, False
    width = _DTYPE_BYTES.get(stated or "")
    return stated, (total // width if width and total else None), True


def _count(headers: Iterable[Mapping[str, Any]]) -> tuple[str | None, int]:
    """Return the dtype of most parameters, and how many there are."""
    counts: dict[str, int] = {}
    for header in headers:
        for name, entry in header.items():
            # Old checkpoints hold the frequencies of the rotary positions, which are constants.
            if name != "__metadata__" and not name.endswith("inv_freq"):
                dtype = str(entry["dtype"])
                counts[dtype] = counts.get(dtype, 0) + math.prod(entry["shape"])
    most = max(counts, key=lambda dtype: counts[dtype], default="")
    return _DTYPES.get(most, most.lower()) or None, sum(counts.values())


def _stated_size(path: Path) -> int:
    """Return the bytes of all weights by the index; 0 where it does not say."""
    for name in INDEX_FILES:
        if (path / name).is_file():
            metadata = _read_object(path / name).get("metadata")
            size = metadata.get("total_size") if isinstance(metadata, dict) else None
            return int(size) if isinstance(size, int | float) else 0
    return 0


def _size(path: Path) -> int:
    """Return the bytes of all files in and below `path`, those of links where they lead."""
    size = seen = 0
    for directory, _, files in os.walk(path):
        for name in files:
            seen += 1
            if seen > MOST_FILES:
                return size
            try:
                size += Path(directory, name).stat().st_size
            except OSError:  # a link that leads nowhere
                continue
    return size


def _quantization(value: Any) -> str | None:
    if not value:
        return None
    return (_text(value.get("quant_method")) if isinstance(value, dict) else None) or "?"


def _first(value: Any) -> str | None:
    return _text(value[0]) if isinstance(value, list) and value else None


def _is_adapter(path: Path) -> bool:
    return (path / "adapter_config.json").is_file() and not (path / "config.json").is_file()


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
                if name != Path(name).name:  # transformers would follow it out of the directory
                    raise ValueError(f"{index} names {name}, which is not beside it")
                yield path / name
            return


def _read_object(file: Path) -> dict[str, Any]:
    if not file.is_file():  # a pipe would be waited for
        raise FileNotFoundError(f"{file} is no file")
    if (size := file.stat().st_size) > LARGEST_JSON:
        raise ValueError(f"{file.name} has {size} bytes, more than {LARGEST_JSON} are not read")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{file.name} holds no JSON object")
    return value


def _object_or_empty(file: Path) -> dict[str, Any]:
    try:
        return _read_object(file)
    except (OSError, ValueError, RecursionError):
        return {}


def _damage(file: Path) -> str | None:
    """Return what is wrong with a file of weights by its header and size, None if nothing is."""
    size = file.stat().st_size
    if file.suffix != ".safetensors":
        with file.open("rb") as content:
            start = content.read(2)
        # torch.save writes a zip file, whose directory is its end.
        cut = size == 0 or (start == b"PK" and not zipfile.is_zipfile(file))
        return "it ends too early" if cut else None
    try:
        header = _header(file)
        ends = [
            entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"
        ]
        expected = _header_end(file) + max(ends, default=0)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "no safetensors header"
    return None if size == expected else f"{size} bytes instead of {expected}"


def _header(file: Path) -> dict[str, Any]:
    """Return the header of a safetensors file; raise ValueError where it has none."""
    end = _header_end(file)
    if end > min(file.stat().st_size, LONGEST_HEADER):
        raise ValueError("no safetensors header")
    with file.open("rb") as content:
        content.seek(8)
        header = json.loads(content.read(end - 8))
    if not isinstance(header, dict):
        raise ValueError("no safetensors header")
    return header


def _header_end(file: Path) -> int:
    with file.open("rb") as content:
        return 8 + int.from_bytes(content.read(8), "little")


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(len(_LFS_POINTER)) == _LFS_POINTER


def _text(value: Any) -> str | None:
    return value.removeprefix("torch.") if isinstance(value, str) and value else None


def _number(config: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
