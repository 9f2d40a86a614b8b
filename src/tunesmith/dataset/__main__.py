"""Checks a whole data set in a process of its own: `python -m tunesmith.dataset PATH`.

Prints {"error": null} or {"error": {"code", "params"}}. The server runs it for data that it could
not read while the task was being created.
"""

import json
import sys
from pathlib import Path

from tunesmith.dataset import check, find_splits
from tunesmith.errors import RunFailure


def main() -> None:
    """Check the data set named by the first argument."""
    try:
        check(find_splits(Path(sys.argv[1])))
        error = None
    except RunFailure as failure:
        error = {"code": failure.code, "params": failure.params}
    json.dump({"error": error}, sys.stdout)


if __name__ == "__main__":
    main()
