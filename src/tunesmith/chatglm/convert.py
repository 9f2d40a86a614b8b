"""A directory of the original ChatGLM layout -> one that stock transformers loads, and back.

Whole or not at all, shard by shard. The remote code beside the weights is never run; it is kept,
as is the tokenizer, for the way back.
"""

import base64
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tunesmith.chatglm import tokenizer as tokenizers
from tunesmith.chatglm.config import (
    SIZES,
    ChatGLMFamily,
    is_original,
    native_config,
    native_head_dim,
    native_problem,
    original_config,
    problem,
)
from tunesmith.chatglm.refusal import refused
from tunesmith.chatglm.tensor_files import (
    SIZES as DTYPES,
)
from tunesmith.chatglm.tensor_files import (
    Shard,
    Tensor,
    find_shards,
    join,
    shard_names,
    write_index,
    write_safetensors,
)
from tunesmith.chatglm.weights import INV_FREQ, Shape, Weight, weights
from tunesmith.draft import draft
from tunesmith.errors import RunFailure
from tunesmith.families import family_of

RECORD = "tunesmith_conversion.json"
FORMAT = 1
KEPT = "chatglm"
"""Subdirectory of a converted one with the small original files that the way back needs."""
KEPT_FILES = (
    *(
        "tokenizer.model",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
    ),
    *("configuration_chatglm.py", "modeling_chatglm.py", "tokenization_chatglm.py"),
    *("quantization.py", "generation_config.json", "LICENSE", "MODEL_LICENSE"),
)
LARGEST_KEPT = 64 << 20  # bytes
SPARE = 64 << 20  # bytes beyond the weights: tokenizer, configuration

OnShard = Callable[[int, int, str], None]
"""Hears number (from 1), count and file name of each weights file when it is written."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion made."""

    family: str
    """"chatglm2", "chatglm3" or "glm-4"."""
    warnings: tuple[dict[str, Any], ...] = ()
    """Each {"code", "params"}, of the catalogue's part `warning`."""


def convert(source: Path, target: Path, on_shard: OnShard = lambda *_: None) -> Conversion:
    """Make `target` a directory that stock transformers loads, from an original one.

    Raises InvalidInput naming what cannot be converted, Conflict and RunFailure (see `draft`),
    RunFailure `convert_no_space`.
    """
    config = _read_config(source)
    if not is_original(config):
        model_type = str(config.get("model_type"))
        raise refused("chatglm_not_original", path=str(source), model_type=model_type)
    if (found := problem(config, source)) is not None:
        raise refused(found[0], **found[1])
    native = native_config(config, source)
    family = cast(ChatGLMFamily, family_of(source).name)
    shards = _shards(source)
    tokenizer = tokenizers.build(source, family)
    warnings = tuple(_warnings(source, tokenizer, native["vocab_size"]))
    with draft(target) as directory:
        _require_space(directory, shards)
        inv_freq = _write_native(source, native, shards, directory, on_shard)
        if tokenizer is not None:
            _write_tokenizer(tokenizer, directory)
        _write_json(directory / "config.json", native)
        stops = _generation(native, tokenizer, family)
        _write_json(directory / "generation_config.json", stops)
        _keep_files(source, directory / KEPT)
        _write_json(
            directory / RECORD,
            {
                "format": FORMAT,
                "family": family,
                "source": str(source),
                "original_config": config,
                "inv_freq": inv_freq,
                "warnings": list(warnings),
            },
        )
    return Conversion(family, warnings)


def restore(source: Path, target: Path, on_shard: OnShard = lambda *_: None) -> Conversion:
    """Make `target` a directory of the original layout, from a `glm` one of stock transformers.

    Weights are the same bit for bit. Tokenizer and code come from the conversion, where `source`
    was made by one; without them there is a warning. Raises as `convert` does.
    """
    native = _read_config(source)
    if (found := native_problem(native, source)) is not None:
        raise refused(found[0], **found[1])
    record = read_record(source)
    family = _family_of_native(native, record)
    config = _restored_config(native, family, record)
    shards = _shards(source)
    kept = source / KEPT
    warnings: tuple[dict[str, Any], ...] = ()
    if not any((kept / name).is_file() for name in (tokenizers.FILE, tokenizers.FAST_FILE)):
        warnings = ({"code": "chatglm_no_tokenizer", "params": {"path": str(source)}},)
    with draft(target) as directory:
        _require_space(directory, shards)
        _write_original(source, native, shards, record, directory, on_shard)
        _write_json(directory / "config.json", config)
        _keep_files(kept, directory)
    return Conversion(family, warnings)


