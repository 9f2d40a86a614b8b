"""One run of the real trainer, for benchmarks."""

import os
import subprocess
import sys
from pathlib import Path

from tunesmith import allocator, events
from tunesmith.run_directory import RunDirectory
from tunesmith.spec import Spec


def run_once(spec: Spec, root: Path) -> list[events.Event]:
    """Do the run of `spec` in the run directory `root`; return its events.

    Raises CalledProcessError if it fails, with the log on standard error.
    """
    directory = RunDirectory(root)
    directory.spec.write_text(spec.model_dump_json(), encoding="utf-8")
    with directory.log.open("wb") as log:
        ended = subprocess.run(
            [sys.executable, "-m", "tunesmith.trainer", str(root)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | allocator.environment(),
        )
    if ended.returncode:
        sys.stderr.write(directory.log.read_text(encoding="utf-8", errors="replace"))
        ended.check_returncode()
    found: list[events.Event] = []
    offset = 0
    while True:
        more, after = events.read(directory.events, offset)
        if after == offset:
            return found
        found += more
        offset = after
