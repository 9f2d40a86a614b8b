"""What keeps a row from being a sample: how readers tell it, and how it is handed out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith.errors import RunFailure

Unit = Literal["line", "row"]

ENDS_FILE = frozenset(
    {"too_long", "value_too_long", "json_array", "csv", "csv_separator", "csv_column_twice"}
)
"""Problems after which nothing of the file can be read."""


class RowProblem(Exception):
    """Raised where a row is found wrong; `code` is a key of the catalogue's `row` table."""

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code, self.params = code, params


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no sample."""

    file: str
    """Name of the file, without its directory."""
    line: int
    """As `Conversation.line`."""
    problem: dict[str, Any]
    """{"code": "row.<problem>", "params": {...}}: a message of the catalogue."""
    unit: Unit = "line"
    """What `line` counts."""

    @property
    def ends_file(self) -> bool:
        """Whether nothing after it can be read: it cannot be skipped."""
        return ends_file(self.problem)

    def failure(self) -> RunFailure:
        """Return the error that it is where rows are not skipped."""
        return RunFailure("bad_row", **self.place())

    def shown(self) -> dict[str, Any]:
        """Return the message that names it."""
        return {"code": "bad_row", "params": self.place()}

    def place(self) -> dict[str, Any]:
        """Return the parameters of a sentence about it."""
        return {
            "file": self.file,
            "line": self.line,
            "unit": {"code": f"unit.{self.unit}", "params": {}},
            "problem": self.problem,
        }


def ends_file(problem: Mapping[str, Any]) -> bool:
    """Whether a `BadRow.problem` is one after which nothing of the file can be read."""
    return str(problem.get("code")).removeprefix("row.") in ENDS_FILE


def json_type(value: Any) -> str:
    """Return JSON's name for the type of `value`."""
    names = {dict: "object", list: "array", bool: "boolean", type(None): "null", str: "text"}
    return names.get(type(value), "number")