def read_record(directory: Path) -> dict[str, Any]:
    """Return what a converted directory says of itself; {} where it says nothing we know."""
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = isinstance(record, dict) and record.get("format") == FORMAT
    return record if known else {}


def _require_space(directory: Path, shards: list[Shard]) -> None:
    needed = sum(shard.path.stat().st_size for shard in shards) + SPARE
    free = shutil.disk_usage(directory).free
    if free < needed:
        sizes = {"needed_gib": f"{needed / 2**30:.1f}", "free_gib": f"{free / 2**30:.1f}"}
        raise RunFailure("convert_no_space", path=str(directory.parent), **sizes)


def _write_native(
    source: Path,
    native: Mapping[str, Any],
    shards: list[Shard],
    directory: Path,
    on_shard: OnShard,
) -> dict[str, Any] | None:
    """Write the native weights; return the buffer that has no place there."""
    expected = {weight.original: weight for weight in weights(native)}
    inv_freq: dict[str, Any] | None = None
    files = shard_names(len(shards))
    weight_map: dict[str, str] = {}
    total = 0
    for number, (shard, file) in enumerate(zip(shards, files, strict=True), 1):
        natives: dict[str, Tensor] = {}
        for name, tensor in shard.open().items():
            if name == INV_FREQ:
                inv_freq = _as_record(tensor)
                continue
            weight = expected.pop(name, None)
            if weight is None:
                raise refused("chatglm_weight_unknown", path=str(shard.path), name=name)
            _require_shape(tensor, name, weight.shape, shard.path)
            rows = [shape[0] for _, shape in weight.natives]
            parts = tensor.split(rows)
            natives |= {name: part for (name, _), part in zip(weight.natives, parts, strict=True)}
        write_safetensors(directory / file, natives, lambda _: None)
        weight_map |= dict.fromkeys(natives, file)
        total += sum(tensor.size for tensor in natives.values())
        on_shard(number, len(shards), file)
    for name in expected:
        raise refused("chatglm_weight_missing", path=str(source), name=name)
    if len(files) > 1:
        write_index(directory, weight_map, total)
    return inv_freq


def _write_original(
    source: Path,
    native: Mapping[str, Any],
    shards: list[Shard],
    record: Mapping[str, Any],
    directory: Path,
    on_shard: OnShard,
) -> None:
    tensors: dict[str, Tensor] = {}
    where: dict[str, int] = {}
    for number, shard in enumerate(shards):
        opened = shard.open()
        tensors |= opened
        where |= dict.fromkeys(opened, number)
    # A weight lies in the file that its first part comes from.
    files: list[dict[str, Tensor]] = [{} for _ in shards]
    for weight in weights(native):
        original = _joined(weight, tensors, source)
        files[where[weight.natives[0][0]]][weight.original] = original
    known = {name for weight in weights(native) for name, _ in weight.natives}
    for name in sorted(tensors.keys() - known):
        if not name.endswith("rotary_emb.inv_freq"):
            raise refused("chatglm_weight_unknown", path=str(source), name=name)
    if (buffer := _inv_freq(native, record, tensors["lm_head.weight"].dtype)) is not None:
        files[0][INV_FREQ] = buffer
    files = [file for file in files if file]
    names = shard_names(len(files))
    for number, (file, content) in enumerate(zip(names, files, strict=True), 1):
        write_safetensors(directory / file, content, lambda _: None)
        on_shard(number, len(files), file)
    if len(files) > 1:
        weight_map = {n: file for file, content in zip(names, files, strict=True) for n in content}
        size = sum(tensor.size for content in files for tensor in content.values())
        write_index(directory, weight_map, size)


def _joined(weight: Weight, tensors: Mapping[str, Tensor], source: Path) -> Tensor:
    parts = []
    for name, shape in weight.natives:
        if name not in tensors:
            raise refused("chatglm_weight_missing", path=str(source), name=name)
        _require_shape(tensors[name], name, shape, source)
        parts.append(tensors[name])
        if parts[0].dtype != parts[-1].dtype:
            found, wanted = parts[-1].dtype, parts[0].dtype
            described = {"path": str(source), "name": name, "found": found, "wanted": wanted}
            raise refused("chatglm_weight_shape", **described)
    return join(parts)


