"""A request as the shell line that would create it: `tunesmith submit ...`. Pure."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

# Options by the wire's names.
OPTIONS = {
    "baseModel": "--base-model",
    "datasetPath": "--dataset",
    "name": "--name",
    "outputPath": "--output",
    "description": "--description",
}


def submit_line(request: Mapping[str, Any]) -> str:
    """Return the line for a body of createTask; texts are quoted for a POSIX shell."""
    return shlex.join(["tunesmith", "submit", *_words(request)])


def _words(request: Mapping[str, Any]) -> Iterator[str]:
    for name, option in OPTIONS.items():
        if request.get(name):
            # An option's value that begins with a dash is taken for an option unless it is joined.
            yield from _option(option, str(request[name]))
    for name, value in (request.get("trainingArgs") or {}).items():
        yield from ("--set", f"{name}={_text(value)}")
    gpu = request.get("gpuConfig") or {}
    if gpu.get("cuda_visible_devices"):
        yield from _option("--gpu", gpu["cuda_visible_devices"])
    if "memory_optimization" in gpu:
        yield "--memory-optimization" if gpu["memory_optimization"] else "--no-memory-optimization"
    if gpu.get("max_memory_gib") is not None:
        yield from ("--max-memory-gib", _text(gpu["max_memory_gib"]))


def _option(option: str, value: str) -> list[str]:
    return [f"{option}={value}"] if value.startswith("-") else [option, value]


def _text(value: Any) -> str:
    """Return a value as `--set` reads it."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict | bool):
        return json.dumps(value)
    if isinstance(value, float):
        return str(value).removesuffix(".0")  # as it was typed
    return str(value)
