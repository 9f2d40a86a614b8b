"""Why a text is no JSON: what Python's `json` says, as messages of the catalogue."""

from typing import Any

# By how Python's words begin: versions differ in what follows, and in which they have.
KEYS = {
    "Expecting value": "value",
    "Expecting property name": "name",
    "Expecting ':'": "colon",
    "Expecting ','": "comma",
    "Unterminated string": "unterminated",
    "Extra data": "extra",
    "Illegal trailing comma": "trailing_comma",
    "Invalid control character": "control_character",
    "Invalid \\": "escape",
    "Unexpected UTF-8 BOM": "byte_order_mark",
    "Exceeds the limit": "digits",
    "maximum recursion depth": "depth",
}


def json_reason(error: Exception | str) -> Any:
    """Return the message of an error of `json.loads` or of its words; unknown words as they are."""
    # The words without the place, where the error has both.
    text = str(getattr(error, "msg", error))
    for beginning, key in KEYS.items():
        if text.startswith(beginning):
            return {"code": f"json_error.{key}", "params": {}}
    return text