def _inv_freq(native: Mapping[str, Any], record: Mapping[str, Any], dtype: str) -> Tensor | None:
    """Return the original code's buffer: as it was, or as that code computes it."""
    if record:
        if (kept := record.get("inv_freq")) is None:
            return None
        data = memoryview(base64.b64decode(kept["data"]))
        return Tensor(kept["dtype"], tuple(kept["shape"]), (data,))
    import torch

    rotated = native_head_dim(native) // 2
    types = {"BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64}
    steps = torch.arange(0, rotated, 2, dtype=types.get(dtype, torch.float32))
    values = 1.0 / (10000 ** (steps / rotated))
    data = memoryview(values.contiguous().view(torch.uint8).numpy().tobytes())
    return Tensor(dtype if dtype in types else "F32", tuple(values.shape), (data,))


def _as_record(tensor: Tensor) -> dict[str, Any]:
    data = base64.b64encode(b"".join(tensor.chunks())).decode()
    return {"dtype": tensor.dtype, "shape": list(tensor.shape), "data": data}


def _require_shape(tensor: Tensor, name: str, wanted: Shape, path: Path) -> None:
    described: dict[str, Any] = {"path": str(path), "name": name}
    if tensor.dtype not in DTYPES:  # whole numbers: a quantised checkpoint
        known = ", ".join(DTYPES)
        raise refused("chatglm_weight_shape", **described, found=tensor.dtype, wanted=known)
    if tensor.shape != wanted:
        found = list(tensor.shape)
        raise refused("chatglm_weight_shape", **described, found=found, wanted=list(wanted))


def _warnings(source: Path, tokenizer: Any, vocabulary: int) -> Iterator[dict[str, Any]]:
    if tokenizer is None:
        yield {"code": "chatglm_no_tokenizer", "params": {"path": str(source)}}
    elif len(tokenizer) > vocabulary:
        params = {"tokens": len(tokenizer), "vocabulary": vocabulary}
        yield {"code": "chatglm_tokenizer_larger", "params": params}


def _generation(native: Mapping[str, Any], tokenizer: Any, family: ChatGLMFamily) -> dict[str, Any]:
    eos = native["eos_token_id"]
    stops = list(eos) if isinstance(eos, list) else [eos]
    if tokenizer is not None:
        found = [tokenizer.convert_tokens_to_ids(token) for token in tokenizers.STOPS[family]]
        stops += [stop for stop in found if stop not in stops and stop < native["vocab_size"]]
    return {"eos_token_id": stops, "pad_token_id": native["pad_token_id"]}


def _write_tokenizer(tokenizer: Any, directory: Path) -> None:
    tokenizer.save_pretrained(directory)
    file = directory / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    # A name that transformers 4 knows too.
    _write_json(file, config | {"tokenizer_class": "PreTrainedTokenizerFast"})


def _keep_files(source: Path, target: Path) -> None:
    for name in KEPT_FILES:
        file = source / name
        if file.is_file() and file.stat().st_size <= LARGEST_KEPT:
            target.mkdir(exist_ok=True)
            shutil.copyfile(file, target / name)


def _family_of_native(native: Mapping[str, Any], record: Mapping[str, Any]) -> ChatGLMFamily:
    if (family := record.get("family")) in tokenizers.CONTROLS:
        return cast(ChatGLMFamily, family)
    # Of the two with the same vocabulary, the newer one.
    return "glm-4" if native["vocab_size"] > 100_000 else "chatglm3"


def _restored_config(
    native: Mapping[str, Any], family: ChatGLMFamily, record: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the config.json that was converted, with what has changed since."""
    fresh = original_config(native, family)
    kept = record.get("original_config")
    if not isinstance(kept, dict):
        return fresh
    compared = [*SIZES, "kv_channels", "layernorm_epsilon", "add_qkv_bias"]
    changed = {key: fresh[key] for key in compared if kept.get(key) != fresh[key]}
    ratio = fresh.get("rope_ratio", 1)
    if (kept.get("rope_ratio") or 1) != ratio:
        changed["rope_ratio"] = ratio
    if fresh["torch_dtype"] not in (None, kept.get("torch_dtype"), kept.get("dtype")):
        changed["torch_dtype"] = fresh["torch_dtype"]
    return kept | changed


def _shards(source: Path) -> list[Shard]:
    try:
        shards = find_shards(source)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise refused("base_model_bad_config", path=str(source), reason=str(error)) from error
    if not shards:
        raise refused("base_model_no_weights", path=str(source))
    for shard in shards:
        if not shard.path.is_file():
            raise refused("base_model_missing_shard", path=str(source), file=shard.path.name)
    return shards


def _read_config(source: Path) -> dict[str, Any]:
    if not source.is_dir():
        raise refused("base_model_missing", path=str(source))
    file = source / "config.json"
    if not file.is_file():
        raise refused("base_model_no_config", path=str(source))
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise refused("base_model_bad_config", path=str(source), reason=str(error)) from error
    return config


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    file.write_text(text, encoding="utf-8")
