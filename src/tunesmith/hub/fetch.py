"""The trainer's side of a download: starts the child, hears it, ends it with a stop."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.errors import RunFailure
from tunesmith.hub import marker
from tunesmith.spec import HubModel


def ensure_there(
    model: HubModel,
    directory: Path,
    on_progress: Callable[[dict[str, Any]], None],
    on_waiting: Callable[[str], None],
) -> str | None:
    """Download `model` into `directory` if nothing is there; return the revision that is there.

    None means that the directory does not say. The token is in this process's environment. Any
    exception, such as a stop, ends the child; what it has downloaded stays. Raises RunFailure.
    """
    if directory.is_dir():
        return marker.read(directory).get("revision")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tunesmith.hub.download"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        request = {"model": model.model_dump(mode="json"), "directory": str(directory)}
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()
        for line in process.stdout:
            message = json.loads(line)
            if "progress" in message:
                on_progress(message["progress"])
            elif "waits" in message:
                on_waiting(message["waits"])
            elif "failed" in message:
                raise RunFailure(message["failed"]["code"], **message["failed"]["params"])
            else:
                revision: str | None = message["done"]
                return revision
        reason = {"code": "hub.ended", "params": {"exit_code": process.wait()}}
        raise RunFailure("download_failed", repo=model.repo, reason=reason)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
