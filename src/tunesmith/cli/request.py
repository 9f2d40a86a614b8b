"""What to train, from a file and from options; the options win. Shared by submit and train."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
import yaml

from tunesmith.errors import FieldProblem, InvalidInput, Refused
from tunesmith.spec import ARGUMENT_ALIASES, TaskRequest


def build_request(
    file: Path | None,
    *,
    name: str | None,
    base_model: str | None,
    dataset: str | None,
    output: str | None,
    description: str | None,
    settings: list[str] | None,
    gpu: str | None,
    memory_optimization: bool | None,
    max_memory_gib: float | None,
) -> dict[str, Any]:
    """Return a task request under wire names, its paths absolute; nothing else is checked.

    Raises Refused for a file that cannot be read and InvalidInput for one that holds no request.
    """
    request = _wire_names(_read(file)) if file else {}
    given = {
        "name": name,
        "baseModel": base_model,
        "datasetPath": dataset,
        "outputPath": output,
        "description": description,
    }
    request |= {key: value for key, value in given.items() if value is not None}
    _merge(request, "trainingArgs", dict(map(assignment, settings or [])))
    gpu_config = {
        "cuda_visible_devices": gpu,
        "memory_optimization": memory_optimization,
        "max_memory_gib": max_memory_gib,
    }
    _merge(request, "gpuConfig", {k: v for k, v in gpu_config.items() if v is not None})
    for key in ("datasetPath", "outputPath"):
        if isinstance(request.get(key), str) and request[key]:
            request[key] = absolute(request[key])
    if isinstance(request.get("baseModel"), str):
        request["baseModel"] = _base_model(request["baseModel"])
    if not request.get("name") and isinstance(request.get("datasetPath"), str):
        request["name"] = Path(request["datasetPath"]).stem
    return request


def absolute(path: str) -> str:
    """Return `path` as the person means it here; a server has another current directory."""
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111  (keeps symlinks)


def _base_model(value: str) -> str:
    """What is not here and looks like a name or a hub's `organisation/name` is the server's."""
    if not value or value.startswith(("/", "~")) or os.path.exists(value):  # noqa: PTH110  (no error for too long a name)
        return absolute(value) if value else value
    from tunesmith.hub.reference import read_reference

    return absolute(value) if "/" in value and not read_reference(value) else value


def _read(file: Path) -> dict[str, Any]:
    try:
        # JSON is YAML, but for tabs.
        text = file.read_text(encoding="utf-8")
        values = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise Refused("file_unreadable", path=str(file), reason=error.strerror) from None
    except (ValueError, yaml.YAMLError) as error:
        raise Refused("file_unreadable", path=str(file), reason=str(error)) from None
    if not isinstance(values, dict):
        raise InvalidInput(FieldProblem(str(file), "field.dict_type"))
    return values


def _wire_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rename base_model to baseModel and so on; what is not known is left for the server."""
    wire = {name: field.alias or name for name, field in TaskRequest.model_fields.items()}
    return {wire.get(name, name): value for name, value in values.items()}


def _merge(request: dict[str, Any], key: str, given: Mapping[str, Any]) -> None:
    """Let the options win over the file, where one of them uses a short name too."""
    if not given:
        return
    before = request.get(key) or {}
    if not isinstance(before, dict):
        raise InvalidInput(FieldProblem(key, "field.dict_type"))
    replaced = {ARGUMENT_ALIASES.get(name, name) for name in given}
    kept = {k: v for k, v in before.items() if ARGUMENT_ALIASES.get(k, k) not in replaced}
    request[key] = kept | dict(given)


def assignment(text: str) -> tuple[str, str]:
    """Return name and value of a `--set NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
    return name.strip(), value.strip()
