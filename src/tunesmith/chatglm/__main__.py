"""Converts for the command line: `python -m tunesmith.chatglm`, JSON in and out.

`{"source", "target", "to": "transformers" or "chatglm"}` gives `{"family", "warnings"}`. Standard
error hears of each weights file.
"""

import os
import sys
from pathlib import Path
from typing import Any

from tunesmith.side_process import answer_one

# What libraries read when they are loaded: nothing from the network, no bars of theirs.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do the conversion that `request` asks for."""
    os.environ.update(QUIET)
    from tunesmith.chatglm.convert import convert, restore

    change = restore if request["to"] == "chatglm" else convert
    done = change(Path(request["source"]), Path(request["target"]), _tell)
    return {"family": done.family, "warnings": list(done.warnings)}


def _tell(number: int, count: int, file: str) -> None:
    sys.stderr.write(f"{number}/{count} {file}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    answer_one(answer)
