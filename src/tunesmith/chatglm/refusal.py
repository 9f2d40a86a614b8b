"""How a conversion says no."""

from typing import Any

from tunesmith.errors import FieldProblem, InvalidInput


def refused(code: str, /, *, field: str = "source", **params: Any) -> InvalidInput:
    """Return the exception for a `code` of the catalogue's part `field`."""
    return InvalidInput(FieldProblem(field, f"field.{code}", params))
