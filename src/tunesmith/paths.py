"""Paths from a request: made absolute, symlinks followed, kept inside the allowed roots."""

from collections.abc import Sequence
from pathlib import Path

from tunesmith.errors import FieldProblem, InvalidInput


def inside_roots(value: str, field: str, roots: Sequence[Path]) -> Path:
    """Return `value` as an absolute path without symlinks; `field` is named in an error.

    `~` is the home of the user who runs the server. Raises InvalidInput for a relative path and
    for one outside `roots`, which are resolved already.
    """
    try:
        path = Path(value).expanduser()
        if not path.is_absolute():
            raise InvalidInput(FieldProblem(field, "field.path_relative", {"path": value}))
        resolved = path.resolve()
    except (OSError, RuntimeError, ValueError):
        raise InvalidInput(FieldProblem(field, "field.path_unusable", {"path": value})) from None
    if not any(resolved.is_relative_to(root) for root in roots):
        params = {"path": str(resolved), "roots": [str(root) for root in roots]}
        raise InvalidInput(FieldProblem(field, "field.path_outside_roots", params))
    return resolved
