"""Checks a whole data set in a process of its own: `python -m tunesmith.dataset`, JSON in and out.

The request is {"path", "split", "seed", "on_bad_rows"}. The server asks so for data that it could
not read while the task was being created.
"""

from pathlib import Path
from typing import Any

from tunesmith.dataset import check, open_dataset
from tunesmith.side_process import answer_one


def answer(request: dict[str, Any]) -> dict[str, int]:
    """Return the samples per split; raise what is wrong with the data."""
    dataset = open_dataset(Path(request["path"]), request["split"], request["seed"])
    return dict(check(dataset, request["on_bad_rows"]).counts)


if __name__ == "__main__":
    answer_one(answer)
