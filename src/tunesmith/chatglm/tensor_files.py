"""Weights files, tensor by tensor, as bytes: read where they lie, written one after the other.

A tensor is a place in a file, not its numbers: taking rows, joining and copying whole models
needs a few MiB. Only pytorch's own files (.bin) go through torch, mapped into memory.
"""

import json
import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.chatglm.refusal import refused
from tunesmith.errors import InvalidInput

SIZES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}  # bytes; other dtypes are no weights of ours
LONGEST_HEADER = 100 << 20  # bytes; the safetensors format's own limit
CHUNK = 4 << 20  # bytes read and written at once
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PYTORCH = ("pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class FilePart:
    """Bytes `begin` to `end` of a file."""

    path: Path
    begin: int
    end: int


@dataclass(frozen=True)
class Tensor:
    """A tensor in row-major order, its bytes somewhere else."""

    dtype: str
    """As safetensors calls it: F32, F16, BF16."""
    shape: tuple[int, ...]
    parts: tuple[FilePart | memoryview, ...]
    """Where its bytes are, one after the other."""

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * SIZES.get(self.dtype, 1)

    def split(self, rows: Sequence[int]) -> Iterator["Tensor"]:
        """Cut it into tensors of so many rows each (the first dimension)."""
        (part,) = self.parts
        row = self.size // self.shape[0]
        begin = 0
        for count in rows:
            end = begin + count * row
            if isinstance(part, FilePart):
                piece: FilePart | memoryview = FilePart(
                    part.path, part.begin + begin, part.begin + end
                )
            else:
                piece = part[begin:end]
            yield Tensor(self.dtype, (count, *self.shape[1:]), (piece,))
            begin = end

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Give its bytes, a few MiB at a time."""
        for part in self.parts:
            if isinstance(part, FilePart):
                yield from _read(part)
            else:
                for begin in range(0, len(part), CHUNK):
                    yield part[begin : begin + CHUNK]


def join(tensors: Sequence[Tensor]) -> Tensor:
    """Put tensors of one dtype and row length below each other."""
    first = tensors[0]
    rows = sum(tensor.shape[0] for tensor in tensors)
    parts = tuple(part for tensor in tensors for part in tensor.parts)
    return Tensor(first.dtype, (rows, *first.shape[1:]), parts)


@dataclass(frozen=True)
class Shard:
    """A weights file."""

    path: Path
    names: frozenset[str] | None
    """What the index says is in it; None where there is no index."""

    def open(self) -> dict[str, Tensor]:
        """Return its tensors by name.

        Those of a .bin keep the file mapped as long as they live. Raises InvalidInput
        `base_model_bad_weights`.
        """
        try:
            if self.path.suffix == ".safetensors":
                return read_header(self.path)
            return _read_pytorch(self.path)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            raise _bad(self.path, error) from error
        except (EOFError, pickle.UnpicklingError) as error:
            raise _bad(self.path, error) from error


def find_shards(directory: Path) -> list[Shard]:
    """Return the weights files of a base model's directory; safetensors come before .bin."""
    for single, index in (SAFETENSORS, PYTORCH):
        if (directory / single).is_file():
            return [Shard(directory / single, None)]
        if (directory / index).is_file():
            names: dict[str, set[str]] = {}
            weight_map = json.loads((directory / index).read_text(encoding="utf-8"))["weight_map"]
            for name, file in weight_map.items():
                names.setdefault(Path(file).name, set()).add(name)
            return [Shard(directory / file, frozenset(names[file])) for file in sorted(names)]
    return []


def read_header(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; raise ValueError if it is none, or cut off."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST_HEADER):
            raise ValueError("no safetensors header")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    start = 8 + length
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensor = Tensor(
            entry["dtype"], tuple(entry["shape"]), (FilePart(path, start + begin, start + end),)
        )
        if not 0 <= begin <= end or start + end > size:
            raise ValueError(f"{size} bytes are too few for {name}")
        if tensor.dtype in SIZES and tensor.size != end - begin:
            raise ValueError(f"the size of {name} does not fit its shape")
        found[name] = tensor
    return found


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], copied: Callable[[int], None]
) -> None:
    """Write `tensors` to a new file; `copied` hears of every so many bytes."""
    # Wide dtypes first, as safetensors does, so that every tensor is aligned to its own.
    order = sorted(tensors, key=lambda name: -SIZES[tensors[name].dtype])
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name in order:
        tensor = tensors[name]
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [begin, begin + tensor.size],
        }
        begin += tensor.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            for chunk in tensors[name].chunks():
                file.write(chunk)
                copied(len(chunk))


def shard_names(count: int) -> list[str]:
    """Return the file names of `count` shards, as transformers gives them."""
    if count == 1:
        return [SAFETENSORS[0]]
    return [f"model-{number + 1:05}-of-{count:05}.safetensors" for number in range(count)]


def write_index(directory: Path, weight_map: Mapping[str, str], size: int) -> None:
    """Write the index of several shards; `size` is that of all tensors, in bytes."""
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    (directory / SAFETENSORS[1]).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _read(part: FilePart) -> Iterator[bytes]:
    with part.path.open("rb") as file:
        file.seek(part.begin)
        left = part.end - part.begin
        while left:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                raise _bad(part.path, EOFError("it became shorter while it was read"))
            left -= len(chunk)
            yield chunk


def _read_pytorch(path: Path) -> dict[str, Tensor]:
    import torch

    names = {torch.float64: "F64", torch.float32: "F32"}
    names |= {torch.bfloat16: "BF16", torch.float16: "F16"}
    try:
        state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        # A file of pytorch before 1.6, which cannot be mapped.
        state = torch.load(path, map_location="cpu", weights_only=True)
    found = {}
    for name, values in state.items():
        flat = values.detach().contiguous().reshape(-1).view(torch.uint8)
        found[name] = Tensor(
            names.get(values.dtype, str(values.dtype)),
            tuple(values.shape),
            (memoryview(flat.numpy()),),
        )
    return found


def _bad(path: Path, error: Exception) -> InvalidInput:
    lines = str(error).strip().splitlines()
    reason = lines[0][:200] if lines else type(error).__name__
    return refused("base_model_bad_weights", path=str(path), reason=reason)
