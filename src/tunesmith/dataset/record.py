"""Lists the rows that were left out, in the task's output."""

import json
import shutil
import tempfile
from pathlib import Path

from tunesmith.dataset.row_problem import BadRow
from tunesmith.messages import sentence

KEPT_IN_MEMORY = 1 << 20  # bytes; of a million bad rows the rest is on the disk


class BadRowList:
    """Rows that were left out, in the order in which they were found."""

    def __init__(self) -> None:
        self._lines = tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY)  # noqa: SIM115
        self.count = 0

    def add(self, row: BadRow) -> None:
        text = sentence(row.problem["code"], "en", row.problem["params"])
        shown = {"file": row.file, row.unit: row.line, "problem": row.problem, "message": text}
        # Half a character of an odd key must not end a run that leaves its row out.
        line = json.dumps(shown, ensure_ascii=False) + "\n"
        self._lines.write(line.encode("utf-8", "backslashreplace"))
        self.count += 1

    def write(self, path: Path) -> None:
        """Write one JSON object a row: file, line (or row), problem and its sentence. The end."""
        draft = path.with_name(f".{path.name}.draft")
        self._lines.seek(0)
        with draft.open("wb") as file:
            shutil.copyfileobj(self._lines, file)
        self._lines.close()
        draft.replace(path)
