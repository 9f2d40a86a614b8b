"""`.tunesmith-download.json`: says of a directory from which hub and revision it came."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tunesmith.hub.files import RemoteFile
from tunesmith.run_directory import read_json, write_json
from tunesmith.spec import HubModel

MARKER = ".tunesmith-download.json"


def write(directory: Path, model: HubModel, files: Iterable[RemoteFile]) -> None:
    """Say in `directory` what it holds, or is about to."""
    described = [{"path": f.path, "size": f.size, "sha256": f.sha256} for f in files]
    write_json(directory / MARKER, model.model_dump(mode="json") | {"files": described})


def read(directory: Path) -> dict[str, Any]:
    """Return what `directory` says of itself; {} where it says nothing that can be read."""
    try:
        return read_json(directory / MARKER) or {}
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}


def same(directory: Path, model: HubModel) -> bool:
    """Whether `directory` says that it holds this revision of `model`, from whatever mirror."""
    said = read(directory)
    return all(said.get(key) == getattr(model, key) for key in ("source", "repo", "revision"))
